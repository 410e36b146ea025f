package semaphore_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/shmkit/shmkit/semaphore"
)

// In real programs the event is a field of what a child process is given: see package process.
func ExampleEvent() {
	ready, err := semaphore.NewEvent()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ready.Close()

	go ready.Set() // once, when whatever others wait for is there

	if err := ready.Wait(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(ready.IsSet())
	ready.Clear()
	fmt.Println(ready.IsSet())
	// Output:
	// true
	// false
}

func ExampleCond() {
	ctx := context.Background()
	mutex, err := semaphore.NewMutex()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer mutex.Close()
	cond, err := semaphore.NewCond(mutex)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cond.Close()
	items := 0 // in shared memory, for other processes

	go func() {
		if err := mutex.Lock(ctx); err != nil {
			fmt.Println(err)
			return
		}
		items = 3
		cond.Signal()
		mutex.Unlock()
	}()

	err = mutex.Lock(ctx)
	if err == nil {
		err = cond.WaitFor(ctx, func() bool { return items > 0 })
	}
	switch {
	case errors.Is(err, semaphore.ErrOwnerDied): // the lock is held: see whether items is what it must be
	case err != nil:
		fmt.Println(err)
		return
	}
	items--
	fmt.Println(items, "left")
	mutex.Unlock()
	// Output: 2 left
}

func ExampleValue() {
	ctx := context.Background()
	type progress struct{ Done, Total int }
	v, err := semaphore.NewValue(progress{Total: 10})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer v.Close()

	if err := v.Update(ctx, func(p *progress) { p.Done++ }); err != nil {
		fmt.Println(err)
		return
	}
	p, err := v.Load(ctx)
	fmt.Println(p.Done, "of", p.Total, err)
	// Output: 1 of 10 <nil>
}

func ExampleArray() {
	ctx := context.Background()
	a, err := semaphore.NewArray[float64](4)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer a.Close()

	if err := a.Store(ctx, 0, 1.5); err != nil { // one element, with the lock
		fmt.Println(err)
		return
	}
	if err := a.Mutex().Lock(ctx); err != nil { // or several
		fmt.Println(err)
		return
	}
	copy(a.Slice()[1:], []float64{2, 3})
	a.Mutex().Unlock()
	fmt.Println(a.Slice(), a.Len())
	// Output: [1.5 2 3 0] 4
}

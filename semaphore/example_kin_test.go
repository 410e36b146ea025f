package semaphore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/shmkit/shmkit/semaphore"
)

// Permits belong to the handle that acquired them, and come back when that is closed, or its process dies.
func ExampleNewRobust() {
	mem := make([]byte, semaphore.RobustSize) // or the same pages, mapped by several processes
	sem, err := semaphore.NewRobustAt(mem, 2)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer sem.Close()
	other, err := semaphore.Attach(mem) // in another process
	if err != nil {
		fmt.Println(err)
		return
	}

	fmt.Println(other.TryAcquire(2))
	fmt.Println(sem.TryAcquire(1))
	if err := other.Close(); err != nil { // or a SIGKILL
		fmt.Println(err)
	}
	fmt.Println(sem.Acquire(context.Background(), 2))
	// Output:
	// true
	// false
	// <nil>
}

func ExampleBarrier() {
	b, err := semaphore.NewBarrier(3) // a field of the arguments of child processes
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close()

	var parties sync.WaitGroup
	var total int
	parts := make([]int, b.Parties())
	for i := range parts {
		parties.Go(func() {
			parts[i] = i + 1
			index, err := b.Wait(context.Background())
			if err != nil {
				fmt.Println(err)
				return
			}
			if index == 0 { // one of them, and all parts are there
				total = parts[0] + parts[1] + parts[2]
			}
			if _, err := b.Wait(context.Background()); err != nil { // and here all know the total
				fmt.Println(err)
			}
		})
	}
	parties.Wait()
	fmt.Println(total)
	// Output: 6
}

func ExampleBarrier_Abort() {
	b, err := semaphore.NewBarrier(2)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close()

	waited := make(chan error)
	go func() {
		_, err := b.Wait(context.Background())
		waited <- err
	}()
	b.Abort() // the other party cannot come
	fmt.Println(errors.Is(<-waited, semaphore.ErrBroken), b.Broken())
	b.Reset()
	fmt.Println(b.Broken())
	// Output:
	// true true
	// false
}

func ExampleOnce() {
	once, err := semaphore.NewOnce() // a field of the arguments of child processes
	if err != nil {
		fmt.Println(err)
		return
	}
	defer once.Close()

	ctx := context.Background()
	fmt.Println(once.Do(ctx, func() error { return errors.New("not today") }))
	fmt.Println(once.Do(ctx, func() error { fmt.Println("done"); return nil }))
	fmt.Println(once.Do(ctx, func() error { fmt.Println("done again"); return nil }))
	// Output:
	// not today
	// done
	// <nil>
	// <nil>
}

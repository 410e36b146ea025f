package semaphore_test

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/shmkit/shmkit/semaphore"
)

func Example() {
	mem := make([]byte, semaphore.Size) // or the same pages, mapped by several processes

	sem, err := semaphore.NewAt(mem, 2) // in one of them
	if err != nil {
		fmt.Println(err)
		return
	}
	other, err := semaphore.Attach(mem) // in the others
	if err != nil {
		fmt.Println(err)
		return
	}

	if err := sem.Acquire(context.Background(), 2); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(other.TryAcquire(1))
	sem.Release(1)
	fmt.Println(other.TryAcquire(1))
	// Output:
	// false
	// true
}

func ExampleEventcount() {
	var word, ready atomic.Uint32 // in shared memory, for other processes
	event := semaphore.EventcountOn(&word)

	go func() {
		ready.Store(1) // the change first
		event.NotifyAll()
	}()

	for ready.Load() == 0 {
		ticket := event.Announce()
		if ready.Load() == 0 {
			event.Sleep(ticket, semaphore.Step)
		}
	}
	fmt.Println("ready")
	// Output: ready
}

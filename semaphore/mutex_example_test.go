package semaphore_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/shmkit/shmkit/semaphore"
)

func ExampleMutex() {
	mu, err := semaphore.NewMutex() // a child process gets it as a field of its argument
	if err != nil {
		fmt.Println(err)
		return
	}
	defer mu.Close()

	var account struct{ paid, booked int } // in shared memory, where processes share it

	err = mu.Lock(context.Background())
	switch {
	case errors.Is(err, semaphore.ErrOwnerDied):
		account.booked = account.paid // half done by a process that has died: repair it, and go on
	case err != nil:
		fmt.Println(err) // not locked
		return
	}
	account.paid++
	account.booked++
	mu.Unlock()

	free, err := mu.TryLock()
	fmt.Println(account, free, err)
	mu.Unlock()
	// Output: {1 1} true <nil>
}

func ExampleRWMutex() {
	mu, err := semaphore.NewRWMutex()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer mu.Close()

	ctx := context.Background()
	if err := mu.RLock(ctx); err != nil { // with ErrOwnerDied it is locked: a writer has died, and what is read may be half done
		fmt.Println(err)
		return
	}
	if err := mu.RLock(ctx); err != nil {
		fmt.Println(err)
		return
	}
	write, err := mu.TryLock()
	fmt.Println("while two read:", write, err)
	mu.RUnlock()
	mu.RUnlock()
	write, err = mu.TryLock()
	fmt.Println("then:", write, err)
	mu.Unlock()
	// Output:
	// while two read: false <nil>
	// then: true <nil>
}

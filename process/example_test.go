//go:build linux && (amd64 || arm64)

package process_test

import (
	"context"
	"fmt"
	"os"

	"github.com/shmkit/shmkit/process"
	"github.com/shmkit/shmkit/semaphore"
	"github.com/shmkit/shmkit/shm"
)

// turns are what the children of the example share, and which one each is.
type turns struct {
	Child int
	Log   *shm.Segment
	Turn  *semaphore.Semaphore
}

var takeTurns = process.Func("take turns", func(ctx context.Context, a turns) error {
	for range 100 {
		if err := a.Turn.Acquire(ctx, 1); err != nil {
			return err
		}
		a.Log.Bytes()[a.Child]++
		a.Log.Bytes()[0]++ // which all do
		a.Turn.Release(1)
	}
	return nil
})

// Children that share memory, and take turns in it. Main has to be called first thing in main, or in TestMain.
func Example() {
	ctx := context.Background()
	log, err := shm.New("log", 16)
	if err != nil {
		panic(err)
	}
	defer log.Close()
	turn, err := semaphore.New(1)
	if err != nil {
		panic(err)
	}
	defer turn.Close()

	var children []*process.Process
	for i := 1; i <= 2; i++ {
		p, err := takeTurns.Start(process.Options{}, turns{Child: i, Log: log, Turn: turn})
		if err != nil {
			panic(err)
		}
		children = append(children, p)
	}
	for _, p := range children {
		if err := p.Wait(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	fmt.Println(log.Bytes()[:3])
	// Output: [200 100 100]
}

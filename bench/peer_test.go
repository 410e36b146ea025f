package bench

import (
	"context"

	"github.com/shmkit/shmkit/process"
	"github.com/shmkit/shmkit/ring"
)

// startPeer runs f in another process and returns what waits for its end. A process that fails takes the benchmark with it: this
// one would wait for ever.
func startPeer[A any](f *process.Function[A], arg A) (wait func()) {
	p, err := f.Start(process.Options{Env: []string{"GOMAXPROCS=2"}}, arg)
	must(err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		must(p.Wait(context.Background()))
	}()
	return func() { <-ended }
}

// newPipe returns this process's end of a pipe, and the one to give away.
func newPipe() (mine, theirs *ring.PipeEnd) {
	mine, theirs, err := ring.NewPipe(ring.PipeOptions{})
	must(err)
	return mine, theirs
}

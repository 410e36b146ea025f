//go:build linux && amd64

package semaphore_test

import (
	"context"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/singlestep"
	"github.com/shmkit/shmkit/semaphore"
)

// What each of these does with a robust semaphore of three permits, of which this process has one.
type steppedRobust struct {
	takes   int64 // that the child has when it begins
	between bool  // this process is the last to have changed the word then
	waits   bool  // somebody of this process waits for the other two
	operate func(s *semaphore.Semaphore)
}

var steppedRobusts = map[string]steppedRobust{
	"robust Acquire":                {between: true, operate: func(s *semaphore.Semaphore) { _ = s.Acquire(context.Background(), 1) }},
	"robust Acquire after another":  {takes: 1, operate: func(s *semaphore.Semaphore) { _ = s.Acquire(context.Background(), 1) }},
	"robust Acquire of what is not": {operate: func(s *semaphore.Semaphore) { s.TryAcquire(3); s.TryAcquire(2) }},
	"robust Release":                {takes: 2, between: true, operate: func(s *semaphore.Semaphore) { s.Release(1) }},
	"robust Release to a waiter":    {takes: 2, between: true, waits: true, operate: func(s *semaphore.Semaphore) { s.Release(1); s.Release(1) }},
	"robust Close to a waiter":      {takes: 2, waits: true, operate: func(s *semaphore.Semaphore) { _ = s.Close() }},
}

// What each of these does at a barrier for three parties, at which somebody of this process waits.
type steppedBarrier struct {
	others  int // how many more of this process wait
	broken  bool
	operate func(b *semaphore.Barrier)
}

var steppedBarriers = map[string]steppedBarrier{
	"Barrier, not the last":        {operate: func(b *semaphore.Barrier) { b.Late() }},
	"Barrier, the last":            {others: 1, operate: func(b *semaphore.Barrier) { b.Late() }},
	"Barrier, Abort":               {operate: (*semaphore.Barrier).Abort},
	"Barrier, Reset with a waiter": {operate: (*semaphore.Barrier).Reset},
	"Barrier, Reset of a broken":   {broken: true, operate: (*semaphore.Barrier).Reset},
	"Barrier, an ended context":    {operate: func(b *semaphore.Barrier) { _, _ = b.Wait(expired()) }},
}

// What each of these does with a once for which somebody of this process waits.
var steppedOnces = map[string]func(o *semaphore.Once){
	"Do":            func(o *semaphore.Once) { _ = o.Do(context.Background(), succeed) },
	"Do that fails": func(o *semaphore.Once) { _ = o.Do(context.Background(), func() error { return errFailed }) },
}

// kinSteps are the operations of this file.
var kinSteps = func() map[string]singlestep.Operation {
	all := map[string]singlestep.Operation{}
	for name, u := range steppedRobusts {
		all[name] = func(f *os.File) func() {
			g, s := steppedRobustIn(f)
			if u.takes > 0 {
				must(s.Acquire(context.Background(), u.takes))
			}
			g.note(boardPid, 1)
			g.await(func() bool { return g.word(boardGo).Load() == 1 })
			return func() { u.operate(s) }
		}
	}
	for name, u := range steppedBarriers {
		all[name] = func(f *os.File) func() {
			g, err := openGround(f)
			must(err)
			b, err := semaphore.AttachBarrier(g.object())
			must(err)
			return func() { u.operate(b) }
		}
	}
	for name, operate := range steppedOnces {
		all[name] = func(f *os.File) func() {
			g, err := openGround(f)
			must(err)
			o, err := semaphore.AttachOnce(g.object())
			must(err)
			return func() { operate(o) }
		}
	}
	return all
}()

func steppedRobustIn(f *os.File) (ground, *semaphore.Semaphore) {
	g, err := openGround(f)
	must(err)
	s, err := semaphore.Attach(g.object())
	must(err)
	return g, s
}

// Killed at any instruction of an operation, a process leaves the permits that it had to others, and all that it has given back, and no more.
func TestStepRobust(t *testing.T) {
	for name, u := range singlestep.Part(steppedRobusts) {
		t.Run(name, func(t *testing.T) {
			singlestep.Prove(t, 2, func(t *testing.T, w *singlestep.Walk) {
				g := newGround(t)
				s, err := semaphore.NewRobustAt(g.object(), 3)
				require.NoError(t, err)
				other, err := semaphore.Attach(g.object())
				require.NoError(t, err)
				require.True(t, s.TryAcquire(1))
				ready := make(chan struct{})
				var served <-chan error
				go func() { // while the child prepares
					defer close(ready)
					g.await(func() bool { return g.word(boardPid).Load() == 1 })
					if u.between {
						s.Release(1)
						s.TryAcquire(1)
					}
					if u.waits {
						served = acquire(watched(t), other, 2)
						until(t, "it sleeps", other.Asleep)
					}
					g.note(boardGo, 1)
				}()
				require.NoError(t, w.Run(name, g.seg.File(), nil, g.object()[:semaphore.Size+8*layout.Line]))
				recv(t, ready, "the child was ready")
				if served == nil {
					served = acquire(watched(t), other, 2)
				}
				require.NoError(t, recv(t, served, "all that the dead one had"))
				require.Zero(t, s.Value())
				require.EqualValues(t, 1, s.Held())
				s.Release(1)
				other.Release(2)
				require.EqualValues(t, 3, s.Value())
				requireLive(t, s, other)
				require.NoError(t, other.Close())
				require.NoError(t, s.Close())
			})
		})
	}
}

// requireLive has one handle sleep until the other gives what it wants.
func requireLive(t *testing.T, s, other *semaphore.Semaphore) {
	other.Unbounded()
	for n := range int64(3) {
		require.True(t, s.TryAcquire(3))
		served := acquire(watched(t), other, n+1)
		until(t, "it sleeps", other.Asleep)
		s.Release(3)
		require.NoError(t, recv(t, served, "it is woken"))
		other.Release(n + 1)
	}
}

// Killed at any instruction of what it does at a barrier, a process leaves one that is broken or whole, at which nobody waits for
// it, once it had begun to wait.
func TestStepBarrier(t *testing.T) {
	for name, u := range singlestep.Part(steppedBarriers) {
		t.Run(name, func(t *testing.T) {
			singlestep.Prove(t, 2, func(t *testing.T, w *singlestep.Walk) {
				g := newGround(t)
				b, err := semaphore.NewBarrierAt(g.object(), 3)
				require.NoError(t, err)
				var all []<-chan outcome
				if u.broken {
					b.Abort()
				} else {
					for i := range 1 + u.others {
						all = append(all, waitAt(watched(t), b))
						until(t, "it waits", func() bool { return b.Waiting() == i+1 })
					}
				}
				require.NoError(t, w.Run(name, g.seg.File(), nil, g.object()[:semaphore.BarrierSize-(semaphore.Seats-8)*layout.Line]))
				if !b.Marked(1) && b.Waiting() == len(all) && !w.Returned {
					b.Abort() // it was killed before it had begun
				}
				var first error
				for i, done := range all {
					err := recv(t, done, "it ends").err
					if i == 0 {
						first = err
					}
					require.True(t, err == nil || err == semaphore.ErrBroken, "%v", err)
					require.Equal(t, first, err, "all are told the same")
				}
				b.Reset()
				require.False(t, b.Broken())
				requirePasses(t, []*semaphore.Barrier{b}, 3)
				require.NoError(t, b.Close())
			})
		})
	}
}

// Killed at any instruction, who does it leaves it done, or to the next, who waits.
func TestStepOnce(t *testing.T) {
	for name := range singlestep.Part(steppedOnces) {
		t.Run(name, func(t *testing.T) {
			singlestep.Prove(t, 2, func(t *testing.T, w *singlestep.Walk) {
				g := newGround(t)
				o, err := semaphore.NewOnceAt(g.object())
				require.NoError(t, err)
				require.NoError(t, w.Run(name, g.seg.File(), nil, g.object()[:semaphore.OnceSize]))
				again := false
				err = o.Do(watched(t), func() error { again = true; return nil })
				require.NoError(t, err)
				require.False(t, again && w.Returned && name == "Do", "it was done")
				require.True(t, again || name == "Do", "it had failed")
				require.True(t, o.Done())
				require.NoError(t, o.Close())
			})
		})
	}
}

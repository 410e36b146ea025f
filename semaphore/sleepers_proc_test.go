//go:build linux && (amd64 || arm64)

package semaphore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/semaphore"
)

// ways are those in which servers can sleep.
var ways = map[string]func() (undo func()){
	"alone":   func() func() { return semaphore.SetSleepers(math.MaxInt64, false) },
	"grouped": func() func() { return semaphore.SetSleepers(0, true) },
}

// Ten thousand goroutines wait on a hundred objects.
func TestThreadsOfManyWaiters(t *testing.T) {
	const objects, goroutines = 100, 10_000
	for _, way := range []string{"as it is", "alone"} {
		t.Run(way, func(t *testing.T) {
			p := newStage(t, 1).puppet(t, "GOMAXPROCS=2")
			p.tell("gather %d %d %s", objects, goroutines, way)
			p.expect("gathered")
			n := threadsOf(t, p.cmd.Process.Pid)
			t.Logf("%d threads", n)
			if way == "alone" || !sys.CanFutexSet() {
				assert.GreaterOrEqual(t, n, objects, "else this does not show what it is to")
				assert.LessOrEqual(t, n, objects+20)
			} else {
				assert.Less(t, n, 20)
			}
			p.expect("gather")
			if n = threadsOf(t, p.cmd.Process.Pid); way != "alone" && sys.CanFutexSet() {
				assert.Less(t, n, 20, "after all were served")
			}
		})
	}
}

// threadsOf returns how many threads a process has; its runtime never ends one.
func threadsOf(t *testing.T, pid int) (n int) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	_, after, ok := bytes.Cut(status, []byte("\nThreads:"))
	require.True(t, ok)
	_, err = fmt.Sscan(string(after), &n)
	require.NoError(t, err)
	return n
}

// storm interrupts every thread of this process again and again until the test ends, and counts the rounds: who sleeps in the kernel
// comes back with EINTR.
func storm(t *testing.T) (rounds *atomic.Int64) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGUSR1)
	stop, stopped := make(chan struct{}), make(chan struct{})
	rounds = new(atomic.Int64)
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				strike()
				rounds.Add(1)
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
		signal.Stop(signals)
	})
	return rounds
}

func strike() {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		panic(err)
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		if err != nil {
			panic(err)
		}
		if err := unix.Tgkill(os.Getpid(), tid, unix.SIGUSR1); err != nil && !errors.Is(err, unix.ESRCH) { // it has ended since
			panic(err)
		}
	}
}

// Who waits goes on waiting while signals interrupt its sleep, until it is served or its context ends.
func TestWaitersInAStorm(t *testing.T) {
	rounds := storm(t)
	for way, set := range ways {
		t.Run(way, func(t *testing.T) {
			t.Cleanup(set())
			const patience = 20 * time.Millisecond
			for n := int64(1); n <= 2; n++ {
				h := newSemaphore(t, 2, 3)
				require.True(t, h[0].TryAcquire(2))
				begun := time.Now()
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				require.ErrorIs(t, h[1].Acquire(ctx, n), context.DeadlineExceeded)
				require.GreaterOrEqual(t, time.Since(begun), patience)
				cancel()
				done := make(chan error, 3)
				ctx = watched(t)
				for _, s := range []*semaphore.Semaphore{h[1], h[1], h[2]} {
					go func() { done <- s.Acquire(ctx, n) }()
				}
				from := rounds.Load()
				until(t, "the storm rages", func() bool { return rounds.Load() > from+50 })
				require.Empty(t, done, "nothing has come")
				h[0].Release(2)
				for range cap(done) {
					require.NoError(t, recv(t, done, "permits"))
					h[0].Release(n)
				}
			}
		})
	}
}

// A process is killed while it sleeps; another's releaser was killed before it woke anybody, or between the step of the sequence and its
// system call. Who lives gets the permit.
func TestKilledStrandsNobodyInAGroup(t *testing.T) {
	for way := range ways {
		t.Run(way, func(t *testing.T) {
			for name, trace := range map[string]func(word uint32) uint32{
				"before Notify":                 func(w uint32) uint32 { return w },
				"in Notify, before the wake":    func(w uint32) uint32 { return w + 2 },
				"in NotifyAll, before the wake": func(w uint32) uint32 { return (w + 2) &^ 1 },
			} {
				st := newStage(t, 1)
				require.True(t, st.TryAcquire(1))
				a, b := st.puppet(t), st.puppet(t)
				a.tell("%s\nunbounded\nacquire 1", way)
				a.expect(way)
				a.expect("unbounded")
				st.asleep(t)
				a.kill()
				st.Single().Store(0)
				b.tell("%s\nacquire 1", way)
				b.expect(way)
				st.asleep(t)
				st.Free().Store(1)
				st.Single().Store(trace(st.Single().Load()))
				require.Equal(t, "acquire", recv(t, b.lines, name))
			}
		})
	}
}

// A process whose servers sleep in groups and one whose servers sleep alone take the permits from each other's hands.
func TestPassingOnBetweenWays(t *testing.T) {
	for way := range ways {
		t.Run(way, func(t *testing.T) {
			st := newStage(t, 2)
			st.Single().Store(math.MaxUint32 - 99) // wraps on the way
			var puppets []*puppetHandle
			const uses, processes = 150, 3
			for i := range processes {
				p := st.puppet(t)
				puppets = append(puppets, p)
				if i > 0 {
					p.tell(way)
					p.expect(way)
				}
				p.tell("unbounded\nstorm %d 2 %d", uses, i)
			}
			for _, p := range puppets {
				p.expect("unbounded")
				p.expect("storm")
			}
			assert.EqualValues(t, processes*uses, st.uses().Load())
			assert.EqualValues(t, 2, st.Value())
			assert.Zero(t, st.held().Load())
		})
	}
}

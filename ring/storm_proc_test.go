//go:build linux && (amd64 || arm64)

package ring

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// storm interrupts every thread of this process, one after the other and again and again, until the test ends: one that sleeps in the
// kernel comes back with EINTR. A signal for the process would mostly go to a thread that is awake.
func storm(t *testing.T) *stormer {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGUSR1)
	stop, stopped := make(chan struct{}), make(chan struct{})
	s := new(stormer)
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				s.strike()
			}
		}
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
		signal.Stop(signals)
	})
	return s
}

// A stormer counts how often it has been through all threads.
type stormer struct{ rounds atomic.Int64 }

func (s *stormer) strike() {
	threads, err := os.ReadDir("/proc/self/task")
	must(err)
	for _, thread := range threads {
		tid, err := strconv.Atoi(thread.Name())
		must(err)
		if err := unix.Tgkill(os.Getpid(), tid, unix.SIGUSR1); !errors.Is(err, unix.ESRCH) { // it has ended since
			must(err)
		}
	}
	s.rounds.Add(1)
}

// rage waits until all threads were struck so many times.
func (s *stormer) rage(t *testing.T, rounds int64) {
	from := s.rounds.Load()
	eventually(t, "the storm rages", func() bool { return s.rounds.Load() >= from+rounds })
}

// weathered runs call, which waits, in the storm: it goes on waiting; when its context's time is up it says so, not before; and it
// returns what it waits for once that comes.
func weathered(t *testing.T, s *stormer, wait func(), call func(ctx context.Context) error, serve func()) {
	const patience = 20 * time.Millisecond
	begun := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.ErrorIs(t, call(ctx), context.DeadlineExceeded)
	require.GreaterOrEqual(t, time.Since(begun), patience)
	done := later(func() error { return call(patient(t)) })
	wait()
	s.rage(t, 50)
	require.Empty(t, done, "nothing has come")
	serve()
	require.NoError(t, await(t, done))
}

func TestQueueCallsInAStorm(t *testing.T) {
	s := storm(t)
	fill := func(q *Queue[int]) { must(q.Put(context.Background(), 1)) }
	take := func(q *Queue[int]) { _, err := q.Get(context.Background()); must(err) }
	for name, tt := range map[string]struct {
		prepare, serve func(q *Queue[int])
		call           func(ctx context.Context, q *Queue[int]) error
	}{
		"Put":    {fill, take, func(ctx context.Context, q *Queue[int]) error { return q.Put(ctx, 2) }},
		"PutAll": {fill, take, func(ctx context.Context, q *Queue[int]) error { _, err := q.PutAll(ctx, []int{2}); return err }},
		"Get":    {func(*Queue[int]) {}, fill, func(ctx context.Context, q *Queue[int]) error { _, err := q.Get(ctx); return err }},
		"GetBatch": {func(*Queue[int]) {}, fill, func(ctx context.Context, q *Queue[int]) error {
			n, err := q.GetBatch(ctx, make([]int, 2))
			if err == nil && n != 1 {
				return expectN(n, 1)
			}
			return err
		}},
		"Join": {fill, func(q *Queue[int]) { take(q); q.TaskDone() }, func(ctx context.Context, q *Queue[int]) error { return q.Join(ctx) }},
	} {
		t.Run(name, func(t *testing.T) {
			q := newQueue[int](t, QueueOptions{Joinable: true, Capacity: 1})
			p := adopted(t, q)
			tt.prepare(p)
			weathered(t, s, func() { eventually(t, "it waits", waits(q)) },
				func(ctx context.Context) error { return tt.call(ctx, q) }, func() { tt.serve(p) })
		})
	}
}

func TestPipeCallsInAStorm(t *testing.T) {
	s := storm(t)
	for name, call := range pipeCalls {
		t.Run(name, func(t *testing.T) {
			a, b := newPipe(t, PipeOptions{Capacity: 1024})
			serve := func() { must(b.Send(context.Background(), nil)) }
			if name[0] == 'S' {
				serve = func() { // it sends to the end
					must(b.Close())
				}
			}
			wait := func() {
				b.ringAll()
				asleep(t, a)
			}
			weathered(t, s, wait, func(ctx context.Context) error {
				if err := call(ctx, a); !errors.Is(err, io.ErrClosedPipe) {
					return err
				}
				return nil
			}, serve)
		})
	}
}

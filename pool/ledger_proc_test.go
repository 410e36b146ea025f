//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A booking tells a worker to write down what it does: outside of the library, so that
// the library cannot make its own books right.
type booking struct {
	Dir  string
	ID   uint64
	Work int // iterations between the two entries
	Pad  []byte
}

type receipt struct {
	ID  uint64
	Pad []byte
}

var book = Func("book", func(ctx context.Context, b booking) (receipt, error) {
	if err := enter(b.Dir, "started", b.ID); err != nil {
		return receipt{}, err
	}
	for range b.Work {
		if ctx.Err() != nil {
			break
		}
	}
	return receipt{b.ID, b.Pad}, enter(b.Dir, "ended", b.ID)
})

// enter appends an entry in one write, which the kernel does whole or not at all.
func enter(dir, name string, id uint64) error {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write(binary.LittleEndian.AppendUint64(nil, id))
	return err
}

// entries counts how often each id stands in a book.
func entries(t *testing.T, dir, name string) map[uint64]int {
	data, err := os.ReadFile(filepath.Join(dir, name))
	require.NoError(t, err)
	require.Zero(t, len(data)%8)
	times := map[uint64]int{}
	for ; len(data) > 0; data = data[8:] {
		times[binary.LittleEndian.Uint64(data)]++
	}
	return times
}

// An outcome is how the caller saw a task end.
type outcome int

const (
	succeeded outcome = iota
	died
	ended // its context has
	dropped
	outcomes
)

// Eight goroutines submit, cancel and abandon while workers are killed. Every accepted
// task ends once; none runs twice; one that succeeded ran to its end.
func TestLedger(t *testing.T) {
	const submitters, each = 8, 150
	dir := t.TempDir()
	p, err := New(Options{Workers: 3, Queue: 64})
	require.NoError(t, err)
	const between = 20 // tasks from one kill to the next
	kills := make(chan struct{}, submitters*each)
	var killers, wg sync.WaitGroup
	killers.Go(func() { killAtRandom(p, kills) })
	var ids atomic.Uint64
	results := make([][outcomes][]uint64, submitters)
	for s := range submitters {
		wg.Go(func() {
			for range each {
				id := ids.Add(1)
				if id%between == 0 {
					kills <- struct{}{}
				}
				o := submitOne(t, p, booking{dir, id, rand.IntN(20_000), make([]byte, rand.IntN(3)*rand.IntN(2000))})
				results[s][o] = append(results[s][o], id)
			}
		})
	}
	wg.Wait()
	close(kills)
	killers.Wait()
	require.NoError(t, p.Close())

	started, done := entries(t, dir, "started"), entries(t, dir, "ended")
	var total [outcomes]int
	for s := range results {
		for o, list := range results[s] {
			total[o] += len(list)
			for _, id := range list {
				require.LessOrEqual(t, started[id], 1, "task %d ran twice", id)
				require.LessOrEqual(t, done[id], started[id])
				if outcome(o) == succeeded {
					require.Equal(t, 1, done[id], "task %d has a result and did not run", id)
				}
			}
		}
	}
	stats := p.Stats()
	t.Logf("%d succeeded, %d died, %d ended by their context, %d dropped; %v",
		total[succeeded], total[died], total[ended], total[dropped], stats)
	require.Equal(t, submitters*each, total[succeeded]+total[died]+total[ended]+total[dropped])
	refused := submitters*each - int(stats.Accepted) // their context ended before they were accepted
	require.GreaterOrEqual(t, refused, 0)
	require.LessOrEqual(t, refused, total[ended])
	require.Equal(t, stats.Accepted, stats.Succeeded+stats.Failed+stats.Cancelled, "%v", stats)
	require.Zero(t, stats.Outstanding)
	require.NotZero(t, total[died], "the kills hit nobody: the test shows nothing")
	require.NotZero(t, total[succeeded])
	require.Zero(t, p.arguments, "arguments are left in shared memory")
}

// submitOne submits a task in one of several ways and returns how it ended.
func submitOne(t *testing.T, p *Pool, b booking) outcome {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var r receipt
	var err error
	switch rand.IntN(5) {
	case 0:
		ctx, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(2000))*time.Microsecond)
		defer cancel()
		r, err = book.Call(ctx, p, b)
	case 1:
		_, err = book.Go(context.Background(), p, b)
		assert.NoError(t, err)
		return dropped
	case 2:
		var f *Future[receipt]
		if f, err = book.Go(ctx, p, b); err == nil {
			cancel()
			r, err = f.Wait(context.Background())
		}
	default:
		r, err = book.Call(ctx, p, b)
	}
	switch {
	case err == nil:
		assert.Equal(t, b.ID, r.ID)
		assert.Len(t, r.Pad, len(b.Pad))
		return succeeded
	case errors.Is(err, ErrWorkerDied):
		return died
	}
	assert.True(t, errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded), "%v", err)
	return ended
}

// killAtRandom kills a worker each time that it is asked to.
func killAtRandom(p *Pool, kills <-chan struct{}) {
	spare := true // the next worker that is not ready: if all were killed, none would ever be
	for range kills {
		if workers := p.Workers(); len(workers) > 0 {
			w := workers[rand.IntN(len(workers))]
			if w.Ready || !spare {
				syscall.Kill(w.Pid, syscall.SIGKILL)
				spare = !w.Ready
			}
		}
	}
}

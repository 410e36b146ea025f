package semaphore_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Several processes, several goroutines in each, every capacity: the ledger in the
// shared memory adds up, and nobody sleeps for ever though all sleep until told.
func TestProcessesShareThePermits(t *testing.T) {
	const processes, goroutines, uses = 3, 3, 150
	for capacity := int64(1); capacity <= 3; capacity++ {
		t.Run(fmt.Sprint("capacity ", capacity), func(t *testing.T) {
			st := newStage(t, capacity)
			st.Single().Store(math.MaxUint32 - 99) // wraps on the way
			st.Many().Store(math.MaxUint32 - 99)
			for i := range processes {
				p := st.puppet(t)
				defer p.expect("storm")
				defer p.expect("unbounded")
				p.tell("unbounded\nstorm %d %d %d", goroutines*uses, capacity, i)
			}
			until(t, "all uses", func() bool { return st.uses().Load() == processes*goroutines*uses })
			until(t, "all released", func() bool { return st.Value() == capacity })
			assert.Zero(t, st.held().Load())
		})
	}
}

// stormHere uses the semaphore n times in all, from three goroutines, with contexts
// that end early now and then.
func stormHere(st *stage, n, capacity int64, seed uint64) error {
	const goroutines = 3
	errs := make(chan error, goroutines)
	var all sync.WaitGroup
	for g := range uint64(goroutines) {
		rng := rand.New(rand.NewPCG(seed, g))
		all.Go(func() { errs <- stormOne(st, n/goroutines, capacity, rng) })
	}
	all.Wait()
	for range goroutines {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

func stormOne(st *stage, n, capacity int64, rng *rand.Rand) error {
	for used := int64(0); used < n; {
		weight := 1 + rng.Int64N(capacity)
		ctx, cancel := context.WithTimeout(context.Background(), watchdog)
		if rng.IntN(4) == 0 {
			ctx, cancel = context.WithTimeout(ctx, time.Duration(rng.IntN(200))*time.Microsecond)
		}
		err := st.Acquire(ctx, weight)
		cancel()
		if err != nil {
			continue // cancelled: the use is tried again
		}
		if held := st.held().Add(weight); held > capacity {
			return fmt.Errorf("%d permits of %d held", held, capacity)
		}
		st.uses().Add(1)
		used++
		st.held().Add(-weight)
		st.Release(weight)
	}
	return nil
}

// asleep waits until a process has announced itself, for one permit.
func (st *stage) asleep(t *testing.T) {
	until(t, "announced", func() bool { return st.Single().Load()&1 != 0 })
}

func TestKilledWhileWaitingStrandsNobody(t *testing.T) {
	st := newStage(t, 1)
	require.True(t, st.TryAcquire(1))
	a, b := st.puppet(t), st.puppet(t)
	a.tell("acquire 1")
	st.asleep(t)
	a.kill()
	b.tell("acquire 1")
	st.Release(1)
	b.expect("acquire")
	b.tell("release 1")
	b.expect("release")
	assert.EqualValues(t, 1, st.Value())
}

// Permits of the dead are not given back; whoever knows of the death may do it.
func TestKilledWhileHoldingKeepsThePermit(t *testing.T) {
	st := newStage(t, 1)
	a, b := st.puppet(t), st.puppet(t)
	a.tell("acquire 1")
	a.expect("acquire")
	b.tell("unbounded\nacquire 1")
	b.expect("unbounded")
	st.asleep(t)
	a.kill()
	assert.False(t, st.TryAcquire(1))
	st.Release(1) // for a
	b.expect("acquire")
}

// The wake-up goes to a process that dies of it. The other finds the permit by itself.
func TestKilledWhenWokenStrandsNobody(t *testing.T) {
	st := newStage(t, 1)
	require.True(t, st.TryAcquire(1))
	a, b := st.puppet(t), st.puppet(t)
	a.tell("sleep-and-die")
	st.asleep(t)
	b.tell("acquire 1")
	st.Release(1)
	b.expect("acquire")
	_, err := a.cmd.Process.Wait()
	require.NoError(t, err)
}

// A releaser was killed before it told anybody, and one between the step of the
// sequence and its system call: the traces of both are made by hand.
func TestKilledBeforeTheWakeStrandsNobody(t *testing.T) {
	for name, trace := range map[string]func(word uint32) uint32{
		"before Notify":                 func(w uint32) uint32 { return w },
		"in Notify, before the wake":    func(w uint32) uint32 { return w + 2 },
		"in NotifyAll, before the wake": func(w uint32) uint32 { return (w + 2) &^ 1 },
	} {
		t.Run(name, func(t *testing.T) {
			st := newStage(t, 1)
			require.True(t, st.TryAcquire(1))
			b := st.puppet(t)
			b.tell("acquire 1")
			st.asleep(t)
			st.Free().Store(1)
			st.Single().Store(trace(st.Single().Load()))
			b.expect("acquire")
		})
	}
}

func TestPassingOnBetweenProcesses(t *testing.T) {
	st := newStage(t, 1)
	p := st.puppet(t)
	p.tell("unbounded")
	p.expect("unbounded")
	for range 200 { // each takes it from the other's hand
		p.tell("acquire 1\nrelease 1")
		require.NoError(t, st.Acquire(watched(t), 1))
		st.Release(1)
		p.expect("acquire")
		p.expect("release")
	}
	assert.EqualValues(t, 1, st.Value())
}

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shmkit/shmkit/pool"
)

// addends is how many numbers a small task adds up: work for some ten microseconds.
const addends = 50_000

// An answer is the result of a small task.
type answer struct {
	Sum    uint64
	Worker uint64 // who has added it up
	Nth    int    // that worker's how manyeth task it was, from 1
}

// What a worker knows of itself.
var (
	self   = rand.Uint64() // a pid may be used again
	served int             // tasks; a worker has one at a time
)

// add adds up the numbers that begin with from, one by one: the caller, who checks the result, knows a quicker way.
var add = pool.Func("add", func(_ context.Context, from uint64) (answer, error) {
	served++
	a := answer{Worker: self, Nth: served}
	for i := range uint64(addends) {
		a.Sum += from + i
	}
	return a, nil
})

func sum(from uint64) uint64 { return addends*from + addends*(addends-1)/2 }

// callersPerWorker is more than one, so that workers find work when they have ended some.
const callersPerWorker = 2

// A load is small tasks, different ones for as long as it lasts.
type load struct {
	pool     *pool.Pool
	callers  int
	begun    atomic.Uint64 // which is also the number of the last task
	answered atomic.Uint64

	mu     sync.Mutex
	ledger ledger
}

func newLoad(p *pool.Pool, workers int) *load {
	return &load{pool: p, callers: callersPerWorker * workers, ledger: ledger{}}
}

// A phase is how small tasks fared for a while.
type phase struct {
	name  string
	took  time.Duration
	times []time.Duration // of each call, in order of length
}

// run runs at least so many tasks, and goes on until over is closed. It stops at the first that fails or has a wrong result.
func (l *load) run(ctx context.Context, name string, tasks int, over <-chan struct{}) (phase, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	enough := l.begun.Load() + uint64(tasks)
	ph := phase{name: name}
	began := time.Now()
	var wg sync.WaitGroup
	for range l.callers {
		wg.Go(func() {
			times, answers, err := l.call(ctx, enough, over)
			if err != nil {
				fail(err)
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			ph.times = append(ph.times, times...)
			l.ledger.book(answers)
		})
	}
	wg.Wait()
	ph.took = time.Since(began)
	slices.Sort(ph.times)
	return ph, context.Cause(ctx)
}

// call is one of the callers.
func (l *load) call(ctx context.Context, enough uint64, over <-chan struct{}) (times []time.Duration, answers []answer, err error) {
	for l.begun.Load() < enough || !isClosed(over) {
		i := l.begun.Add(1)
		began := time.Now()
		a, err := add.Call(ctx, l.pool, i)
		if err != nil {
			return times, answers, fmt.Errorf("small task %d: %w", i, err)
		}
		times = append(times, time.Since(began))
		l.answered.Add(1)
		if a.Sum != sum(i) {
			return times, answers, fmt.Errorf("small task %d: the sum is wrong: %d, not %d", i, a.Sum, sum(i))
		}
		answers = append(answers, a)
	}
	return times, answers, nil
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

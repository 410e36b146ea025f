package main

import (
	"context"
	"fmt"
	"time"

	"github.com/shmkit/shmkit/pool"
)

const (
	// allowed is how long a runaway may run.
	allowed = 400 * time.Millisecond

	// grace is how long it may then go on before its worker is ended: Options.Grace.
	grace = 100 * time.Millisecond

	// patience is how long a worker may take to be replaced, on a busy machine.
	patience = 30 * time.Second
)

// A limit is a way to bound how long a call takes.
type limit struct {
	how  string
	call func(ctx context.Context, p *pool.Pool, f *endless) error
}

var limits = []limit{
	{"pool.Timeout", func(ctx context.Context, p *pool.Pool, f *endless) error {
		_, err := f.With(pool.Timeout(allowed)).Call(ctx, p, struct{}{})
		return err
	}},
	{"context", func(ctx context.Context, p *pool.Pool, f *endless) error {
		ctx, cancel := context.WithTimeout(ctx, allowed)
		defer cancel()
		_, err := f.Call(ctx, p, struct{}{})
		return err
	}},
}

// A trial is what became of a runaway. Times count from its call.
type trial struct {
	what, how string
	err       error         // what the caller had of it
	errAfter  time.Duration // when
	meanwhile uint64        // small tasks that were answered until then

	pid, successor int           // of the worker that is gone, and of the one in its place
	goneAfter      time.Duration // the former was dead, and reaped
	readyAfter     time.Duration // the latter served tasks
}

// try lets r run away and waits until another worker has the place of the one that ran it.
func (r runaway) try(ctx context.Context, p *pool.Pool, by limit, beside *load) (trial, error) {
	workers, answered := p.Workers(), beside.answered.Load()
	began := time.Now()
	err := by.call(ctx, p, r.fn)
	t := trial{what: r.what, how: by.how, err: err, errAfter: time.Since(began), meanwhile: beside.answered.Load() - answered}
	if err := t.awaitSuccessor(ctx, p, workers, began); err != nil {
		return t, fmt.Errorf("%s, %s: the call had %q, then: %w", t.what, t.how, t.err, err)
	}
	return t, nil
}

// awaitSuccessor asks again and again which workers there are: nothing announces a new one.
func (t *trial) awaitSuccessor(ctx context.Context, p *pool.Pool, before []pool.WorkerInfo, began time.Time) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no worker was replaced in %v", patience))
	defer cancel()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for t.successor == 0 {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-again.C:
			t.look(before, p.Workers(), time.Since(began))
		}
	}
	return nil
}

// look notes who of the workers before is gone, and who has its place now.
func (t *trial) look(before, now []pool.WorkerInfo, after time.Duration) {
	at := map[int]pool.WorkerInfo{} // by their places
	for _, w := range now {
		at[w.Index] = w
	}
	for _, old := range before {
		w := at[old.Index]
		if w.Pid == old.Pid {
			continue
		}
		if t.pid == 0 {
			t.pid, t.goneAfter = old.Pid, after
		}
		if w.Ready {
			t.successor, t.readyAfter = w.Pid, after
		}
	}
}

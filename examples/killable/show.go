package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/shmkit/shmkit/pool"
)

// A summary is all that the program has found out.
type summary struct {
	trials  []trial
	phases  []phase
	tasks   uint64 // small ones
	workers int    // that have run them, one after another in the same place included
	stats   pool.Stats
}

// show does everything and prints what comes of it, each trial at its end.
func (s settings) show(ctx context.Context, out io.Writer) error {
	_, err := fmt.Fprintf(out, "%d workers, %d callers of small tasks; what runs away may do so for %v, and has %v of grace\n\n"+trialHeader,
		s.workers, callersPerWorker*s.workers, allowed, grace)
	if err != nil {
		return err
	}
	sum, err := s.try(ctx, func(t trial) { fmt.Fprintln(out, t) })
	if err != nil {
		return err
	}
	if noC != "" {
		fmt.Fprintln(out, noC)
	}
	fmt.Fprint(out, "\n"+phaseHeader)
	for _, p := range sum.phases {
		fmt.Fprintln(out, p)
	}
	_, err = fmt.Fprintf(out, "\n%d small tasks had the right result, each exactly once, from %d workers\n", sum.tasks, sum.workers)
	return err // of all that was printed: an output that fails once fails again
}

const (
	trialHeader = "what ran away              limited by    what its caller had           after  worker gone  new ready  its pid  new pid  small tasks meanwhile\n"
	phaseHeader = "small tasks     number  per second       median         99 %      longest\n"
)

func (t trial) String() string {
	return fmt.Sprintf("%-26s %-13s %-26v %5d ms  %5d ms     %5d ms %8d %8d %22d", t.what, t.how, t.err,
		t.errAfter.Milliseconds(), t.goneAfter.Milliseconds(), t.readyAfter.Milliseconds(), t.pid, t.successor, t.meanwhile)
}

func (p phase) String() string {
	n := len(p.times)
	return fmt.Sprintf("%-11s %10d %11.0f %s %s %s", p.name, n, float64(n)/p.took.Seconds(),
		ms(p.times[n/2]), ms(p.times[n*99/100]), ms(p.times[n-1]))
}

func ms(d time.Duration) string { return fmt.Sprintf("%9.3f ms", d.Seconds()*1000) }

// try runs the load alone, then beside one runaway after another, then alone again. It calls tell after each runaway.
func (s settings) try(ctx context.Context, tell func(trial)) (*summary, error) {
	p, err := pool.New(pool.Options{Workers: s.workers, Grace: grace})
	if err != nil {
		return nil, err
	}
	defer p.Terminate() // after an error, running tasks are of no use; after Close, this does nothing
	l, sum := newLoad(p, s.workers), &summary{}
	now := make(chan struct{})
	close(now)
	for _, step := range []func() (phase, error){
		func() (phase, error) { return l.run(ctx, "before", s.tasks, now) },
		func() (phase, error) { return s.tryBeside(ctx, l, sum, tell) },
		func() (phase, error) { return l.run(ctx, "after", s.tasks, now) },
	} {
		ph, err := step()
		if err != nil {
			return nil, err
		}
		sum.phases = append(sum.phases, ph)
	}
	sum.tasks, sum.workers, sum.stats = l.answered.Load(), len(l.ledger), p.Stats()
	if err := l.ledger.check(sum.tasks); err != nil {
		return nil, err
	}
	return sum, p.Close()
}

// tryBeside runs the load for as long as there are runaways. Who fails ends the other.
func (s settings) tryBeside(ctx context.Context, l *load, sum *summary, tell func(trial)) (phase, error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	over := make(chan struct{})
	go func() {
		defer close(over)
		for _, r := range runaways() {
			for _, by := range limits {
				t, err := r.try(ctx, l.pool, by, l)
				if err != nil {
					fail(err)
					return
				}
				sum.trials = append(sum.trials, t)
				tell(t)
			}
		}
	}()
	ph, err := l.run(ctx, "while", s.tasks, over)
	if err != nil {
		fail(err)
	}
	<-over
	return ph, context.Cause(ctx)
}

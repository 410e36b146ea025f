//go:build linux && (amd64 || arm64)

package pool

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"syscall"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/process"
)

// linger lets time pass. Nothing waits for it but what is to happen at random moments.
func linger(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// lingerSome lets about that time pass: often less, seldom much more.
func lingerSome(ctx context.Context, rng *rand.Rand, mean time.Duration) {
	linger(ctx, time.Duration(rng.ExpFloat64()*float64(mean)))
}

// mostTroubles is how often in a row workers of one place may be hit before they have run anything: those that die young are
// replaced ever later.
const mostTroubles = 3

// victim picks a worker, most of the time one that has run something. It returns nil if there is none in a place picked at random.
func (r *round) victim(rng *rand.Rand) *process.Process {
	p := r.p
	p.mu.Lock()
	defer p.mu.Unlock()
	m := p.members[rng.IntN(len(p.members))]
	if m.proc == nil {
		return nil
	}
	young := !m.isReady || p.mem.workers[m.index].current.Load() == 0
	if young && (rng.IntN(8) > 0 || max(m.failures, m.idleDeaths) >= mostTroubles) {
		return nil
	}
	return m.proc
}

// hit sends a signal, having said so.
func (r *round) hit(proc *process.Process, s syscall.Signal) {
	if err := r.ledger.enter(noteHit, uint64(proc.Pid()), uint64(s)); err != nil {
		r.wrong("enter a hit: %v", err)
	}
	if err := proc.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		r.wrong("%v", err)
	}
}

// kill kills workers.
func (r *round) kill(ctx context.Context, rng *rand.Rand) {
	for ; ctx.Err() == nil; lingerSome(ctx, rng, 8*time.Millisecond) {
		s := syscall.SIGKILL
		if rng.IntN(8) == 0 {
			s = syscall.SIGSEGV
		}
		if proc := r.victim(rng); proc != nil {
			r.hit(proc, s)
		}
	}
}

// stop stops a worker, which goes on after a while: some are killed before that.
func (r *round) stop(ctx context.Context, rng *rand.Rand) {
	for ; ctx.Err() == nil; lingerSome(ctx, rng, 100*time.Millisecond) {
		if proc := r.victim(rng); proc != nil {
			r.hit(proc, syscall.SIGSTOP)
			linger(ctx, time.Duration(rng.IntN(1<<rng.IntN(11)))*time.Millisecond)
			r.hit(proc, syscall.SIGCONT)
		}
	}
}

func (r *round) resize(ctx context.Context, rng *rand.Rand) {
	for ; ctx.Err() == nil; lingerSome(ctx, rng, 300*time.Millisecond) {
		if err := r.p.Resize(1 + rng.IntN(r.p.opts.MaxWorkers)); err != nil {
			r.wrong("%v", err)
		}
	}
}

// rebuild has the pool get new memory, if it can in the time that there is.
func (r *round) rebuild(ctx context.Context, rng *rand.Rand) {
	before := r.p.Stats().Rebuilds
	done := uint64(0)
	for lingerSome(ctx, rng, time.Second); ctx.Err() == nil; lingerSome(ctx, rng, time.Second) {
		most, cancel := context.WithTimeout(ctx, time.Duration(rng.IntN(1000))*time.Millisecond)
		switch err := r.p.Rebuild(most); {
		case err == nil:
			done++
		case !errors.Is(err, most.Err()) || most.Err() == nil:
			r.wrong("%v", err)
		}
		cancel()
	}
	if after := r.p.Stats().Rebuilds; after < before+done {
		r.wrong("%d of %d rebuilds are counted", after-before, done)
	}
}

// accidents are what the Go runtime, or this package, says of an end that nobody has brought about.
var accidents = []string{"runtime error:", "fatal error:", "unexpected fault address", "shmkit: worker cannot start"}

// lastWords looks at what the workers wrote to their standard error, all at the same time: so it looks for words, not for lines.
func (r *round) lastWords(name string) {
	text, err := os.ReadFile(name)
	require.NoError(r.t, err)
	for _, words := range accidents {
		if at := bytes.Index(text, []byte(words)); at >= 0 {
			r.wrong("a worker said: %s", text[at:min(at+1000, len(text))])
		}
	}
}

package pool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/telemetry"
	"github.com/shmkit/shmkit/shm"
)

// Errors of an [Operator].
var (
	// ErrGone says that the task or the worker that was meant is not there any more: it has ended by itself.
	ErrGone = errors.New("it has ended")

	// ErrPoolGone says that the parent does not use this memory any more: the pool was closed, or has other memory.
	ErrPoolGone = errors.New("the pool has left this memory")

	// ErrNoAnswer says that the pool's parent, or a worker, has not done what it was asked for in time: it is stopped, say, or gets no processor. The
	// request was taken back where that was possible.
	ErrNoAnswer = errors.New("no answer")

	// ErrDisplaced says that somebody else's request stands where the answer should: what has become of the own one cannot be known.
	ErrDisplaced = errors.New("somebody else's request has taken its place: look, and try again")
)

// An Operator asks the parent of a pool, from another process, to do something to it. Unlike an [Observer] it writes: one word of the
// memory. Nothing is stopped or slowed by it but what it names. Its methods may be called by several goroutines at once, and several
// processes may have Operators. They return when ctx ends, or with [ErrNoAnswer] after five seconds without a sign of life.
//
// A program that is killed while it asks leaves the pool as it was: what it has asked for is done or not.
type Operator struct {
	seg *shm.Segment
	mem *memory
	mu  sync.Mutex // held from asking until there is an answer
}

// Operate is for the pool whose memory f is: as [Observe], but opened for reading and writing. f belongs to the Operator then.
func Operate(f *os.File) (*Operator, error) {
	seg, err := shm.Attach(f)
	if err != nil {
		return nil, fmt.Errorf("operate pool: %w", err)
	}
	mem, err := viewWhole(seg)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("operate pool: %w", err), seg.Close())
	}
	return &Operator{seg: seg, mem: mem}, nil
}

// viewWhole sees a segment as a pool's memory, if it is one.
func viewWhole(seg *shm.Segment) (*memory, error) {
	params, err := layout.Check(seg.Bytes(), layout.KindPool)
	if err != nil {
		return nil, err
	}
	g, err := geometryOf(params, seg.Size())
	if err != nil {
		return nil, err
	}
	return view(seg.Bytes(), g)
}

// Close lets go of the memory.
func (o *Operator) Close() error { return o.seg.Close() }

// KillTask ends the task of that number, which is [RunningTask.ID] or [Event.Task]. One that waits does not run, and its error wraps
// [ErrKilled]; one that runs ends with its worker, which gets no time for OnExit, and its error is a [*WorkerDiedError] that wraps ErrKilled. It is not
// retried. Of a chunk of a Map the item ends that runs, or would run next; the others go on elsewhere. The error wraps [ErrGone] if the task has ended.
func (o *Operator) KillTask(ctx context.Context, id uint64) error {
	if err := o.ask(ctx, telemetry.AboutTask(telemetry.KillTask, id)); err != nil {
		return fmt.Errorf("kill task %#x: %w", id, err)
	}
	return nil
}

// KillWorker ends a worker, by its incarnation, so that it is never its successor that is hit. What it runs fails with a
// [*WorkerDiedError] that wraps [ErrKilled], or begins again if it has retries. Another worker takes its place. The error wraps [ErrGone] if it has ended.
func (o *Operator) KillWorker(ctx context.Context, incarnation uint32) error {
	r := telemetry.AboutWorker(telemetry.KillWorker, incarnation, 0, nonce())
	if err := o.ask(ctx, r); err != nil {
		return fmt.Errorf("kill worker of incarnation %d: %w", incarnation, err)
	}
	return nil
}

// nonce makes two who ask the same at the same time have an answer each, mostly.
func nonce() uint16 { return uint16(rand.Uint32()) }

const (
	// askFor is how long an answer may take, or the answer to another before.
	askFor = 5 * time.Second

	// askEvery is the time between two looks at the word.
	askEvery = time.Millisecond

	// uncollected is after how long an answer that nobody has fetched may be replaced: who asked does not live any more.
	uncollected = 500 * time.Millisecond
)

// ask has the parent serve r.
func (o *Operator) ask(ctx context.Context, r telemetry.Request) error {
	ctx, cancel := context.WithTimeoutCause(ctx, askFor, ErrNoAnswer)
	defer cancel()
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		if err := o.post(ctx, r); err != nil {
			return err
		}
		a, err := o.await(ctx, r)
		if err != nil || a != telemetry.Busy {
			return cmp.Or(err, errorOf(a))
		}
		if err := pause(ctx); err != nil { // the worker has not taken note of another question
			return fmt.Errorf("the worker does not listen: %w", err)
		}
	}
}

// errorOf is what an answer means.
func errorOf(a telemetry.Act) error {
	switch a {
	case telemetry.Done:
		return nil
	case telemetry.Missing:
		return ErrGone
	case telemetry.Ending:
		return fmt.Errorf("the pool ends: %w", ErrClosed)
	case telemetry.Unknown:
		return fmt.Errorf("the pool's parent does not know what that is: %w", errors.ErrUnsupported)
	}
	return fmt.Errorf("impossible answer %d: %w", a, ErrCorrupted)
}

// post puts r where the parent looks, once nobody else's stands there, and rings.
func (o *Operator) post(ctx context.Context, r telemetry.Request) error {
	word := &o.mem.told.Board.Requests
	seen, since := telemetry.Request(0), time.Now()
	for {
		was := word.Look()
		if was != seen {
			seen, since = was, time.Now()
		}
		if (was == 0 || was.IsAnswer() && time.Since(since) >= uncollected) && word.Ask(was, r) {
			o.mem.bell().rouse() // Killed here, or before: the request is served with the parent's next look, at the latest when the next one rings
			return nil
		}
		if was != 0 && !was.IsAnswer() {
			o.mem.bell().rouse() // for somebody who may have been killed before that
		}
		if err := o.pause(ctx); err != nil {
			return fmt.Errorf("somebody else's request is in the way: %w", err)
		}
	}
}

// await returns the parent's answer to r.
func (o *Operator) await(ctx context.Context, r telemetry.Request) (telemetry.Act, error) {
	word := &o.mem.told.Board.Requests
	for {
		switch now := word.Look(); {
		case now.Answers(r):
			word.Fetch(now) // Killed here: the next who asks does it
			return now.Act(), nil
		case now != r:
			return 0, ErrDisplaced
		}
		if err := o.pause(ctx); err != nil {
			if word.Fetch(r) {
				return 0, fmt.Errorf("the pool's parent, process %d: %w", o.parent(), err)
			}
			ctx = context.WithoutCancel(ctx) // it was answered at the last moment
		}
	}
}

// pause waits for a moment. The error says why it makes no sense to go on.
func (o *Operator) pause(ctx context.Context) error {
	if o.mem.told.Board.Left() != telemetry.InUse {
		return ErrPoolGone
	}
	return pause(ctx)
}

func pause(ctx context.Context) error {
	t := time.NewTimer(askEvery)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

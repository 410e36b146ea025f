package semaphore_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/history"
	"github.com/shmkit/shmkit/semaphore"
)

func init() {
	rehearse("use", semaphore.Attach, func(s *semaphore.Semaphore, c cue, by *scribe) {
		u := user{s, by, capacityOf(c.round), 0, c.deadly}
		u.play()
	})
}

// What an operation is called with, and what it returns.
type (
	call struct {
		Op op
		N  int64
		ID int64 // of opMayTake and its opMayGive
	}
	result struct {
		OK bool
		N  int64
	}
	scribe    = history.Scribe[call, result]
	operation = history.Operation[call, result]
)

type op uint8

const (
	opTry op = iota
	opAcquire
	opRelease
	opValue
	opMayTake // an Acquire that failed, or did not return, may have had the permits for a while
	opMayGive
	opBury // what a dead process had comes back
)

const maxCapacity = 3

// capacityOf is what all processes know of a round.
func capacityOf(round int) int64 { return 1 + int64(round%maxCapacity) }

// A scene is a drama about a semaphore.
type scene struct {
	*drama[call, result]
	robust bool
	turns  bool // soon it is somebody's turn, and others fail who only try
}

func newScene(t testing.TB, mortal bool) *scene {
	return &scene{drama: stageDrama[call, result](t, "use", mortal)}
}

// A user is a process in a round.
type user struct {
	sem      *semaphore.Semaphore
	by       *scribe
	capacity int64
	held     int64
	hurried  bool // never waits without a bound: who has the permits may be dead
}

func (u *user) play() {
	for !u.by.Full(1) {
		switch n := 1 + rand.Int64N(u.capacity); rand.IntN(8) {
		case 0:
			u.by.Do(call{Op: opValue}, func() result { return result{N: u.sem.Value()} })
		case 1, 2:
			u.hold(n, u.by.Do(call{Op: opTry, N: n}, func() result { return result{OK: u.sem.TryAcquire(n)} }))
		case 3, 4, 5:
			u.hold(n, u.by.Do(call{Op: opAcquire, N: n}, func() result { return u.acquire(n) }))
		default:
			u.release(1 + rand.Int64N(u.capacity))
		}
	}
	u.release(u.held)
}

func (u *user) hold(n int64, got result) {
	if got.OK {
		u.held += n
	}
}

func (u *user) release(n int64) {
	if n = min(n, u.held); n > 0 {
		u.held -= n
		u.by.Do(call{Op: opRelease, N: n}, func() result { u.sem.Release(n); return result{} })
	}
}

// acquire waits, without a bound only if the others cannot be waiting for this process.
func (u *user) acquire(n int64) result {
	ctx, cancel := context.WithTimeout(context.Background(), watchdog)
	defer cancel()
	if u.hurried || u.held > 0 || rand.IntN(2) == 0 {
		ctx, cancel = context.WithTimeout(ctx, rand.N(100*time.Microsecond))
		defer cancel()
	}
	err := u.sem.Acquire(ctx, n)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		panic(err)
	}
	return result{OK: err == nil}
}

// round plays one, and returns what happened: all permits have come back, if nobody has died with some.
func (s *scene) round(t testing.TB, round int) []operation {
	sem := s.make(t, round)
	s.act(t)
	if s.robust {
		sem.Recover()
	}
	s.book.Scribe(test).Do(call{Op: opValue}, func() result { return result{N: sem.Value()} })
	require.NoError(t, sem.Close())
	ops := s.book.Operations()
	if s.robust || !s.mortal {
		require.Equal(t, capacityOf(round), ops[len(ops)-1].Out.N, "permits lost or doubled")
	}
	return ops
}

func TestSemaphoreLinearizable(t *testing.T) {
	s := newScene(t, false)
	overlaps, rounds := 0, history.Rounds(200)
	for round := 1; round <= rounds; round++ {
		ops := s.round(t, round)
		overlaps += history.Overlaps(ops)
		semaphoreSpec(capacityOf(round)).Require(t, splitFailures(ops))
	}
	t.Logf("%d operations overlapped in each of %d histories", overlaps/rounds, rounds)
	require.Greater(t, overlaps, rounds, "what does not overlap shows nothing")
}

// Turns change the order in which processes are served, and nothing else; that a TryAcquire fails tells nothing then.
func TestSemaphoreLinearizableInTurns(t *testing.T) {
	for name, robust := range map[string]bool{"plain": false, "robust": true} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, false)
			s.robust, s.turns = robust, true
			for round := 1; round <= history.Rounds(100); round++ {
				ops := slices.DeleteFunc(s.round(t, round), func(o operation) bool { return o.In.Op == opTry && !o.Out.OK })
				semaphoreSpec(capacityOf(round)).Require(t, splitFailures(ops))
			}
		})
	}
}

// make makes the semaphore of a round.
func (s *scene) make(t testing.TB, round int) *semaphore.Semaphore {
	make := semaphore.NewAt
	if s.robust {
		make = semaphore.NewRobustAt
	}
	sem, err := make(s.seg.Bytes(), capacityOf(round))
	require.NoError(t, err)
	if s.turns {
		sem.Turn().Store(semaphore.NoTurn(semaphore.MaxPassed - 1))
	}
	return sem
}

// What a process that is killed holds stays held, what it was about to take or to give back is taken or given back or not, and the
// others go on.
func TestSemaphoreLinearizableWithDeaths(t *testing.T) {
	s := newScene(t, true)
	unfinished, rounds := 0, history.Rounds(50)
	for round := 1; round <= rounds || unfinished == 0; round++ {
		ops := s.round(t, round)
		for _, o := range ops {
			if o.Out == nil {
				unfinished++
			}
		}
		semaphoreSpec(capacityOf(round)).Require(t, splitFailures(ops))
	}
	t.Logf("%d of %d were killed within an operation", unfinished, rounds)
}

// The checker finds what is wrong: a TryAcquire with the outcome that it did not have, and permits taken that a smaller semaphore has
// not.
func TestSemaphoreChecker(t *testing.T) {
	s := newScene(t, false)
	for round, turned, small := 1, 0, 0; turned < 10 || small < 5; round++ {
		ops, capacity := s.round(t, round), capacityOf(round)
		if upTo := upToFirst(ops, func(o operation) bool { return o.In.Op == opTry }); upTo != nil {
			semaphoreSpec(capacity).Require(t, splitFailures(upTo))
			upTo[len(upTo)-1].Out.OK = !upTo[len(upTo)-1].Out.OK
			semaphoreSpec(capacity).Refuse(t, splitFailures(upTo))
			turned++
		}
		if upTo := upToFirst(ops, func(o operation) bool { return o.In.N == capacity && o.Out.OK }); upTo != nil {
			semaphoreSpec(capacity-1).Refuse(t, splitFailures(upTo))
			small++
		}
	}
}

// upToFirst returns a copy of the operations up to the first that is so and that no other overlaps, with that as the last; nil if there is none.
func upToFirst(ops []operation, is func(o operation) bool) (upTo []operation) {
	returned := int64(0) // the latest of those before
	for i, o := range ops {
		if is(o) && o.Call > returned && (i+1 == len(ops) || ops[i+1].Call > o.Return) {
			out := *o.Out
			o.Out = &out
			return append(slices.Clone(ops[:i]), o)
		}
		returned = max(returned, o.Return)
	}
	return nil
}

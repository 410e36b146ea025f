package semaphore_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/history"
	"github.com/shmkit/shmkit/semaphore"
	"github.com/shmkit/shmkit/shm"
)

// parts are what the processes of these tests play.
var parts = map[string]history.Part{
	"use":         func(f *os.File, process int) error { return useInRounds(f, process, false) },
	"use or die":  func(f *os.File, process int) error { return useInRounds(f, process, true) },
	"lock":        func(f *os.File, process int) error { return lockInRounds(f, process, false) },
	"lock or die": func(f *os.File, process int) error { return lockInRounds(f, process, true) },

	"read and write":        func(f *os.File, process int) error { return rwInRounds(f, process, false) },
	"read and write or die": func(f *os.File, process int) error { return rwInRounds(f, process, true) },
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

const (
	users       = 3
	test        = users // its number among the processes
	cast        = users + 1
	script      = 16 // operations of each in a round
	maxCapacity = 3
	bookAt      = 36 << 10 // behind the semaphore, of either kind
)

// capacityOf is what all processes know of a round.
func capacityOf(round int) int64 { return 1 + int64(round%maxCapacity) }

// A scene is what the processes of a test share.
type scene struct {
	seg    *shm.Segment
	book   *history.Book[call, result]
	robust bool
	turns  bool // soon it is somebody's turn, and others fail who only try
}

func openScene(seg *shm.Segment) (*scene, error) {
	b, err := history.Open[call, result](seg.Bytes()[bookAt:], cast, script)
	return &scene{seg: seg, book: b}, err
}

func newScene(t testing.TB) *scene {
	size := bookAt + history.Size(cast, script)
	seg, err := shm.New("linear", size)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, seg.Close()) })
	require.NoError(t, seg.Reserve(0, size))
	s, err := openScene(seg)
	require.NoError(t, err)
	return s
}

// dieWithin is about as long as a round takes.
const dieWithin = 500 * time.Microsecond

func useInRounds(f *os.File, process int, mortal bool) error {
	seg, err := shm.Attach(f)
	if err != nil {
		return err
	}
	s, err := openScene(seg)
	if err != nil {
		return err
	}
	s.book.Rounds(process, func(round int, by *scribe) {
		sem, err := semaphore.Attach(seg.Bytes())
		if err != nil {
			panic(err)
		}
		u := user{sem, by, capacityOf(round), 0, mortal}
		if mortal && round%users == process {
			history.KillSelf(dieWithin)
		}
		u.play()
		if err := sem.Close(); err != nil {
			panic(err)
		}
	})
	return nil
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

// start starts the processes.
func (s *scene) start(t testing.TB, part string) (players [users]*history.Player) {
	for i := range players {
		players[i] = history.Start(t, part, s.seg.File(), i)
	}
	return players
}

// round plays one in which nobody dies, and returns what happened.
func (s *scene) round(t testing.TB, round int) []operation {
	sem := s.make(t, round)
	s.book.Begin()
	for i := range users {
		s.book.Await(i)
	}
	s.look(sem)
	require.NoError(t, sem.Close())
	return s.book.Operations()
}

func TestSemaphoreLinearizable(t *testing.T) {
	s := newScene(t)
	s.start(t, "use")
	overlaps, rounds := 0, history.Rounds(200)
	for round := 1; round <= rounds; round++ {
		ops := s.round(t, round)
		overlaps += history.Overlaps(ops)
		semaphoreSpec(capacityOf(round)).Require(t, splitFailures(ops))
		require.Equal(t, capacityOf(round), ops[len(ops)-1].Out.N, "permits lost or doubled")
	}
	t.Logf("%d operations overlapped in each of %d histories", overlaps/rounds, rounds)
	require.Greater(t, overlaps, rounds, "what does not overlap shows nothing")
}

// Turns change the order in which processes are served, and nothing else; that a TryAcquire fails tells nothing then.
func TestSemaphoreLinearizableInTurns(t *testing.T) {
	for name, robust := range map[string]bool{"plain": false, "robust": true} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.robust, s.turns = robust, true
			s.start(t, "use")
			for round := 1; round <= history.Rounds(100); round++ {
				ops := slices.DeleteFunc(s.round(t, round), func(o operation) bool { return o.In.Op == opTry && !o.Out.OK })
				semaphoreSpec(capacityOf(round)).Require(t, splitFailures(ops))
				require.Equal(t, capacityOf(round), ops[len(ops)-1].Out.N, "permits lost or doubled")
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

// look has the test note how many permits are free.
func (s *scene) look(sem *semaphore.Semaphore) {
	s.book.Scribe(test).Do(call{Op: opValue}, func() result { return result{N: sem.Value()} })
}

// What a process that is killed holds stays held, what it was about to take or to give back is taken or given back or not, and the
// others go on.
func TestSemaphoreLinearizableWithDeaths(t *testing.T) {
	s := newScene(t)
	players := s.start(t, "use or die")
	unfinished, rounds := 0, history.Rounds(50)
	for round := 1; round <= rounds || unfinished == 0; round++ {
		sem := s.make(t, round)
		s.book.Begin()
		victim := round % users
		for i := range players {
			if i != victim {
				s.book.Await(i)
			}
		}
		players[victim].Wait()
		s.book.Killed(victim)
		players[victim] = history.Start(t, "use or die", s.seg.File(), victim)
		s.look(sem)
		ops := s.book.Operations()
		for _, o := range ops {
			if o.Out == nil {
				unfinished++
			}
		}
		semaphoreSpec(capacityOf(round)).Require(t, splitFailures(ops))
		require.NoError(t, sem.Close())
	}
	t.Logf("%d of %d were killed within an operation", unfinished, rounds)
}

// The checker finds what is wrong: a TryAcquire with the outcome that it did not have, and permits taken that a smaller semaphore has
// not.
func TestSemaphoreChecker(t *testing.T) {
	s := newScene(t)
	s.start(t, "use")
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

//go:build linux && (amd64 || arm64)

package semaphore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/shmkit/shmkit/internal/history"
	"github.com/shmkit/shmkit/semaphore"
)

// The parties of these tests come in rounds, all of them the same number of times, until the barrier is broken: that is an episode. Then the
// test looks at what they have noted, replaces the dead, resets the barrier, and begins the next.
const (
	partiesOf = 4

	boardEpisode = 64 + iota
	boardHeld    // 1 + the party that holds back in this episode, at round boardHeldAt until boardFreed is the episode
	boardHeldAt
	boardFreed
	boardGivesUp // 1 + the party whose context ends while another holds back

	boardArrived = 128 // by party: episode<<32 | rounds in which it has come
	boardPassed  = 160 // by party: episode<<32 | rounds that have passed for it
	boardParked  = 192 // by party: the episode that is over for it
	boardFirst   = 224 // by party: the episode before its first
	boardPids    = 256 // by party
	boardIndices = 512 // by round of the episode, modulo: the round, and the indices that were given, 8 bits each
	indexWords   = 512
)

func init() { parts["party"] = party }

// party is one of them.
func party(f *os.File, process int) error {
	g, err := openGround(f)
	if err != nil {
		return err
	}
	b, err := semaphore.AttachBarrier(g.object())
	if err != nil {
		return err
	}
	g.word(boardPids + process).Store(uint64(os.Getpid()))
	for e := g.word(boardFirst+process).Load() + 1; ; e++ {
		g.await(func() bool { return g.word(boardEpisode).Load() == e })
		for r := uint64(0); ; r++ {
			if err := g.come(b, process, e, r); errors.Is(err, semaphore.ErrBroken) || errors.Is(err, errGaveUp) {
				break
			} else if err != nil {
				return fmt.Errorf("episode %d, round %d: %w", e, r, err)
			}
		}
		g.note(boardParked+process, e)
	}
}

var errGaveUp = errors.New("gave up")

// come comes once, and looks at what the others have noted.
func (g ground) come(b *semaphore.Barrier, process int, e, r uint64) error {
	ctx, cancel := context.WithTimeout(context.Background(), watchdog)
	defer cancel()
	held := r == g.word(boardHeldAt).Load()
	if held && g.word(boardHeld).Load() == uint64(process)+1 {
		g.await(func() bool { return g.word(boardFreed).Load() == e })
	}
	givesUp := held && g.word(boardGivesUp).Load() == uint64(process)+1
	if givesUp {
		ctx, cancel = context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
	}
	g.word(boardArrived + process).Store(e<<32 | (r + 1))
	index, err := b.Wait(ctx)
	if givesUp && errors.Is(err, context.DeadlineExceeded) {
		return errGaveUp
	}
	if err != nil {
		return err
	}
	for i := range partiesOf {
		if at := g.word(boardArrived + i).Load(); at < e<<32|(r+1) {
			return fmt.Errorf("party %d has gone on without party %d, which is at %#x", process, i, at)
		}
	}
	if err := g.index(index, r); err != nil {
		return err
	}
	g.word(boardPassed + process).Store(e<<32 | (r + 1))
	return nil
}

// index notes that a party had that index in round r.
func (g ground) index(index int, r uint64) error {
	w := g.word(boardIndices + int(r%indexWords))
	for {
		was := w.Load()
		next := was
		if was>>8 != r+1 {
			next = (r + 1) << 8
		}
		if index < 0 || index >= partiesOf || next&(1<<index) != 0 {
			return fmt.Errorf("index %d of round %d again: %#x", index, r, was)
		}
		if w.CompareAndSwap(was, next|1<<index) {
			return nil
		}
	}
}

// A thousand rounds of four processes, in which the barrier is broken again and again: by who is killed in Wait or anywhere, by who gives up, by
// an abort and by a reset. All that live are told the same of every round, and each index is one party's.
func TestBarrierProcesses(t *testing.T) {
	g := newGround(t)
	b, err := semaphore.NewBarrierAt(g.object(), partiesOf)
	require.NoError(t, err)
	b.Word().Store(semaphore.RoundWord(1<<15-3, 1<<32-200)) // wraps on the way
	b.Resets().Store(1<<32 - 3)
	var players [partiesOf]*history.Player
	for i := range players {
		players[i] = history.Start(t, "party", g.seg.File(), i)
	}
	rounds, want, deaths := uint64(0), uint64(history.Rounds(1000)), 0
	for e := uint64(1); rounds < want; e++ {
		dead := g.episode(t, b, players, e)
		passed := g.requireAgreement(t, e, dead)
		rounds += passed
		if dead >= 0 {
			deaths++
			g.word(boardFirst + dead).Store(e)
			g.word(boardParked + dead).Store(0)
			players[dead] = history.Start(t, "party", g.seg.File(), dead)
		}
		b.Reset()
		require.False(t, b.Broken())
	}
	t.Logf("%d rounds, %d deaths", rounds, deaths)
	require.NotZero(t, deaths)
	for _, p := range players {
		p.Kill()
	}
	require.NoError(t, b.Close())
}

// episode plays one, and returns who was killed, -1 for nobody.
func (g ground) episode(t *testing.T, b *semaphore.Barrier, players [partiesOf]*history.Player, e uint64) (dead int) {
	for i := range indexWords {
		g.word(boardIndices + i).Store(0)
	}
	last := 20 + rand.Uint64N(60)
	held, victim := rand.IntN(partiesOf), -1
	other := (held + 1 + rand.IntN(partiesOf-1)) % partiesOf
	kind := int(e % 6)
	g.word(boardHeld).Store(0)
	g.word(boardGivesUp).Store(0)
	g.word(boardHeldAt).Store(last)
	if kind != 1 { // all but one come to round last, and wait there
		g.word(boardHeld).Store(uint64(held) + 1)
	}
	if kind == 4 {
		g.word(boardGivesUp).Store(uint64(other) + 1)
	}
	g.note(boardEpisode, e)
	switch kind {
	case 1: // anywhere: it may not be in Wait
		until(t, "they come", func() bool { return g.word(boardPassed+held).Load() >= e<<32|last })
		victim = held
		players[victim].Kill()
		b.Abort()
	case 4:
	default:
		until(t, "they wait", func() bool { return g.arrived(e<<32|(last+1), held) && b.Waiting() == partiesOf-1 })
		switch kind {
		case 0, 5:
			victim = other
			players[victim].Kill()
		case 2:
			b.Abort()
		case 3:
			b.Reset()
			until(t, "who waited is told", func() bool { return g.parked(e, held) })
			b.Abort() // for the one who comes now
		}
	}
	until(t, "who waits is told", func() bool { return g.parked(e, held, victim) })
	require.True(t, b.Broken())
	g.note(boardFreed, e)
	until(t, "all know", func() bool { return g.parked(e, victim) })
	return victim
}

// arrived reports whether all but one have come to that round.
func (g ground) arrived(at uint64, but int) bool {
	for i := range partiesOf {
		if i != but && g.word(boardArrived+i).Load() != at {
			return false
		}
	}
	return true
}

// parked reports whether the episode is over for all but some.
func (g ground) parked(e uint64, but ...int) bool {
	for i := range partiesOf {
		is := g.word(boardParked+i).Load() == e
		for _, k := range but {
			is = is || i == k
		}
		if !is {
			return false
		}
	}
	return true
}

// requireAgreement returns how many rounds of the episode have passed.
func (g ground) requireAgreement(t *testing.T, e uint64, dead int) (passed uint64) {
	for i := range partiesOf {
		if i == dead {
			continue
		}
		n := g.word(boardPassed + i).Load()
		if n>>32 != e {
			n = e << 32 // none has passed
		}
		if passed == 0 {
			passed = n
		}
		require.Equal(t, passed, n, "party %d was told otherwise", i)
	}
	passed &= 1<<32 - 1
	for r := uint64(0); r+1 < passed; r++ { // in the last, the dead may not have noted its own
		require.Equal(t, (r+1)<<8|(1<<partiesOf-1), g.word(boardIndices+int(r)).Load(), "indices of round %d", r)
	}
	return passed
}

// A party that is stopped in Wait is not dead: it is waited for, and is told later what became of its round.
func TestBarrierPartyIsStopped(t *testing.T) {
	g := newGround(t)
	b, err := semaphore.NewBarrierAt(g.object(), partiesOf)
	require.NoError(t, err)
	const stopped, held = 0, 1
	for i := range partiesOf - 1 {
		history.Start(t, "party", g.seg.File(), i)
	}
	g.word(boardHeld).Store(held + 1)
	g.word(boardHeldAt).Store(0)
	g.note(boardEpisode, 1)
	until(t, "two wait", func() bool { return b.Waiting() == partiesOf-2 })
	pid := int(g.word(boardPids + stopped).Load())
	require.NoError(t, unix.Kill(pid, unix.SIGSTOP))
	g.word(boardArrived + partiesOf - 1).Store(1<<32 | 1) // the test is a party
	own := waitAt(watched(t), b)
	until(t, "three wait", func() bool { return b.Waiting() == partiesOf-1 })
	b.Recover()
	require.False(t, b.Broken())
	g.note(boardFreed, 1)
	require.NoError(t, recv(t, own, "the round passes, with one who cannot know").err)
	until(t, "the others are in the next round", func() bool { return b.Waiting() == 2 })
	b.Abort()
	b.Reset()
	b.Abort()
	require.NoError(t, unix.Kill(pid, unix.SIGCONT))
	until(t, "it knows", func() bool { return g.parked(1, partiesOf-1) })
	for i := range partiesOf - 1 {
		require.EqualValues(t, 1<<32|1, g.word(boardPassed+i).Load(), "party %d", i)
	}
	require.NoError(t, b.Close())
}

// Who waits is told at once of the death of one that made its handle, and came, only after it: without looking for itself.
func TestBarrierNewcomerDies(t *testing.T) {
	g := newGround(t)
	b, err := semaphore.NewBarrierAt(g.object(), 3)
	require.NoError(t, err)
	b.Unbounded()
	waits := waitAt(watched(t), b)
	until(t, "it sleeps", b.Asleep)
	p := history.Start(t, "party", g.seg.File(), 0)
	g.note(boardEpisode, 1)
	until(t, "two wait", func() bool { return b.Waiting() == 2 })
	p.Kill()
	require.Equal(t, semaphore.ErrBroken, recv(t, waits, "it is told").err)
	require.NoError(t, b.Close())
}

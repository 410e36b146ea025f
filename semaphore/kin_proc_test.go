//go:build linux && (amd64 || arm64)

package semaphore_test

import (
	"context"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/shmkit/shmkit/internal/history"
	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/semaphore"
	"github.com/shmkit/shmkit/shm"
)

// A ground is what the processes of a test share: an object, and a board on which they note what they do, which the object knows nothing of.
type ground struct{ seg *shm.Segment }

const (
	boardAt    = 40 << 10
	boardWords = 8 << 10
	groundSize = boardAt + 8*boardWords
)

func newGround(t testing.TB) ground {
	seg, err := shm.New("kin", groundSize)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, seg.Close()) })
	require.NoError(t, seg.Reserve(0, groundSize))
	return ground{seg}
}

func openGround(f *os.File) (ground, error) {
	seg, err := shm.Attach(f)
	return ground{seg}, err
}

func (g ground) object() []byte { return g.seg.Bytes()[:boardAt] }

func (g ground) word(i int) *atomic.Uint64 {
	return layout.MustAt[atomic.Uint64](g.seg.Bytes(), boardAt+8*int64(i))
}

// await waits for what another process will note. It looks each Step, or when it is told.
func (g ground) await(cond func() bool) {
	e := g.told()
	for !cond() {
		ticket := e.Announce()
		if cond() {
			return
		}
		e.Sleep(ticket, semaphore.Step)
	}
}

// note sets a word of the board and tells all.
func (g ground) note(i int, v uint64) {
	g.word(i).Store(v)
	g.told().NotifyAll()
}

func (g ground) told() semaphore.Eventcount {
	return semaphore.EventcountOn(layout.MustAt[atomic.Uint32](g.seg.Bytes(), groundSize-8))
}

// Words of the boards of these tests.
const (
	boardHolders = iota // of a robust semaphore: 16 bits for each permit, the number of the process that has it
	boardUses
	boardWrong // not 0: somebody has found what must not be
	boardGo    // what the test wants
	boardPid
	boardDoomed = 1024 // by number of the process: it is killed, what it has does not count
)

const kinPermits = 3

func init() {
	parts["hold"] = hold
	parts["use until killed"] = useUntilKilled
	parts["do once"] = doOnce
}

// hold acquires a permit and gives it back when the test says so.
func hold(f *os.File, process int) error {
	g, err := openGround(f)
	if err != nil {
		return err
	}
	s, err := semaphore.Attach(g.object())
	if err != nil {
		return err
	}
	if err := s.Acquire(context.Background(), 1); err != nil {
		return err
	}
	g.note(boardPid, uint64(os.Getpid()))
	g.await(func() bool { return g.word(boardGo).Load() == 1 })
	s.Release(1)
	g.await(func() bool { return false })
	return nil
}

// useUntilKilled takes permits, enters them, and gives them back. process is a number that no other has.
func useUntilKilled(f *os.File, process int) error {
	g, err := openGround(f)
	if err != nil {
		return err
	}
	s, err := semaphore.Attach(g.object())
	if err != nil {
		return err
	}
	for {
		n := 1 + rand.Int64N(kinPermits)
		ctx, cancel := context.WithTimeout(context.Background(), watchdog)
		if rand.IntN(4) == 0 {
			ctx, cancel = context.WithTimeout(ctx, rand.N(200*time.Microsecond))
		}
		err := s.Acquire(ctx, n)
		late := ctx.Err() != nil
		cancel()
		if err != nil {
			if !late {
				return err
			}
			continue
		}
		if !g.enter(process, n) {
			g.word(boardWrong).Store(uint64(process))
		}
		for range rand.IntN(100) {
			g.word(boardUses).Add(1)
		}
		g.leave(process)
		s.Release(n)
	}
}

// enter notes that a process has n permits. It reports false if so many living ones have permits that there cannot be as many left.
func (g ground) enter(process int, n int64) (ok bool) {
	for {
		was := g.word(boardHolders).Load()
		next, left := was, n
		for i := range kinPermits {
			holder := int(was >> (16 * i) & 0xffff)
			if left > 0 && (holder == 0 || g.word(boardDoomed+holder).Load() != 0) {
				next = next&^(0xffff<<(16*i)) | uint64(process)<<(16*i)
				left--
			}
		}
		if left > 0 && g.word(boardHolders).Load() == was {
			return false
		}
		if left == 0 && g.word(boardHolders).CompareAndSwap(was, next) {
			return true
		}
	}
}

func (g ground) leave(process int) {
	for {
		was := g.word(boardHolders).Load()
		next := was
		for i := range kinPermits {
			if int(was>>(16*i)&0xffff) == process {
				next &^= 0xffff << (16 * i)
			}
		}
		if g.word(boardHolders).CompareAndSwap(was, next) {
			return
		}
	}
}

// Processes are killed at any moment, with permits or without, and others take their places. The permits come back, and never
// more than there are are held.
func TestRobustProcessesAreKilled(t *testing.T) {
	g := newGround(t)
	s, err := semaphore.NewRobustAt(g.object(), kinPermits)
	require.NoError(t, err)
	const kin = 4
	next := 0
	start := func() (*history.Player, int) {
		next++
		return history.Start(t, "use until killed", g.seg.File(), next), next
	}
	var players [kin]*history.Player
	var numbers [kin]int
	for i := range players {
		players[i], numbers[i] = start()
	}
	kill := func(i int) {
		g.word(boardDoomed + numbers[i]).Store(1)
		players[i].Kill()
	}
	for range history.Rounds(120) {
		from := g.word(boardUses).Load()
		until(t, "they go on", func() bool { return g.word(boardUses).Load() > from+rand.Uint64N(2000) })
		i := rand.IntN(kin)
		kill(i)
		require.Zero(t, g.word(boardWrong).Load(), "more permits are held than there are")
		players[i], numbers[i] = start()
	}
	for i := range players {
		kill(i)
	}
	require.NoError(t, s.Acquire(watched(t), kinPermits), "all permits have come back")
	require.Zero(t, s.Value())
	s.Release(kinPermits)
	require.NoError(t, s.Close())
	require.Zero(t, g.word(boardWrong).Load())
}

// A holder that is stopped is not dead. One that is killed is: who waits is told at once, and does not find out by looking.
func TestRobustHolderIsStoppedAndKilled(t *testing.T) {
	for _, killed := range []bool{false, true} {
		g := newGround(t)
		s, err := semaphore.NewRobustAt(g.object(), 1)
		require.NoError(t, err)
		p := history.Start(t, "hold", g.seg.File(), 0)
		g.await(func() bool { return g.word(boardPid).Load() != 0 })
		pid := int(g.word(boardPid).Load())
		require.NoError(t, unix.Kill(pid, unix.SIGSTOP))
		ctx, cancel := context.WithTimeout(t.Context(), 3*semaphore.Step)
		require.ErrorIs(t, s.Acquire(ctx, 1), context.DeadlineExceeded, "it is stopped, and not dead")
		cancel()
		require.False(t, s.TryAcquire(1))
		s.Unbounded()
		waits := acquire(watched(t), s, 1)
		until(t, "it sleeps", s.Asleep)
		if killed {
			p.Kill()
		} else {
			require.NoError(t, unix.Kill(pid, unix.SIGCONT))
			g.note(boardGo, 1)
		}
		require.NoError(t, recv(t, waits, "it has the permit"))
		s.Release(1)
		require.NoError(t, s.Close())
	}
}

// doOnce does it, fails, or dies of it, until it is done.
func doOnce(f *os.File, process int) error {
	g, err := openGround(f)
	if err != nil {
		return err
	}
	o, err := semaphore.AttachOnce(g.object())
	if err != nil {
		return err
	}
	for failed := true; failed; {
		ctx, cancel := context.WithTimeout(context.Background(), watchdog)
		err := o.Do(ctx, func() error {
			if !g.word(boardHolders).CompareAndSwap(0, uint64(process)) {
				g.word(boardWrong).Store(uint64(process))
			}
			for range rand.IntN(1000) {
				g.word(boardUses).Add(1)
			}
			kind := rand.IntN(4)
			if kind == 0 {
				g.word(boardGo).Add(1) // how often it was done
			}
			g.word(boardHolders).Store(0)
			if kind == 1 {
				must(unix.Kill(os.Getpid(), unix.SIGKILL))
			}
			if kind == 0 {
				return nil
			}
			return context.Canceled
		})
		cancel()
		if failed = err != nil; failed && err != context.Canceled {
			return err
		}
	}
	g.note(boardDoomed+process, 1)
	g.await(func() bool { return g.word(boardPid).Load() != 0 })
	os.Exit(0)
	return nil
}

// Of some processes each does it, fails or dies, until one has done it: nobody does it at the same time, or again.
func TestOnceProcessesDie(t *testing.T) {
	const kin = 3
	for range history.Rounds(24) {
		g := newGround(t)
		o, err := semaphore.NewOnceAt(g.object())
		require.NoError(t, err)
		died := make(chan int, 64)
		next, alive := 0, map[int]bool{}
		start := func() {
			next++
			number := next
			p := history.Start(t, "do once", g.seg.File(), number)
			alive[number] = true
			go func() { p.Wait(); died <- number }()
		}
		for range kin {
			start()
		}
		done := func() bool {
			for number := range alive {
				if g.word(boardDoomed+number).Load() == 0 {
					return false
				}
			}
			return true
		}
		for !done() {
			select {
			case number := <-died:
				delete(alive, number)
				start()
			case <-time.After(time.Millisecond): // to look again
			case <-watched(t).Done():
				require.FailNow(t, "nobody does it")
			}
		}
		require.EqualValues(t, 1, g.word(boardGo).Load(), "so often it was done")
		require.Zero(t, g.word(boardWrong).Load(), "two have done it at the same time")
		require.True(t, o.Done())
		require.NoError(t, o.Do(t.Context(), func() error { t.Error("again"); return nil }))
		require.NoError(t, o.Close())
		g.note(boardPid, 1) // they may end
		for range alive {
			recv(t, died, "the end of a process")
		}
	}
}

// Who waits for a permit, at a barrier or for a once goes on waiting while signals interrupt its sleep, until it is served or its context ends.
func TestKinInAStorm(t *testing.T) {
	rounds := storm(t)
	const patience = 20 * time.Millisecond
	s := newRobust(t, 1, 2)
	b := newBarrier(t, 2, 2)
	o := newOnce(t, 2)
	require.True(t, s[0].TryAcquire(1))
	begun, finish := make(chan struct{}), make(chan struct{})
	first := do(watched(t), o[0], func() error { close(begun); <-finish; return errFailed })
	recv(t, begun, "it begins")
	for name, tt := range map[string]struct {
		wait  func(ctx context.Context) error
		serve func()
	}{
		"permit": {func(ctx context.Context) error { return s[1].Acquire(ctx, 1) }, func() { s[0].Release(1) }},
		"party": {func(ctx context.Context) error {
			_, err := b[1].Wait(ctx)
			return err
		}, func() { requirePasses(t, b[:1], 1) }},
		"once": {func(ctx context.Context) error { return o[1].Do(ctx, succeed) }, func() { close(finish) }},
	} {
		since := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		require.ErrorIs(t, tt.wait(ctx), context.DeadlineExceeded, name)
		cancel()
		require.GreaterOrEqual(t, time.Since(since), patience, name)
		b[0].Reset()
		done := make(chan error, 1)
		ctx = watched(t)
		go func() { done <- tt.wait(ctx) }()
		from := rounds.Load()
		until(t, "the storm rages", func() bool { return rounds.Load() > from+50 })
		require.Empty(t, done, name)
		tt.serve()
		require.NoError(t, recv(t, done, name), name)
	}
	require.Equal(t, errFailed, recv(t, first, "the first has failed"))
	s[1].Release(1)
}

// Who waits is told at once of the death of one that made its handle only after it, and came to the permit before it.
func TestRobustNewcomerDies(t *testing.T) {
	g := newGround(t)
	s, err := semaphore.NewRobustAt(g.object(), 2)
	require.NoError(t, err)
	require.True(t, s.TryAcquire(1))
	other, err := semaphore.Attach(g.object())
	require.NoError(t, err)
	other.Unbounded()
	waits := acquire(watched(t), other, 2) // for which one is not enough
	until(t, "it sleeps", other.Asleep)
	p := history.Start(t, "hold", g.seg.File(), 0)
	g.await(func() bool { return g.word(boardPid).Load() != 0 })
	until(t, "it sleeps", other.Asleep)
	require.Empty(t, waits)
	s.Release(1)
	until(t, "it sleeps", other.Asleep)
	p.Kill()
	require.NoError(t, recv(t, waits, "both permits"))
	require.NoError(t, other.Close())
	require.NoError(t, s.Close())
}

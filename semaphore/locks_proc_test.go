package semaphore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"structs"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/semaphore"
)

// Where the locks of these tests lie in the memory of a stage, with what they guard and what is known of it.
const (
	locksAt   = 4096
	rwAt      = locksAt + semaphore.MutexSize
	guardedAt = rwAt + semaphore.RWMutexSize
	locksSize = guardedAt - locksAt + 4096
)

// guarded is what two locks guard, and the ledger that their users keep of it. The ledger is by atomics, which no lock orders.
type guarded struct {
	_ structs.HostLayout

	a, b uint64 // equal, except within a section of a writer, or when one died there

	inside  atomic.Uint64 // the pid of who is within an exclusive section, 0 for nobody
	readers atomic.Int64  // of whom none has died
	uses    atomic.Int64
	deaths  atomic.Int64  // holders whose death somebody was told of
	stopped atomic.Uint32 // 1: those who use it forever stop
}

// locks are a process's handles on what a stage has, made when it first asks for them.
type locks struct {
	*semaphore.Mutex
	rw *semaphore.RWMutex
	*guarded
}

var locksHere sync.Map // *byte of the memory -> *locks

func (st *stage) locks() *locks {
	if l, ok := locksHere.Load(&st.mem[0]); ok {
		return l.(*locks)
	}
	m, err := semaphore.AttachMutex(st.mem[locksAt:])
	if err != nil {
		panic(err)
	}
	rw, err := semaphore.AttachRWMutex(st.mem[rwAt:])
	if err != nil {
		panic(err)
	}
	l := &locks{m, rw, layout.MustAt[guarded](st.mem, guardedAt)}
	locksHere.Store(&st.mem[0], l)
	return l
}

// newLocks makes a stage with locks.
func newLocks(t *testing.T) (*stage, *locks) {
	st := newStage(t, 1)
	m, err := semaphore.NewMutexAt(st.mem[locksAt:])
	require.NoError(t, err)
	require.NoError(t, m.Close())
	rw, err := semaphore.NewRWMutexAt(st.mem[rwAt:])
	require.NoError(t, err)
	require.NoError(t, rw.Close())
	l := st.locks()
	t.Cleanup(func() {
		locksHere.Delete(&st.mem[0])
		require.NoError(t, l.Close())
		require.NoError(t, l.rw.Close())
	})
	return st, l
}

// leaveDescriptors leaves this process room for so many, where that can be done.
var leaveDescriptors func(free int) error

// obeyLock carries out a line that is about locks.
func obeyLock(st *stage, word string, n uint64) error {
	l, ctx := st.locks(), context.Background()
	switch word {
	case "locks":
	case "patient":
		l.Mutex.Unbounded()
		l.rw.Unbounded()
	case "lock":
		return answer(word, l.Lock(ctx))
	case "poor":
		return leaveDescriptors(int(n))
	case "lock-in-vain":
		return l.lockInVain()
	case "unlock":
		l.Unlock()
	case "write":
		return answer(word, l.rw.Lock(ctx))
	case "unwrite":
		l.rw.Unlock()
	case "read":
		return answer(word, l.rw.RLock(ctx))
	case "unread":
		l.rw.RUnlock()
	case "use":
		return l.useMany(n)
	case "use-rw":
		return l.useManyRW(n)
	default:
		return fmt.Errorf("unknown command")
	}
	return nil
}

// lockInVain waits for a lock that somebody has, and looks at it several times meanwhile. It fails if it gets it.
func (l *locks) lockInVain() error {
	ctx, cancel := context.WithTimeout(context.Background(), 4*semaphore.Step)
	defer cancel()
	if err := l.Lock(ctx); !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("another process has the lock, and Lock returns: %v", err)
	}
	return nil
}

// answer says, in front of the puppet's own answer, that an owner has died.
func answer(word string, err error) error {
	if errors.Is(err, semaphore.ErrOwnerDied) {
		fmt.Println("died:", word)
		return nil
	}
	return err
}

// useMany locks and unlocks from three goroutines until it is told to stop, or is killed.
func (l *locks) useMany(seed uint64) error {
	return l.inThree(seed, func(ctx context.Context, _ *rand.Rand) error { return l.useOnce(ctx, l.Mutex) })
}

func (l *locks) useManyRW(seed uint64) error {
	return l.inThree(seed, func(ctx context.Context, rng *rand.Rand) error {
		if rng.IntN(3) == 0 {
			return l.useOnce(ctx, l.rw)
		}
		return l.readOnce(ctx)
	})
}

func (l *locks) inThree(seed uint64, use func(ctx context.Context, rng *rand.Rand) error) error {
	const goroutines = 3
	done := make(chan struct{}, goroutines)
	for g := range uint64(goroutines) {
		rng := rand.New(rand.NewPCG(seed, g))
		go func() {
			for l.stopped.Load() == 0 {
				ctx, cancel := context.WithTimeout(context.Background(), watchdog)
				if rng.IntN(4) == 0 {
					ctx, cancel = context.WithTimeout(ctx, time.Duration(rng.IntN(200))*time.Microsecond)
				}
				err := use(ctx, rng)
				short := ctx.Err() != nil
				cancel()
				if err != nil && !(short && errors.Is(err, context.DeadlineExceeded)) {
					fmt.Fprintln(os.Stderr, "puppet:", err)
					os.Exit(1) // the others may wait for what it holds
				}
			}
			done <- struct{}{}
		}()
	}
	for range goroutines {
		<-done
	}
	return nil
}

// useOnce is one section of a holder, or of a writer: it makes a and b unequal for a moment.
func (l *locks) useOnce(ctx context.Context, lock interface {
	Lock(context.Context) error
	Unlock()
}) error {
	err := lock.Lock(ctx)
	died := errors.Is(err, semaphore.ErrOwnerDied)
	if err != nil && !died {
		return err
	}
	me := uint64(os.Getpid())
	was := l.inside.Swap(me)
	switch {
	case died:
		if was == me {
			return fmt.Errorf("told of an own death")
		}
		l.deaths.Add(1)
		l.b = l.a
	case was != 0:
		return fmt.Errorf("process %d is inside, or has died there and nobody is told", was)
	case l.a != l.b:
		return fmt.Errorf("half of a section of the dead, and nobody is told")
	}
	l.a++
	if r := l.readers.Load(); r != 0 {
		return fmt.Errorf("%d readers beside a writer", r)
	}
	l.b++
	l.uses.Add(1)
	l.inside.Store(0)
	lock.Unlock()
	return nil
}

func (l *locks) readOnce(ctx context.Context) error {
	err := l.rw.RLock(ctx)
	died := errors.Is(err, semaphore.ErrOwnerDied)
	if err != nil && !died {
		return err
	}
	if l.a != l.b && !died {
		return fmt.Errorf("%d and %d: half of a section", l.a, l.b)
	}
	if in := l.inside.Load(); in != 0 && !died {
		return fmt.Errorf("a writer %d beside a reader", in)
	}
	l.uses.Add(1)
	l.rw.RUnlock()
	return nil
}

// chaos has four processes use a lock, kills one after the other at random, and starts others, until so many died within a section.
func chaos(t *testing.T, command string, died int64) {
	st, l := newLocks(t)
	const processes = 4
	start := func(i int) *puppetHandle {
		p := st.puppet(t)
		p.tell("locks")
		p.expect("locks")
		p.tell("%s %d", command, i)
		return p
	}
	all := make([]*puppetHandle, processes)
	for i := range all {
		all[i] = start(i)
	}
	killed := 0
	for l.deaths.Load() < died {
		uses := l.uses.Load()
		more := rand.Int64N(200)
		until(t, "they go on", func() bool { return l.uses.Load() > uses+more })
		victim := rand.IntN(processes)
		for i, p := range all {
			require.Empty(t, p.lines, "process %d has ended", i)
		}
		all[victim].kill()
		killed++
		all[victim] = start(processes + killed)
	}
	l.stopped.Store(1)
	for _, p := range all {
		p.expect(command)
	}
	ctx := watched(t)
	for _, lock := range []interface {
		Lock(context.Context) error
		Unlock()
	}{l.Mutex, l.rw} {
		if err := lock.Lock(ctx); err != nil {
			require.ErrorIs(t, err, semaphore.ErrOwnerDied)
		}
		lock.Unlock()
		require.NoError(t, lock.Lock(ctx), "it is told once")
		lock.Unlock()
	}
	t.Logf("%d uses; %d processes were killed, %d of them within a section", l.uses.Load(), killed, l.deaths.Load())
}

func TestMutexChaos(t *testing.T) { chaos(t, "use", 10) }

func TestRWMutexChaos(t *testing.T) { chaos(t, "use-rw", 5) }

// Four processes, and nobody dies: all who sleep are told by others.
func TestLocksBetweenProcesses(t *testing.T) {
	for _, command := range []string{"use", "use-rw"} {
		t.Run(command, func(t *testing.T) {
			st, l := newLocks(t)
			var all []*puppetHandle
			for i := range 4 {
				p := st.puppet(t)
				p.tell("patient\n%s %d", command, i)
				p.expect("patient")
				all = append(all, p)
			}
			until(t, "uses", func() bool { return l.uses.Load() > 5000 })
			l.stopped.Store(1)
			for _, p := range all {
				p.expect(command)
			}
			assert.Zero(t, l.deaths.Load())
			assert.Equal(t, l.a, l.b)
			require.NoError(t, l.Lock(watched(t)))
			l.Unlock()
			require.NoError(t, l.rw.Lock(watched(t)))
			l.rw.Unlock()
		})
	}
}

// A holder is killed: those who wait, in this process and in another, are told by the kernel and not by a look at the clock, and the first
// of them hears that it died.
func TestLockHolderKilled(t *testing.T) {
	for _, tt := range []struct {
		hold, wait, leave string
		here              func(l *locks) error
		leaveHere         func(l *locks)
		clean             bool // nothing was being written
	}{
		{hold: "lock", wait: "lock", leave: "unlock", here: func(l *locks) error { return l.Lock(watched(t)) }, leaveHere: func(l *locks) { l.Unlock() }},
		{hold: "write", wait: "write", leave: "unwrite", here: func(l *locks) error { return l.rw.Lock(watched(t)) }, leaveHere: func(l *locks) { l.rw.Unlock() }},
		{hold: "write", wait: "read", leave: "unread", here: func(l *locks) error { return l.rw.RLock(watched(t)) }, leaveHere: func(l *locks) { l.rw.RUnlock() }},
		{hold: "read", wait: "write", leave: "unwrite", here: func(l *locks) error { return l.rw.Lock(watched(t)) }, leaveHere: func(l *locks) { l.rw.Unlock() }, clean: true},
	} {
		t.Run(tt.hold+", "+tt.wait, func(t *testing.T) {
			st, l := newLocks(t)
			l.Mutex.Unbounded()
			l.rw.Unbounded()
			holder, waiter := st.puppet(t), st.puppet(t)
			holder.tell("%s", tt.hold)
			holder.expect(tt.hold)
			waiter.tell("patient\n%s", tt.wait)
			waiter.expect("patient")
			here := make(chan error, 1)
			go func() { here <- tt.here(l) }()
			until(t, "asleep", func() bool {
				return l.Mutex.Asleep() || l.rw.WriterAsleep() || l.rw.ReaderAsleep() || l.rw.DrainAsleep()
			})
			holder.kill()
			told := 0
			hear := func(line string) bool {
				if line == "died: "+tt.wait {
					told++
					line = recv(t, waiter.lines, "the command")
				}
				require.Equal(t, tt.wait, line)
				return true
			}
			for served := 0; served < 2; served++ {
				select {
				case err := <-here:
					if err != nil {
						require.ErrorIs(t, err, semaphore.ErrOwnerDied)
						told++
					}
					tt.leaveHere(l)
				case line := <-waiter.lines:
					hear(line)
					waiter.tell("%s", tt.leave)
					waiter.expect(tt.leave)
				case <-time.After(watchdog):
					require.FailNow(t, "nobody is told")
				}
			}
			switch {
			case tt.clean:
				assert.Zero(t, told)
			case tt.wait == "read":
				assert.Equal(t, 2, told, "nobody has written")
			default:
				assert.Equal(t, 1, told)
			}
		})
	}
}

// One who waits is killed: nobody else waits for it.
func TestLockWaiterKilled(t *testing.T) {
	for _, wait := range []string{"lock", "write", "read"} {
		t.Run(wait, func(t *testing.T) {
			st, l := newLocks(t)
			require.NoError(t, l.Lock(watched(t)))
			require.NoError(t, l.rw.Lock(watched(t)))
			p := st.puppet(t)
			p.tell("locks")
			p.expect("locks")
			p.tell("%s", wait)
			until(t, "it waits", func() bool {
				return l.Claim(0).Load() != 0 || l.rw.Count(1).Load()&(1<<40-1) != 0 || l.rw.Word().Load()&semaphore.Claimed != 0
			})
			p.kill()
			l.Unlock()
			l.rw.Unlock()
			for range 3 * semaphore.MaxPassed {
				require.NoError(t, l.Lock(watched(t)))
				l.Unlock()
				require.NoError(t, l.rw.Lock(watched(t)))
				l.rw.Unlock()
			}
		})
	}
}

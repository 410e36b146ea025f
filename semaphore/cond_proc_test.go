//go:build linux && (amd64 || arm64)

package semaphore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/history"
	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/semaphore"
	"github.com/shmkit/shmkit/shm"
)

func init() {
	parts["wait"] = func(f *os.File, process int) error {
		return onTray(f, func(t tray) error { return t.waitOnce(process) })
	}
	parts["take"] = func(f *os.File, process int) error {
		return onTray(f, func(t tray) error { return t.takeOne(process) })
	}
}

// A tray is a lock, a condition, and what lies on it: tokens, guarded by the lock, and how many each process has taken.
type tray struct {
	*semaphore.Cond
	tokens *atomic.Int64
	taken  []atomic.Int64
}

const (
	trayTokens = semaphore.MutexSize + semaphore.CondSize
	traySize   = trayTokens + layout.Line
)

func openTray(mem []byte, mutex func([]byte) (*semaphore.Mutex, error), cond func([]byte, *semaphore.Mutex) (*semaphore.Cond, error)) (t tray, err error) {
	m, err := mutex(mem)
	if err != nil {
		return t, err
	}
	if t.Cond, err = cond(mem[semaphore.MutexSize:], m); err != nil {
		return t, err
	}
	t.tokens = layout.MustAt[atomic.Int64](mem, trayTokens)
	t.taken = layout.MustSlice[atomic.Int64](mem, trayTokens+8, crowdSize)
	return t, nil
}

func newTray(t *testing.T) (tray, *shm.Segment) {
	seg := newSegment(t, traySize)
	tr, err := openTray(seg.Bytes(), semaphore.NewMutexAt, semaphore.NewCondAt)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, tr.Close())
		require.NoError(t, tr.L.Close())
	})
	return tr, seg
}

// onTray does something again and again.
func onTray(f *os.File, do func(t tray) error) error {
	seg, err := shm.Attach(f)
	if err != nil {
		return err
	}
	t, err := openTray(seg.Bytes(), semaphore.AttachMutex, semaphore.AttachCond)
	for err == nil {
		err = do(t)
	}
	return err
}

// held passes over the news that a holder has died: the tray is as good as before, but who that one was about to signal was not.
func (t tray) held(err error) error {
	if errors.Is(err, semaphore.ErrOwnerDied) {
		t.Broadcast()
		return nil
	}
	return err
}

// waitOnce waits for one signal and counts it.
func (t tray) waitOnce(process int) error {
	if err := t.held(t.L.Lock(context.Background())); err != nil {
		return err
	}
	defer t.L.Unlock()
	if err := t.Wait(context.Background()); err != nil {
		return err
	}
	t.taken[process].Add(1)
	return nil
}

// takeOne takes a token. Now and then it gives up waiting.
func (t tray) takeOne(process int) error {
	if err := t.held(t.L.Lock(context.Background())); err != nil {
		return err
	}
	defer t.L.Unlock()
	for t.tokens.Load() == 0 {
		ctx, cancel := context.WithTimeout(context.Background(), long)
		if rand.IntN(4) == 0 {
			ctx, cancel = context.WithTimeout(ctx, rand.N(300*time.Microsecond))
		}
		err := t.Wait(ctx)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			if errors.Is(err, semaphore.ErrOwnerDied) {
				t.Broadcast()
			}
			return nil
		}
		if err := t.held(err); err != nil {
			return err
		}
	}
	t.taken[process].Add(1) // killed behind it: counted, and the token is there
	t.tokens.Add(-1)
	return nil
}

// counted returns how many wait in all processes.
func (t tray) counted(seg *shm.Segment) (n int) {
	const places = trayTokens - 16*semaphore.Seats
	words := layout.MustSlice[[2]uint64](seg.Bytes(), places, semaphore.Seats)
	for i := range words {
		n += int(layout.MustAt[atomic.Uint64](seg.Bytes(), int64(places+16*i)).Load() & (1<<20 - 1))
	}
	return n
}

func (t tray) sum() (n int64) {
	for i := range t.taken {
		n += t.taken[i].Load()
	}
	return n
}

// As many are woken as are notified, in four processes, and they wait for the next one again. Each process has its share.
func TestCondNotifyCountsProcesses(t *testing.T) {
	tr, seg := newTray(t)
	for i := range crowdSize {
		history.Start(t, "wait", seg.File(), i)
	}
	due := int64(0)
	for range history.Rounds(400) {
		soonTrue(t, "all wait", func() bool { return tr.counted(seg) == crowdSize })
		require.Equal(t, due, tr.sum())
		n := rand.IntN(crowdSize + 2)
		require.NoError(t, tr.L.Lock(t.Context()))
		if n == crowdSize+1 {
			tr.Broadcast()
			n--
		} else {
			tr.Notify(n)
		}
		require.Equal(t, crowdSize-n, tr.counted(seg))
		tr.L.Unlock()
		due += int64(n)
		soonTrue(t, "they are woken", func() bool { return tr.sum() >= due })
	}
	soonTrue(t, "all wait", func() bool { return tr.counted(seg) == crowdSize })
	require.Equal(t, due, tr.sum())
	for i := range tr.taken {
		require.InDelta(t, due/crowdSize, tr.taken[i].Load(), crowdSize, "signals go by turns")
	}
}

// One token, one signal: all are taken in the end, whoever is killed while it waits, is woken, or takes one.
func TestCondKilledWaitersLoseNothing(t *testing.T) {
	tr, seg := newTray(t)
	players := make([]*history.Player, crowdSize)
	for i := range players {
		players[i] = history.Start(t, "take", seg.File(), i)
	}
	put, kills := int64(0), int64(0)
	for range history.Rounds(200) {
		n := 1 + rand.IntN(3)
		require.NoError(t, tr.held(tr.L.Lock(t.Context())))
		tr.tokens.Add(int64(n))
		put += int64(n)
		tr.Notify(n)
		tr.L.Unlock()
		if i := rand.IntN(3 * crowdSize); i < crowdSize {
			players[i].Kill()
			players[i] = history.Start(t, "take", seg.File(), i)
			kills++
		}
		soonTrue(t, "all tokens are taken", func() bool {
			require.NoError(t, tr.held(tr.L.Lock(t.Context()))) // the next is told of who has died holding it
			defer tr.L.Unlock()
			return tr.tokens.Load() == 0
		})
	}
	taken := tr.sum()
	t.Logf("%d tokens, %d kills", put, kills)
	require.GreaterOrEqual(t, taken, put)
	require.LessOrEqual(t, taken, put+kills, "more than one is counted twice for a death")
}

// A process that is stopped keeps its signal; a Broadcast does not wait for it, and it goes on when it is let.
func TestCondStoppedWaiter(t *testing.T) {
	tr, seg := newTray(t)
	stopped := history.Start(t, "wait", seg.File(), 0)
	soonTrue(t, "it waits", func() bool { return tr.counted(seg) == 1 })
	history.Start(t, "wait", seg.File(), 1)
	soonTrue(t, "both wait", func() bool { return tr.counted(seg) == 2 })
	require.NoError(t, stopped.Signal(syscall.SIGSTOP))
	soonTrue(t, "all its threads stand", func() bool { return stands(t, stopped) }) // else it may still take the lock
	tr.Broadcast()
	soonTrue(t, "the other is woken, and waits again", func() bool { return tr.taken[1].Load() == 1 && tr.counted(seg) == 1 })
	require.Zero(t, tr.taken[0].Load())
	for range 30 { // nothing is lost by signals that interrupt
		require.NoError(t, stopped.Signal(syscall.SIGURG))
	}
	require.NoError(t, stopped.Signal(syscall.SIGCONT))
	soonTrue(t, "it goes on", func() bool { return tr.taken[0].Load() == 1 })
}

// stands reports whether a process is stopped, with all its threads.
func stands(t *testing.T, p *history.Player) bool {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.Pid()))
	require.NoError(t, err)
	for _, f := range files {
		if stat, err := os.ReadFile(f); err != nil || !bytes.Contains(stat, []byte(") T ")) {
			return false
		}
	}
	return len(files) > 0
}

// A storm of signals, none of which counts.
func TestCondInterruptedWaiters(t *testing.T) {
	tr, seg := newTray(t)
	players := make([]*history.Player, crowdSize)
	for i := range players {
		players[i] = history.Start(t, "wait", seg.File(), i)
	}
	for round := range int64(history.Rounds(100)) {
		soonTrue(t, "all wait", func() bool { return tr.counted(seg) == crowdSize })
		for range 10 {
			for _, p := range players {
				require.NoError(t, p.Signal(syscall.SIGURG))
			}
		}
		require.Equal(t, round*crowdSize, tr.sum())
		tr.Broadcast()
		soonTrue(t, "all are woken", func() bool { return tr.sum() == (round+1)*crowdSize })
	}
}

//go:build linux && (amd64 || arm64)

package semaphore_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/semaphore"
)

// In a storm of signals who waits goes on waiting, until its context's time is up and not before, or until it has the lock.
func TestLocksInAStorm(t *testing.T) {
	rounds := storm(t)
	h := newMutex(t, 2)
	rw := newRWMutex(t, 2)
	for name, tt := range map[string]struct {
		hold, leave func()
		get         func(ctx context.Context) error
		asleep      func() bool
		giveBack    func()
	}{
		"Mutex":         {func() { require.True(t, try(t, h[0])) }, h[0].Unlock, h[1].Lock, h[1].Asleep, h[1].Unlock},
		"RWMutex read":  {func() { require.True(t, tryWrite(t, rw[0])) }, rw[0].Unlock, rw[1].RLock, rw[1].ReaderAsleep, rw[1].RUnlock},
		"RWMutex write": {func() { require.True(t, tryRead(t, rw[0])) }, rw[0].RUnlock, rw[1].Lock, rw[1].DrainAsleep, rw[1].Unlock},
	} {
		t.Run(name, func(t *testing.T) {
			tt.hold()
			begun := time.Now()
			ctx, cancel := context.WithTimeout(context.Background(), semaphore.Step)
			defer cancel()
			require.Equal(t, context.DeadlineExceeded, tt.get(ctx))
			require.GreaterOrEqual(t, time.Since(begun), semaphore.Step)
			done := make(chan error, 1)
			go func() { done <- tt.get(watched(t)) }()
			until(t, "it waits", tt.asleep)
			from := rounds.Load()
			until(t, "the storm rages", func() bool { return rounds.Load() >= from+50 })
			require.Empty(t, done, "nothing has come")
			tt.leave()
			require.NoError(t, recv(t, done, "the lock"))
			tt.giveBack()
		})
	}
}

// A holder that is stopped is not dead: others wait, and give up when their time is up.
func TestLockHolderStopped(t *testing.T) {
	for hold, get := range map[string]func(ctx context.Context, l *locks) error{
		"lock":  func(ctx context.Context, l *locks) error { return l.Lock(ctx) },
		"write": func(ctx context.Context, l *locks) error { return l.rw.RLock(ctx) },
		"read":  func(ctx context.Context, l *locks) error { return l.rw.Lock(ctx) },
	} {
		t.Run(hold, func(t *testing.T) {
			st, l := newLocks(t)
			p := st.puppet(t)
			p.tell("%s", hold)
			p.expect(hold)
			require.NoError(t, p.cmd.Process.Signal(syscall.SIGSTOP))
			ctx, cancel := context.WithTimeout(context.Background(), 3*semaphore.Step)
			defer cancel()
			require.Equal(t, context.DeadlineExceeded, get(ctx, l))
			waits := make(chan error, 1)
			go func() { waits <- get(watched(t), l) }()
			require.NoError(t, p.cmd.Process.Signal(syscall.SIGCONT))
			p.tell("un%s", hold)
			p.expect("un" + hold)
			require.NoError(t, recv(t, waits, "the lock"))
			switch hold {
			case "lock":
				l.Unlock()
			case "write":
				l.rw.RUnlock()
			case "read":
				l.rw.Unlock()
			}
		})
	}
}

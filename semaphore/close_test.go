package semaphore

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
)

// Close gives the memory up, and may be called beside those who wait. So it returns after the last of them has used the memory, which is
// later than the end of its wait in the queue. Here each is held up behind that end, and Close is seen to wait for it.

// A heldContext ends when it is asked for its error once more than asks times: who asks then is held up until resume is closed.
type heldContext struct {
	context.Context
	asks         int // by one goroutine
	held, resume chan struct{}
}

func newHeldContext(asks int) *heldContext {
	return &heldContext{context.Background(), asks, make(chan struct{}), make(chan struct{})}
}

func (c *heldContext) Err() error {
	if c.asks--; c.asks >= 0 {
		return nil
	}
	if c.asks == -1 {
		close(c.held)
		<-c.resume
	}
	return context.Canceled
}

// closeBeside calls shut while a call is held up, requires that it returns when that call has, and not before, and returns what the
// call has. All of it is in a bubble.
func closeBeside(t *testing.T, call <-chan error, held <-chan struct{}, resume chan<- struct{}, shut func() error) error {
	t.Helper()
	<-held
	closed := make(chan error, 1)
	go func() { closed <- shut() }()
	synctest.Wait() // everybody has returned, or is blocked
	assert.Empty(t, closed, "it is closed, and the call goes on to use the memory")
	close(resume)
	err := <-call
	require.NoError(t, <-closed)
	return err
}

// Whose permits come as its context ends gives them back.
func TestSemaphoreCloseBesideOneThatGivesBack(t *testing.T) {
	for name, open := range map[string]func([]byte, int64) (*Semaphore, error){"plain": NewAt, "robust": NewRobustAt} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, err := open(layout.SliceBytes(make([]uint64, RobustSize/8)), 1)
				require.NoError(t, err)
				ctx := newHeldContext(0)
				call := beginWait(ctx, func(ctx context.Context) error { return s.acquireSlow(ctx, 1) })
				assert.ErrorIs(t, closeBeside(t, call, ctx.held, ctx.resume, s.Close), context.Canceled)
				assert.EqualValues(t, 1, s.Value())
			})
		})
	}
}

// Whose turn comes as its context ends leaves it to the next.
func TestOnceCloseBesideOneThatLeavesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, err := NewOnceAt(layout.SliceBytes(make([]uint64, OnceSize/8)))
		require.NoError(t, err)
		ctx := newHeldContext(1)
		call := beginWait(ctx, func(ctx context.Context) error {
			return o.Do(ctx, func() error { t.Error("done, after the end of its context"); return nil })
		})
		assert.ErrorIs(t, closeBeside(t, call, ctx.held, ctx.resume, o.Close), context.Canceled)
		assert.Zero(t, o.body.word.Load())
	})
}

// Who waits for an event looks at its word also when it is not in the queue, before and after.
func TestEventCloseBesideOneThatHasLeftTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := NewEventAt(layout.SliceBytes(make([]uint64, EventSize/8)))
		require.NoError(t, err)
		was := e.body.state.Load()
		first := &waiter{on: e.eventcount(), try: e.IsSet}
		require.True(t, e.queue.join(first), "the test is the server")
		ctx := newHeldContext(0)
		call := beginWait(ctx, func(ctx context.Context) error { return e.wait(ctx, was) })
		synctest.Wait() // until it waits
		e.Set()
		require.False(t, e.queue.advance(first))
		assert.NoError(t, closeBeside(t, call, ctx.held, ctx.resume, e.Close))
	})
}

// A lateContext holds up who wants to wait for its end, and ends then.
type lateContext struct {
	context.Context
	end          context.CancelFunc
	held, resume chan struct{}
}

func (c lateContext) Done() <-chan struct{} {
	close(c.held)
	<-c.resume
	c.end()
	return c.Context.Done()
}

// Who waits at a barrier looks at its word when its context ends, also if nobody has to serve it any more.
func TestBarrierCloseBesideOneThatWillLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, err := NewBarrierAt(layout.SliceBytes(make([]uint64, BarrierSize/8)), 2)
		require.NoError(t, err)
		inner, end := context.WithCancel(context.Background())
		ctx := lateContext{inner, end, make(chan struct{}), make(chan struct{})}
		call := beginWait(ctx, func(ctx context.Context) error { _, err := b.Wait(ctx); return err })
		<-ctx.held // it has arrived
		b.Abort()
		assert.Error(t, closeBeside(t, call, ctx.held, ctx.resume, b.Close), "it is broken, or its context has ended")
	})
}

// Who has waited for the lock of a value or an array uses what it guards: Load, Store and Update do it as this call does.
func TestBoxCloseBesideOneThatHasWaited(t *testing.T) {
	for name, open := range map[string]func(mem []byte) (*Mutex, func() error, error){
		"value": func(mem []byte) (*Mutex, func() error, error) {
			v, err := NewValueAt(mem, pair{})
			return v.Mutex(), v.Close, err
		},
		"array": func(mem []byte) (*Mutex, func() error, error) {
			a, err := NewArrayAt[pair](mem, 3)
			return a.Mutex(), a.Close, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, shut, err := open(layout.SliceBytes(make([]uint64, 128)))
				require.NoError(t, err)
				first := &waiter{on: m.lock.on(), try: func() bool { return true }}
				require.True(t, m.lock.queue.join(first), "the test is the server")
				held, resume := make(chan struct{}), make(chan struct{})
				call := beginWait(t.Context(), func(ctx context.Context) error {
					return locked(ctx, m, func() { close(held); <-resume })
				})
				synctest.Wait() // until it waits for the lock
				require.False(t, m.lock.queue.advance(first))
				assert.NoError(t, closeBeside(t, call, held, resume, shut))
				assert.Zero(t, m.lock.words.word.Load(), "it has given the lock back")
			})
		})
	}
}

// A writer that gives up opens the gate and gives the writers' lock back, after its waits. Nothing can hold it up there; but Close waits for a
// Lock from its beginning, before it has anything, and so until its end.
func TestRWMutexCloseBesideOneThatBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := NewRWMutexAt(layout.SliceBytes(make([]uint64, RWMutexSize/8)))
		require.NoError(t, err)
		ctx := newHeldContext(0)
		call := beginWait(ctx, m.Lock)
		assert.ErrorIs(t, closeBeside(t, call, ctx.held, ctx.resume, m.Close), context.Canceled)
	})
}

// The same, tried often, with Close at various times.
func TestRWMutexCloseBesideOneThatGivesUp(t *testing.T) {
	for round := range 300 {
		mem := layout.SliceBytes(make([]uint64, RWMutexSize/8))
		reader, err := NewRWMutexAt(mem)
		require.NoError(t, err)
		m, err := AttachRWMutex(mem)
		require.NoError(t, err)
		require.NoError(t, reader.RLock(t.Context()))
		ctx, cancel := context.WithCancel(t.Context())
		call := beginWait(ctx, m.Lock)
		requireQueued(t, &m.draining, 1)
		m.opened().Announce() // as readers do that are about to sleep
		cancel()
		for range round { // so Close comes a little later each time
			runtime.Gosched()
		}
		require.NoError(t, m.Close())
		require.Zero(t, m.body.writers.word.Load(), "it is closed, and the call goes on to use the memory")
		require.False(t, gateWord(m.body.gate.Load()).closed())
		require.ErrorIs(t, endWait(t, call), context.Canceled)
		reader.RUnlock()
		require.NoError(t, reader.Close())
	}
}

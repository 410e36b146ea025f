//go:build linux && (amd64 || arm64)

package semaphore

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/shm"
)

// While they are used, nothing is found to be wrong with them.
func TestInspectWhileUsed(t *testing.T) {
	const each = 40 << 10
	kinds := []func(mem []byte) (use func(ctx context.Context), end func() error, err error){
		func(mem []byte) (func(context.Context), func() error, error) {
			s, err := NewAt(mem, 2)
			return func(ctx context.Context) {
				if s.Acquire(ctx, 1) == nil {
					s.Release(1)
				}
			}, s.Close, err
		},
		func(mem []byte) (func(context.Context), func() error, error) {
			s, err := NewRobustAt(mem, 5)
			return func(ctx context.Context) {
				if s.Acquire(ctx, 3) == nil {
					s.Release(3)
				}
			}, s.Close, err
		},
		func(mem []byte) (func(context.Context), func() error, error) {
			m, err := NewMutexAt(mem)
			return func(ctx context.Context) {
				if m.Lock(ctx) == nil {
					m.Unlock()
				}
			}, m.Close, err
		},
		func(mem []byte) (func(context.Context), func() error, error) {
			m, err := NewRWMutexAt(mem)
			return func(ctx context.Context) {
				if m.RLock(ctx) == nil {
					m.RUnlock()
				}
				if m.Lock(ctx) == nil {
					m.Unlock()
				}
			}, m.Close, err
		},
		func(mem []byte) (func(context.Context), func() error, error) {
			e, err := NewEventAt(mem)
			return func(context.Context) { e.Set(); e.Clear() }, e.Close, err
		},
		func(mem []byte) (func(context.Context), func() error, error) {
			b, err := NewBarrierAt(mem, 2)
			return func(ctx context.Context) { _, _ = b.Wait(ctx) }, b.Close, err
		},
		func(mem []byte) (func(context.Context), func() error, error) {
			m, err := NewMutexAt(mem[CondSize:])
			if err != nil {
				return nil, nil, err
			}
			c, err := NewCondAt(mem, m)
			return func(ctx context.Context) {
					if m.Lock(ctx) == nil {
						c.Broadcast()
						_ = c.Wait(ctx)
						m.Unlock()
					}
				}, func() error {
					if err := c.Close(); err != nil {
						return err
					}
					return m.Close()
				}, err
		},
	}
	seg, err := shm.New("inspected", int64(len(kinds))*each)
	require.NoError(t, err)
	defer seg.Close()
	ctx, stop := context.WithCancel(t.Context())
	var users sync.WaitGroup
	var ends []func() error
	for i, kind := range kinds {
		use, end, err := kind(seg.Bytes()[i*each:][:each])
		require.NoError(t, err)
		ends = append(ends, end)
		for range 3 {
			users.Go(func() {
				for ctx.Err() == nil {
					use(ctx)
				}
			})
		}
	}
	for range 200 {
		for i := range kinds {
			rep, err := Inspect(seg.File(), int64(i)*each, each)
			assert.NoError(t, err)
			assert.Empty(t, rep.Broken, rep.Kind)
		}
		if t.Failed() {
			break
		}
	}
	stop()
	users.Wait()
	for _, end := range ends {
		require.NoError(t, end())
	}
}

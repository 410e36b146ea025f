package semaphore

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/shm"
)

// inspectable are objects of each kind with something to be seen, by kind, and how they are closed.
func inspectable(t testing.TB) map[string][]byte {
	all := map[string][]byte{}
	add := func(kind string, n int64) []byte {
		all[kind] = layout.SliceBytes(make([]uint64, n/8))
		return all[kind]
	}
	closing := func(c interface{ Close() error }, err error) {
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, c.Close()) })
	}
	ctx := context.Background()
	s, err := NewAt(add("semaphore", Size), 5)
	closing(s, err)
	require.NoError(t, s.Acquire(ctx, 2))
	r, err := NewRobustAt(add("robust semaphore", RobustSize), 5)
	closing(r, err)
	require.NoError(t, r.Acquire(ctx, 3))
	m, err := NewMutexAt(add("mutex", MutexSize))
	closing(m, err)
	require.NoError(t, m.Lock(ctx))
	t.Cleanup(m.Unlock)
	rw, err := NewRWMutexAt(add("RWMutex", RWMutexSize))
	closing(rw, err)
	require.NoError(t, rw.RLock(ctx))
	t.Cleanup(rw.RUnlock)
	e, err := NewEventAt(add("event", EventSize))
	closing(e, err)
	e.Set()
	cm, err := NewMutexAt(layout.SliceBytes(make([]uint64, MutexSize/8)))
	closing(cm, err)
	c, err := NewCondAt(add("condition variable", CondSize), cm)
	closing(c, err)
	b, err := NewBarrierAt(add("barrier", BarrierSize), 3)
	closing(b, err)
	o, err := NewOnceAt(add("once", OnceSize))
	closing(o, err)
	require.NoError(t, o.Do(ctx, func() error { return nil }))
	v, err := NewValueAt(add("value", ValueSize[[3]int32]()), [3]int32{1, 2, 3})
	closing(v, err)
	a, err := NewArrayAt[int64](add("array", ArraySize[int64](7)), 7)
	closing(a, err)
	return all
}

func inspectBytes(t require.TestingT, mem []byte) *shm.Report {
	rep, err := Inspect(bytes.NewReader(mem), 0, int64(len(mem)))
	require.NoError(t, err)
	return rep
}

func TestInspect(t *testing.T) {
	says := map[string]string{"semaphore": "{permits 3 free of 5}", "robust semaphore": "{permits 2 free of 5}", "mutex": "{lock held by process", "RWMutex": "{readers 1, and 0",
		"event": "{state set}", "condition variable": "{waiters 0,", "barrier": "{parties 0 of 3", "once": "{state done}", "value": "{value 12 bytes", "array": "{elements 7 of 8 bytes"}
	parties := map[string]string{"robust semaphore": "holds 3", "mutex": "holds the lock", "RWMutex": "reads, 1 times"}
	all := inspectable(t)
	require.Len(t, all, len(objects))
	for kind, mem := range all {
		before := bytes.Clone(mem)
		rep := inspectBytes(t, mem)
		assert.Equal(t, kind, rep.Kind)
		assert.EqualValues(t, len(mem), rep.Size, kind)
		assert.Empty(t, rep.Broken, kind)
		assert.Contains(t, fmt.Sprint(rep.Facts), says[kind])
		assert.Equal(t, before, mem)
		if want := parties[kind]; want != "" {
			require.Len(t, rep.Parties, 1, kind)
			assert.Equal(t, want, rep.Parties[0].What)
			assert.True(t, rep.Parties[0].Alive)
		}
	}
}

func TestInspectFinds(t *testing.T) {
	all := inspectable(t)
	self, err := owner.Self()
	require.NoError(t, err)
	for _, tt := range []struct {
		kind string
		off  int
		v    uint64
		want string
	}{
		{"semaphore", 64, 6, "more or fewer"},
		{"semaphore", 24, 0, "capacity"},
		{"semaphore", 80, claimed | 99, "claim 98"},
		{"semaphore", 128, 1 << 40, "no process"},
		{"semaphore", 16, 128, "should have 256 bytes, and it has 128"},
		{"robust semaphore", 64, 5 | 5<<3, "more permits"},
		{"robust semaphore", 24, 1 << 20, "capacity"},
		{"robust semaphore", 256 + 128 + 5*128, uint64(self), "one before never was"},
		{"mutex", 64, 1 << 40, "no process"},
		{"mutex", 64, granted, "no process"},
		{"RWMutex", 256, 1, "there is no writer"},
		{"condition variable", 64, 999, "there are 256"},
		{"condition variable", 33_024 + 16*9, 1, "nobody's yet"},
		{"barrier", 64, 3, "goes on"},
		{"barrier", 24, 0, "for 0 parties"},
		{"once", 64, 1 << 30, "no process"},
		{"value", 32, 0, "no sense"},
		{"value", 32, 1 << 30, "should have 2147484032 bytes, and it has 640"},
		{"array", 40, 1 << 62, "no sense"},
		{"array", 128, 0, "its lock"},
	} {
		mem := bytes.Clone(all[tt.kind])
		binary.NativeEndian.PutUint64(mem[tt.off:], tt.v)
		assert.Contains(t, strings.Join(inspectBytes(t, mem).Broken, "\n"), tt.want, "%s at %d", tt.kind, tt.off)
	}
}

// FuzzInspect: whatever is there, it returns. A patch is an offset in words and a word.
func FuzzInspect(f *testing.F) {
	all := inspectable(f)
	kinds := slices.Sorted(maps.Keys(all))
	rng := rand.New(rand.NewPCG(1, 2))
	for which, kind := range kinds {
		for n := range 12 {
			at := uint32(rng.IntN(len(all[kind]) / 8))
			if n < 9 {
				at = uint32(n)
			}
			f.Add(uint8(which), binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(nil, at), rng.Uint64()>>rng.IntN(64)))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, patch []byte) {
		mem := bytes.Clone(all[kinds[int(which)%len(kinds)]])
		for ; len(patch) >= 12; patch = patch[12:] {
			at := binary.LittleEndian.Uint32(patch) % uint32(len(mem)/8)
			copy(mem[8*at:], patch[4:12])
		}
		if rep, err := Inspect(bytes.NewReader(mem), 0, int64(len(mem))); err == nil {
			require.LessOrEqual(t, rep.Size, int64(len(mem)))
			require.LessOrEqual(t, len(rep.Broken), 200)
		}
	})
}

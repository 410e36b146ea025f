package semaphore

import (
	"context"
	"math"
	"os"
	"reflect"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
)

// A pair is whole if both halves are equal.
type pair struct{ A, B int64 }

// newValues makes a value over bytes of the heap, and as many handles as asked for.
func newValues[T any](t testing.TB, initial T, handles int) []*Value[T] {
	create := func(mem []byte) (*Value[T], error) { return NewValueAt(mem, initial) }
	return Handles(t, layout.SliceBytes(make([]uint64, ValueSize[T]()/8)), handles, create, AttachValue[T])
}

func newArrays[T any](t testing.TB, n, handles int) []*Array[T] {
	create := func(mem []byte) (*Array[T], error) { return NewArrayAt[T](mem, n) }
	return Handles(t, layout.SliceBytes(make([]uint64, (ArraySize[T](n)+7)/8)), handles, create, AttachArray[T])
}

func TestValueIsSharedByHandles(t *testing.T) {
	h := newValues(t, pair{1, 1}, 2)
	x, err := h[1].Load(t.Context())
	require.NoError(t, err)
	assert.Equal(t, pair{1, 1}, x)
	for i := range int64(5) {
		require.NoError(t, h[i%2].Store(t.Context(), pair{i, i}))
		assert.Equal(t, pair{i, i}, h[0].Get())
		require.NoError(t, h[0].Update(t.Context(), func(x *pair) { x.A += 10; x.B += 10 }))
		x, err := h[1].Load(t.Context())
		require.NoError(t, err)
		assert.Equal(t, pair{i + 10, i + 10}, x)
	}
}

// Nothing is lost of what several add, and nobody sees half of it.
func TestValueUpdates(t *testing.T) {
	const goroutines, each = 6, 500
	h := newValues(t, pair{}, 3)
	var all sync.WaitGroup
	torn := make(chan pair, goroutines*each)
	for g := range goroutines {
		all.Go(func() {
			for range each {
				_ = h[g%3].Update(context.Background(), func(x *pair) { x.A++; x.B++ })
				if x, _ := h[g%3].Load(context.Background()); x.A != x.B {
					torn <- x
				}
			}
		})
	}
	all.Wait()
	assert.Empty(t, torn)
	assert.Equal(t, pair{goroutines * each, goroutines * each}, h[0].Get())
}

// The lock is one: who has it keeps out Load, Store and Update; who does not ask for it is not kept.
func TestValueLock(t *testing.T) {
	h := newValues(t, 7, 2)
	require.NoError(t, h[0].Mutex().Lock(t.Context()))
	h[0].Set(8)
	assert.Equal(t, 8, h[1].Get())
	ctx, cancel := context.WithCancel(t.Context())
	done := beginWait(ctx, func(ctx context.Context) error { return h[1].Store(ctx, 1) })
	cancel()
	assert.ErrorIs(t, endWait(t, done), context.Canceled)
	x, err := h[1].Load(ctx)
	assert.ErrorIs(t, err, context.Canceled)
	assert.Zero(t, x)
	assert.ErrorIs(t, h[1].Update(ctx, func(*int) { t.Error("called") }), context.Canceled)
	assert.Equal(t, 8, h[0].Get())
	h[0].Mutex().Unlock()

	assert.PanicsWithValue(t, "oh", func() { _ = h[0].Update(t.Context(), func(x *int) { *x = 9; panic("oh") }) })
	x, err = h[1].Load(t.Context())
	require.NoError(t, err, "the lock was given back")
	assert.Equal(t, 8, x)
}

// A Set that was cut off at any point leaves one of both values; who has died with the lock is told of once, by each call alike.
func TestValueOwnerDied(t *testing.T) {
	h := newValues(t, pair{1, 1}, 2)
	dead := uint64(deadID(t))
	for name, call := range map[string]func() error{
		"Load": func() error {
			x, err := h[0].Load(t.Context())
			assert.Equal(t, pair{1, 1}, x)
			return err
		},
		"Store":  func() error { return h[0].Store(t.Context(), pair{1, 1}) },
		"Update": func() error { return h[0].Update(t.Context(), func(x *pair) { assert.Equal(t, pair{1, 1}, *x) }) },
	} {
		t.Run(name, func(t *testing.T) {
			next := h[0].flip.Load()&1 ^ 1
			layout.Write(h[0].copies[next], &pair{2, 3}) // as one who was killed in Set has left it
			h[0].lock.lock.words.word.Store(dead)
			require.ErrorIs(t, call(), ErrOwnerDied)
			assert.Equal(t, pair{1, 1}, h[1].Get())
			require.NoError(t, h[1].Update(t.Context(), func(*pair) {}), "told once, and unlocked")
		})
	}
}

// Bytes that are neither true nor false become true before anybody sees them.
func TestValueBools(t *testing.T) {
	type flags struct {
		N    int32
		A, B bool
	}
	v := newValues(t, flags{1, true, false}, 1)[0]
	assert.Equal(t, flags{1, true, false}, v.Get())
	for _, c := range v.copies {
		c[4], c[5] = 77, 255
	}
	assert.Equal(t, flags{1, true, true}, v.Get())
	b := newValues(t, true, 1)[0]
	require.NoError(t, b.Update(t.Context(), func(x *bool) { *x = !*x }))
	assert.False(t, b.Get())
}

func TestValueHostileWords(t *testing.T) {
	v := newValues(t, 5, 1)[0]
	for _, flip := range []uint32{2, 3, math.MaxUint32, 1 << 31} {
		v.flip.Store(flip)
		v.Set(6)
		assert.Equal(t, 6, v.Get())
	}
	v.lock.lock.words.word.Store(1 << 40) // a process without a pid
	_, err := v.Load(t.Context())
	assert.ErrorIs(t, err, ErrCorrupted)
	assert.ErrorIs(t, v.Store(t.Context(), 7), ErrCorrupted)
	assert.Equal(t, 6, v.Get())
	v.lock.lock.words.word.Store(0)
}

func TestValueDoesNotAllocate(t *testing.T) {
	v, a := newValues(t, 5, 1)[0], newArrays[int](t, 4, 1)[0]
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		x, _ := v.Load(ctx)
		_ = v.Store(ctx, x+1)
		_ = v.Update(ctx, func(x *int) { *x++ })
		x, _ = a.Load(ctx, 2)
		_ = a.Store(ctx, 3, x)
	}))
}

func TestArrayIsSharedByHandles(t *testing.T) {
	h := newArrays[pair](t, 5, 2)
	assert.Equal(t, 5, h[1].Len())
	assert.Equal(t, make([]pair, 5), h[0].Slice())
	require.NoError(t, h[0].Store(t.Context(), 4, pair{1, 2}))
	x, err := h[1].Load(t.Context(), 4)
	require.NoError(t, err)
	assert.Equal(t, pair{1, 2}, x)
	require.NoError(t, h[1].Mutex().Lock(t.Context()))
	copy(h[1].Slice()[1:3], []pair{{3, 3}, {4, 4}})
	h[1].Mutex().Unlock()
	assert.Equal(t, []pair{{}, {3, 3}, {4, 4}, {}, {1, 2}}, h[0].Slice())
	for _, i := range []int{-1, 5, math.MaxInt} {
		assert.Panics(t, func() { _, _ = h[0].Load(t.Context(), i) })
		assert.Panics(t, func() { _ = h[0].Store(t.Context(), i, pair{}) })
	}
	require.NoError(t, h[0].Store(t.Context(), 0, pair{}), "no lock is left")

	h[0].lock.lock.words.word.Store(uint64(deadID(t)))
	x, err = h[1].Load(t.Context(), 4)
	assert.ErrorIs(t, err, ErrOwnerDied)
	assert.Equal(t, pair{1, 2}, x)
	require.NoError(t, h[1].Store(t.Context(), 1, pair{}))
}

func TestBoxesRefuseWhatCannotBeShared(t *testing.T) {
	_, err := NewValue("text")
	assert.ErrorContains(t, err, "make value: string is a string, which means nothing in another process")
	_, err = NewValue(struct{ P *int }{})
	assert.ErrorContains(t, err, ".P is a ptr")
	_, err = NewValue(struct{ M sync.Mutex }{})
	assert.ErrorContains(t, err, ".M is a lock of one process")
	_, err = NewValue(struct{}{})
	assert.ErrorContains(t, err, "has no bytes")
	_, err = NewArray[[]int](3)
	assert.ErrorContains(t, err, "is a slice")
	_, err = NewArray[bool](3)
	assert.ErrorContains(t, err, "use a uint8")
	for _, n := range []int{0, -1, math.MinInt, math.MaxInt} {
		_, err = NewArray[int64](n)
		assert.ErrorContains(t, err, "want at least 1")
		_, err = NewArrayAt[int64](make([]byte, 1000), n)
		assert.ErrorContains(t, err, "want at least 1")
		assert.Panics(t, func() { ArraySize[int64](n) })
	}
}

func TestBoxesRefuseBadMemory(t *testing.T) {
	type other struct{ A, C int64 }
	mem := layout.SliceBytes(make([]uint64, 128))
	_, err := NewValueAt(mem[:300], 1)
	assert.EqualError(t, err, "make value: memory of 300 bytes, it takes 640")
	_, err = NewValueAt(mem[1:], 1)
	assert.ErrorContains(t, err, "aligned")
	_, err = AttachValue[int](mem)
	assert.ErrorIs(t, err, layout.ErrNotShmkit)
	_, err = NewValueAt(mem, pair{})
	require.NoError(t, err)
	_, err = AttachValue[other](mem)
	assert.ErrorIs(t, err, layout.ErrParams)
	_, err = AttachValue[int64](mem)
	assert.ErrorIs(t, err, layout.ErrParams)
	_, err = AttachArray[pair](mem)
	assert.ErrorIs(t, err, layout.ErrKind)

	_, err = NewArrayAt[pair](mem, 41)
	assert.EqualError(t, err, "make array: memory of 1024 bytes, it takes 1040")
	_, err = NewArrayAt[pair](mem, 40)
	require.NoError(t, err)
	_, err = AttachArray[other](mem)
	assert.ErrorIs(t, err, layout.ErrParams)
	_, err = AttachArray[pair](mem[:1016])
	assert.ErrorIs(t, err, ErrCorrupted)
	for _, n := range []uint64{0, 41, math.MaxUint64, math.MaxInt64, 1 << 60} {
		layout.MustSlice[uint64](mem, 0, 8)[5] = n
		_, err = AttachArray[pair](mem)
		assert.ErrorIs(t, err, ErrCorrupted)
	}
}

// The layout is an interface between processes: a change needs a new layout.Version.
func TestBoxLayout(t *testing.T) {
	typ := reflect.TypeFor[boxBody]()
	require.NoError(t, layout.Viewable(typ))
	for name, off := range map[string]uintptr{"header": 0, "flip": 64, "lock": 128} {
		f, ok := typ.FieldByName(name)
		require.True(t, ok, name)
		assert.Equal(t, off, f.Offset, name)
	}
	assert.EqualValues(t, 384, boxSize)
	assert.EqualValues(t, 640, ValueSize[byte]())
	assert.EqualValues(t, 384+2*256, ValueSize[[129]byte]())
	assert.EqualValues(t, 384+24, ArraySize[int64](3))
}

func TestBoxesAreShared(t *testing.T) {
	v, err := NewValue(pair{3, 4})
	require.NoError(t, err)
	f, data, ended, err := v.Share()
	require.NoError(t, err)
	assert.Nil(t, ended)
	v2 := new(Value[pair])
	require.NoError(t, v2.Adopt(f, data))
	require.NoError(t, v2.Store(t.Context(), pair{5, 6}))
	assert.Equal(t, pair{5, 6}, v.Get())
	assert.ErrorIs(t, new(Value[int]).Adopt(f, data), layout.ErrParams)
	require.NoError(t, v2.Close())
	require.NoError(t, v.Close())

	a, err := NewArray[int32](100_000) // has memory of its own
	require.NoError(t, err)
	f, data, _, err = a.Share()
	require.NoError(t, err)
	a2 := new(Array[int32])
	require.NoError(t, a2.Adopt(f, data))
	a2.Slice()[99_999] = 8
	assert.EqualValues(t, 8, a.Slice()[99_999])
	assert.ErrorIs(t, new(Array[uint32]).Adopt(f, data), layout.ErrParams)
	require.NoError(t, a2.Close())
	require.NoError(t, a.Close())

	_, _, _, err = newValues(t, 1, 1)[0].Share()
	assert.ErrorIs(t, err, os.ErrInvalid)
	_, _, _, err = newArrays[int](t, 1, 1)[0].Share()
	assert.ErrorIs(t, err, os.ErrInvalid)
}

// FuzzBoxes: whatever lies in memory, it is refused or every operation ends, and nothing behind it is written.
func FuzzBoxes(f *testing.F) {
	mem := layout.SliceBytes(make([]uint64, 128))
	_, err := NewValueAt(mem, pair{1, 1})
	require.NoError(f, err)
	f.Add(append([]byte(nil), mem...), []byte{0, 1, 2, 136, 0, 1, 144, 2})
	_, err = NewArrayAt[pair](mem, 40)
	require.NoError(f, err)
	f.Add(append([]byte(nil), mem...), []byte{3, 4, 0, 133, 3, 4, 144, 3})
	f.Fuzz(func(t *testing.T, src, script []byte) {
		mem := layout.SliceBytes(make([]uint64, 129))
		copy(mem[:1024], src)
		v, _ := AttachValue[pair](mem[:1024])
		a, _ := AttachArray[pair](mem[:1024])
		words := layout.MustSlice[uint64](mem, 0, 128)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for i, b := range script[:min(len(script), 64)] {
			switch {
			case b >= 128: // somebody writes where it must not
				words[int(b)%len(words)] = uint64(i) * 0x1_0000_0001 << (b % 33)
				cancel() // the lock may be a living process's now
			case v != nil:
				v.Set(v.Get())
				_, _ = v.Load(ctx)
			case a != nil:
				a.Slice()[int(b)%a.Len()] = pair{1, 2}
				if a.lock.lock.words.word.Load() == 0 {
					_ = a.Store(ctx, int(b)%a.Len(), pair{})
				}
			}
		}
		if v != nil {
			require.NoError(t, v.Close())
		}
		if a != nil {
			require.NoError(t, a.Close())
		}
		require.Equal(t, []uint64{0}, layout.MustSlice[uint64](mem, 1024, 1), "behind it")
	})
}

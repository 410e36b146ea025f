package ring

import (
	"fmt"
	"math"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shmkit/shmkit/internal/layout"
)

// aligned returns n zeroed bytes of heap memory that start on a line.
func aligned(n int64) []byte {
	lines := make([][layout.Line]byte, n/layout.Line+2)
	mem := layout.SliceBytes(lines)
	for off := range int64(layout.Line) {
		if _, err := layout.At[[layout.Line / 8]uint64](mem, off); err == nil {
			return mem[off : off+n]
		}
	}
	panic("no aligned offset")
}

func newHints(t require.TestingT, capacity int, start uint64) *Hints {
	h, err := OpenHints(aligned(HintsSize(capacity)), capacity)
	require.NoError(t, err)
	if start != 0 {
		h.Reset(start)
	}
	return h
}

// starts are positions from which a counter wraps soon, in its low half or whole.
var starts = []uint64{0, math.MaxUint32 - 3, 1<<33 - 2, math.MaxUint64 - 5}

func TestHintsKeepOrderAndCapacity(t *testing.T) {
	for _, capacity := range []int{1, 2, 3, 4, 7} {
		for _, start := range starts {
			t.Run(fmt.Sprintf("capacity=%d/start=%#x", capacity, start), func(t *testing.T) {
				h := newHints(t, capacity, start)
				p := h.Producer(start)
				var in, out uint32
				for range 40 {
					for {
						if _, ok := p.TryPush(in); !ok {
							break
						}
						in++
					}
					require.EqualValues(t, capacity, in-out, "a full ring holds its capacity")
					for range 1 + int(in)%capacity {
						v, ok := h.TryPop()
						require.True(t, ok)
						require.Equal(t, out, v)
						out++
					}
				}
			})
		}
	}
}

func TestHintsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		capacity := rapid.IntRange(1, 5).Draw(t, "capacity")
		start := rapid.SampledFrom(starts).Draw(t, "start")
		h := newHints(t, capacity, start)
		p := h.Producer(start)
		model := []uint32{}
		next := uint32(0)
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				pos, ok := p.TryPush(next)
				require.Equal(t, len(model) < capacity, ok)
				if ok {
					require.Equal(t, p.Tail()-1, pos)
					model = append(model, next)
					next++
				}
			},
			"pop": func(t *rapid.T) {
				v, ok := h.TryPop()
				require.Equal(t, len(model) > 0, ok)
				if ok {
					require.Equal(t, model[0], v)
					model = model[1:]
				}
			},
			"batch": func(t *rapid.T) {
				dst := make([]uint32, rapid.IntRange(1, 4).Draw(t, "n"))
				pos, n := h.Peek(dst)
				require.Equal(t, min(len(dst), len(model)), n)
				require.Equal(t, model[:n], dst[:n], "peeked")
				require.True(t, h.Take(pos, n))
				model = model[n:]
			},
			"": func(t *rapid.T) {
				require.Equal(t, len(model) == 0, h.Empty())
				require.Equal(t, p.Tail()-uint64(len(model)), p.Head())
			},
		})
	})
}

// Every number is taken exactly once, whoever takes it, over heap memory that the
// race detector sees.
func TestHintsExactlyOnce(t *testing.T) {
	const consumers, total = 4, 20_000
	for _, capacity := range []int{1, 2, 3, 64} {
		for _, start := range starts {
			t.Run(fmt.Sprintf("capacity=%d/start=%#x", capacity, start), func(t *testing.T) {
				h := newHints(t, capacity, start)
				done := make(chan struct{})
				got := make([][]uint32, consumers)
				var wg sync.WaitGroup
				for c := range consumers {
					wg.Go(func() {
						for {
							if v, ok := h.TryPop(); ok {
								got[c] = append(got[c], v)
								continue
							}
							select {
							case <-done:
								if h.Empty() {
									return
								}
							default:
								runtime.Gosched() // there may be one processor only
							}
						}
					})
				}
				p := h.Producer(start)
				for v := uint32(0); v < total; {
					if _, ok := p.TryPush(v); ok {
						v++
						continue
					}
					runtime.Gosched()
				}
				close(done)
				wg.Wait()
				seen := make([]int, total)
				for _, part := range got {
					last := -1
					for _, v := range part {
						seen[v]++
						assert.Greater(t, int(v), last, "one consumer sees the order")
						last = int(v)
					}
				}
				for v, n := range seen {
					require.Equal(t, 1, n, "number %d", v)
				}
			})
		}
	}
}

func TestHintsOnlyConsumer(t *testing.T) {
	for _, start := range starts {
		h := newHints(t, 2, start)
		p, c := h.Producer(start), h.Consumer(start)
		for i := range uint32(9) {
			_, ok := p.TryPush(i)
			require.True(t, ok)
			var got [2]uint32
			require.Equal(t, 1, c.Next(got[:]))
			require.Equal(t, i, got[0])
			require.Zero(t, c.Next(got[:]))
			c.Drop()
		}
		p.TryPush(1)
		require.True(t, p.TryPushUnfenced(2))
		require.False(t, p.TryPushUnfenced(3))
		var one [1]uint32
		require.Equal(t, 1, c.Next(one[:]), "no more than there is room for")
		_, ok := p.TryPush(3)
		require.False(t, ok, "a number that was not dropped keeps its cell")
		c.Drop()
		require.True(t, p.TryPushUnfenced(3))
		var rest [4]uint32
		require.Equal(t, 2, c.Next(rest[:]))
		require.Equal(t, []uint32{2, 3}, rest[:2])
		c.Drop()
		p.TryPush(1)
		p.TryPush(2)
		require.Equal(t, 1, c.Next(one[:]))
		_, ok = p.TryPush(3)
		require.False(t, ok, "likewise")
	}
}

// A head that no honest consumer wrote makes the producer neither overwrite nor hang.
func TestHintsHostileHead(t *testing.T) {
	h := newHints(t, 4, 0)
	p := h.Producer(0)
	for range 4 {
		p.TryPush(7)
	}
	for _, head := range []uint64{5, 1 << 40, math.MaxUint64} {
		h.head.head.Store(head)
		_, ok := p.TryPush(8)
		require.False(t, ok, "head %#x", head)
	}
}

func TestHintsBadMemory(t *testing.T) {
	_, err := OpenHints(make([]byte, 100), 4)
	require.Error(t, err)
	require.PanicsWithValue(t, "ring: hints capacity 0 is not between 1 and 1073741824", func() { HintsSize(0) })
}

// What nobody but the producer writes is as it has written it, at every moment; else it is found out.
func TestHintsSound(t *testing.T) {
	for _, start := range []uint64{0, 5, math.MaxUint32 - 3, math.MaxUint64 - 3} {
		h := newHints(t, 4, start)
		p, c := h.Producer(start), h.Consumer(start)
		var got [1]uint32
		for i := range uint32(20) {
			require.True(t, p.Sound() && c.Sound())
			_, ok := p.TryPush(i)
			require.True(t, ok)
			require.True(t, p.Sound() && c.Sound())
			require.Equal(t, 1, c.Next(got[:]))
			c.Drop()
		}
		_, _ = p.TryPush(7)
		cell := &h.cells[(p.Tail()-1)&h.mask]
		was := cell.Load()
		cell.Store(was ^ 1<<40)
		assert.False(t, p.Sound())
		assert.False(t, c.Sound())
		cell.Store(was)
		head := h.Head()
		for _, bad := range []uint64{p.Tail() + 1, p.Tail() - 5} {
			h.head.head.Store(bad)
			assert.False(t, p.Sound(), "%d", bad)
		}
		h.head.head.Store(head)
		assert.True(t, p.Sound() && c.Sound())
	}
}

package ring

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
)

// maxScript bounds what a fuzz test does with a ring: an operation a byte.
const maxScript = 256

// FuzzSPSCBytes: whatever lies in memory, its header included, it is refused, or both sides do any operations in it without a
// panic, each either with an error that says what is wrong or with a slice that lies inside the ring.
func FuzzSPSCBytes(f *testing.F) {
	for _, capacity := range []int{64, 256} {
		mem := aligned(int64(SPSCSize(capacity)))
		require.NoError(f, InitSPSC(mem))
		f.Add(mem, []byte{0, 9, 1, 2, 65, 3, 17, 2, 1, 129, 3, 0})
		p, err := AttachProducer(mem)
		require.NoError(f, err)
		_, _, err = p.ReserveRun(3, 8)
		require.NoError(f, err)
		p.Commit()
		f.Add(mem, []byte{65, 2, 3, 2, 3, 129, 0, 0, 1})
		f.Add(mem[:200], []byte{0})
	}
	f.Fuzz(func(t *testing.T, src, script []byte) {
		if len(src) > 1<<12 {
			return
		}
		mem := aligned(int64(len(src)))
		copy(mem, src)
		p, perr := AttachProducer(mem)
		c, cerr := AttachConsumer(mem)
		for i, b := range script[:min(len(script), maxScript)] {
			if perr == nil {
				produceAny(t, p, b, i)
			}
			if cerr == nil {
				consumeAny(t, c, b)
			}
		}
		if perr == nil { // what was committed last is there for the next
			p.Commit()
			_, err := AttachConsumer(mem)
			assertCorruptedOrNil(t, err)
		}
	})
}

func assertCorruptedOrNil(t *testing.T, err error) {
	if err != nil {
		require.ErrorIs(t, err, ErrCorrupted)
	}
}

// produceAny does an operation of the producer's: which, and for how many bytes, is in b.
func produceAny(t *testing.T, p *Producer, b byte, i int) {
	var room []byte
	var ok bool
	var err error
	n := int(b>>2) % (p.MaxRecord() + 1)
	switch b & 3 {
	case 0:
		p.Commit()
		return
	case 1:
		room, ok, err = p.Reserve(n)
	case 2:
		size := (n/8 + 1) * 8
		if count := 1 + i%3; count*size <= min(p.MaxRecord(), maxEach) {
			room, ok, err = p.ReserveRun(count, size)
		}
	case 3:
		ok, err = p.TryPut(make([]byte, n))
	}
	assertCorruptedOrNil(t, err)
	if ok && room != nil {
		assertInside(t, p.data, room)
		clear(room)
	}
}

// consumeAny does one of the consumer's.
func consumeAny(t *testing.T, c *Consumer, b byte) {
	var got []byte
	var ok bool
	var err error
	switch b >> 6 {
	case 0:
		c.Release()
		return
	case 1:
		got, ok, err = c.Peek()
	default:
		var size int
		got, size, ok, err = c.PeekRun()
		assert.True(t, !ok || size == len(got) || len(got)%size == 0)
	}
	assertCorruptedOrNil(t, err)
	if ok {
		assertInside(t, c.data, got)
		clear(got)
	}
}

// FuzzHints: whatever lies in the ring's words, and whatever is written there meanwhile, no operation panics or runs for ever, the
// producer writes no more than the ring holds without being told that some was taken, and no consumer gets more than it has room for.
func FuzzHints(f *testing.F) {
	honest := aligned(HintsSize(3))
	h, err := OpenHints(honest, 3)
	require.NoError(f, err)
	h.Producer(0).TryPush(7)
	f.Add(honest, uint8(3), uint64(0), []byte{0, 1, 2, 3, 4, 5, 6, 7})
	f.Add(honest, uint8(1), uint64(1), []byte{0, 0, 0, 3, 0, 4, 6, 5, 1, 1})
	f.Add(make([]byte, 256), uint8(4), uint64(1)<<63, []byte{8, 200, 9, 100, 0, 1, 2, 3})
	f.Fuzz(func(t *testing.T, src []byte, capacity uint8, tail uint64, script []byte) {
		n := 1 + int(capacity)%8
		mem := aligned(HintsSize(n))
		copy(mem, src)
		h, err := OpenHints(mem, n)
		require.NoError(t, err)
		p, c := h.Producer(tail), h.Consumer(tail)
		words := layout.MustSlice[uint64](mem, 0, len(mem)/8)
		for i, b := range script[:min(len(script), maxScript)] {
			if b >= 128 { // somebody writes where it must not; before the operation, because the test has one goroutine
				words[int(b)%len(words)] = uint64(i) * 0x1_0000_0001 << (b % 33)
				continue
			}
			hintsAny(t, h, p, c, b)
		}
	})
}

func hintsAny(t *testing.T, h *Hints, p *HintsProducer, c *HintsConsumer, b byte) {
	var dst [5]uint32
	some := dst[:int(b>>3)%5]
	switch b & 7 {
	case 0:
		tail, head := p.Tail(), p.Head()
		pos, ok := p.TryPush(uint32(b))
		require.LessOrEqual(t, tail-head, h.capacity)
		require.True(t, !ok || pos == tail)
		require.True(t, p.Tail() == tail || ok && p.Tail() == tail+1)
	case 1:
		p.TryPushUnfenced(uint32(b))
	case 2:
		h.TryPop()
	case 3:
		pos, n := h.Peek(some)
		require.LessOrEqual(t, n, len(some))
		require.True(t, h.Take(pos, n), "nobody else was there")
	case 4:
		require.LessOrEqual(t, c.Next(some), len(some))
		require.Zero(t, dst[len(some):][0])
	case 5:
		c.Drop()
	case 6:
		p.Sound()
		c.Sound()
	case 7:
		_, ok := h.TryPop()
		require.True(t, ok || h.Empty())
	}
}

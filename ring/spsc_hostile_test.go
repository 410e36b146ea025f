package ring

import (
	"encoding/binary"
	"math"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSPSCHostileHead(t *testing.T) {
	for _, head := range []uint64{8, 24, 16 + 64, 1 << 40, math.MaxUint64 - 7, 4} {
		mem, p, _ := newSPSC(t, 64, 0)
		for reserve(t, p, 8, 0) {
			p.Commit()
		}
		p.head = 16 // as if that much had been released, and seen
		p.control.head.Store(head)
		if head == 24 {
			_, _, err := p.Reserve(8)
			require.NoError(t, err, "between the last head and tail: no lie")
			continue
		}
		_, ok, err := p.Reserve(24)
		assert.False(t, ok)
		assert.ErrorIs(t, err, ErrCorrupted, "head %#x", head)
		_, err = AttachConsumer(mem)
		if head%8 != 0 {
			assert.ErrorIs(t, err, ErrCorrupted)
			_, err = AttachProducer(mem)
			assert.ErrorIs(t, err, ErrCorrupted)
		}
	}
}

func TestSPSCHostileHeaders(t *testing.T) {
	for name, h := range map[string]header{
		"no length":               payload(8, 8) &^ (1<<eachShift - 1),
		"behind the storage":      payload(64, 0),
		"longest":                 ^header(0) &^ padding,
		"padding before the end":  padding | payload(8, 0),
		"padding the whole ring":  padding | payload(56, 0),
		"no room for the 0":       payload(56, 0),
		"run of too large ones":   payload(8, 16),
		"run of huge ones":        payload(8, maxEach),
		"run with a rest":         payload(24, 16),
		"run with part of a word": payload(12, 8),
	} {
		t.Run(name, func(t *testing.T) {
			_, p, c := newSPSC(t, 64, 0)
			clear(p.data)
			p.words[0].Store(uint64(h))
			var err error
			for range 4 {
				if _, _, err = c.Peek(); err != nil {
					break
				}
			}
			assert.ErrorIs(t, err, ErrCorrupted)
		})
	}
}

// A record that ends behind the storage is none, even if head leaves room for it.
func TestSPSCHostileHeaderAtTheEnd(t *testing.T) {
	_, p, c := newSPSC(t, 64, 0)
	require.True(t, reserve(t, p, 8, 0))
	p.Commit()
	peek(t, c, 8, 0)
	c.Release()
	for _, n := range []int{41, 48} {
		p.words[2].Store(uint64(payload(n, 0)))
		_, ok, err := c.Peek()
		assert.False(t, ok)
		assert.ErrorIs(t, err, ErrCorrupted)
	}
}

// A producer that publishes for ever without waiting for head gets the consumer to
// give up, not to run in circles.
func TestSPSCHostileOverrun(t *testing.T) {
	mem, p, c := newSPSC(t, 64, 0)
	for i := range p.words {
		p.words[i].Store(uint64(payload(0, 0)))
	}
	for range len(p.words) - 1 {
		_, ok, err := c.Peek()
		require.True(t, ok)
		require.NoError(t, err)
	}
	_, _, err := c.Peek()
	assert.ErrorIs(t, err, ErrCorrupted)
	_, err = AttachProducer(mem)
	assert.ErrorIs(t, err, ErrCorrupted)
}

// Whatever the memory holds, both sides end with an error or stay inside the ring.
func FuzzSPSCHostile(f *testing.F) {
	f.Add(uint64(0), uint64(0), []byte{9, 0, 0, 0, 0, 1})
	f.Add(uint64(8), uint64(24), []byte{0, 0, 0, 0, 0, 0, 0, 0, 33, 0, 0, 0, 0, 1})
	f.Add(uint64(math.MaxUint64-7), uint64(0), []byte{1})
	f.Fuzz(func(t *testing.T, head, taken uint64, storage []byte) {
		mem, p, _ := newSPSC(t, 256, 0)
		clear(p.data)
		copy(p.data, storage)
		p.control.head.Store(head)
		p.control.taken.Store(taken)
		if q, err := AttachProducer(mem); err == nil {
			p = q
		}
		if c, err := AttachConsumer(mem); err == nil {
			drainHostile(t, c, storage)
		}
		for i := range 50 {
			b, ok, err := p.Reserve(i % 20)
			if !ok {
				break
			}
			assert.NoError(t, err)
			assertInside(t, p.data, b)
			p.Commit()
		}
	})
}

// drainHostile takes records while the storage changes under the consumer.
func drainHostile(t *testing.T, c *Consumer, storage []byte) {
	for i := range 200 {
		peek := c.Peek
		if i%5 == 4 {
			peek = func() ([]byte, bool, error) { b, _, ok, err := c.PeekRun(); return b, ok, err }
		}
		b, ok, err := peek()
		if !ok {
			if err != nil {
				assert.ErrorIs(t, err, ErrCorrupted)
			}
			return
		}
		assertInside(t, c.data, b)
		if i%3 == 0 {
			c.Release()
		}
		if len(storage) >= 8 {
			at := i % (len(storage) - 7)
			h := binary.NativeEndian.Uint64(storage[at:])
			c.words[i%len(c.words)].Store(h)
		}
	}
}

func assertInside(t *testing.T, data, b []byte) {
	if cap(b) != len(b) {
		t.Fatalf("record of %d bytes with capacity %d", len(b), cap(b))
	}
	off := reflect.ValueOf(b).Pointer() - reflect.ValueOf(data).Pointer()
	if off > uintptr(len(data)) || off+uintptr(len(b)) > uintptr(len(data)) || off%wordSize != 0 {
		t.Fatalf("record of %d bytes at offset %d in a storage of %d", len(b), off, len(data))
	}
}

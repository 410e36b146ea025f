package ring

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// seeds are positions from which a counter wraps soon, in its low half or whole.
var seeds = []uint64{0, 8, 1<<32 - 16, 1<<32 - 40, math.MaxUint64 - 7, math.MaxUint64 - 31}

// newSPSC makes a ring on the heap and attaches both sides.
func newSPSC(t require.TestingT, capacity int, pos uint64) ([]byte, *Producer, *Consumer) {
	mem := make([]byte, SPSCSize(capacity))
	for i := range mem {
		mem[i] = 0xa5 // the memory may have been used before
	}
	require.NoError(t, initSPSC(mem, pos))
	p, err := AttachProducer(mem)
	require.NoError(t, err)
	c, err := AttachConsumer(mem)
	require.NoError(t, err)
	return mem, p, c
}

// fill writes bytes that only the record with number seq has.
func fill(b []byte, seq uint64) {
	x := (seq + 1) * 0x9e3779b97f4a7c15
	for ; len(b) >= 8; b = b[8:] {
		binary.NativeEndian.PutUint64(b, x|1) // never 0, which would pass for "not published"
		x += 0xbf58476d1ce4e5b9
	}
	for i := range b {
		b[i] = byte(x>>(8*i)) | 1
	}
}

// check is nil if b is what fill writes for n and seq.
func check(b []byte, n int, seq uint64) error {
	if len(b) != n || cap(b) != n {
		return fmt.Errorf("record %d: %d bytes, capacity %d, want %d", seq, len(b), cap(b), n)
	}
	want := make([]byte, n)
	fill(want, seq)
	if string(want) != string(b) {
		return fmt.Errorf("record %d: % x, want % x", seq, b, want)
	}
	return nil
}

func reserve(t require.TestingT, p *Producer, n int, seq uint64) bool {
	b, ok, err := p.Reserve(n)
	require.NoError(t, err)
	if ok {
		require.Len(t, b, n)
		fill(b, seq)
	}
	return ok
}

func peek(t require.TestingT, c *Consumer, n int, seq uint64) {
	b, ok, err := c.Peek()
	require.NoError(t, err)
	require.True(t, ok, "record %d is there", seq)
	require.NoError(t, check(b, n, seq))
}

func peekNone(t require.TestingT, c *Consumer) {
	b, ok, err := c.Peek()
	require.NoError(t, err)
	require.False(t, ok)
	require.Nil(t, b)
}

// TryPut fits as many as Reserve, in the same layout, and takes the same records.
func TestSPSCTryPutIsReserveAndCommit(t *testing.T) {
	for _, seed := range seeds {
		for n := range 25 {
			mem, p, c := newSPSC(t, 64, seed)
			other, q, _ := newSPSC(t, 64, seed)
			b := make([]byte, n)
			for seq := range uint64(20) {
				fill(b, seq)
				ok, err := p.TryPut(b)
				require.NoError(t, err)
				require.Equal(t, reserve(t, q, n, seq), ok)
				q.Commit()
				require.Equal(t, other[storageOff:], mem[storageOff:])
				if !ok {
					drain(t, c)
					q.control.head.Store(c.control.head.Load())
				}
			}
		}
	}
}

func drain(t *testing.T, c *Consumer) {
	for ok := true; ok; {
		var err error
		_, ok, err = c.Peek()
		require.NoError(t, err)
	}
	c.Release()
}

// How many records fit is exact: 8 bytes of the storage stay free, nothing else.
func TestSPSCHoldsItsCapacity(t *testing.T) {
	for _, tt := range []struct{ capacity, size, singles, batch int }{
		{32, 0, 3, 3}, {32, 8, 1, 2}, {32, 5, 1, 1}, {64, 8, 3, 6}, {64, 16, 2, 3}, {64, 24, 1, 2}, {128, 8, 7, 14},
	} {
		t.Run(fmt.Sprintf("%d/%d", tt.capacity, tt.size), func(t *testing.T) {
			_, p, c := newSPSC(t, tt.capacity, 0)
			for seq := range uint64(tt.singles) {
				require.True(t, reserve(t, p, tt.size, seq))
				p.Commit()
			}
			require.False(t, reserve(t, p, tt.size, 99), "full")
			for seq := range uint64(tt.singles) {
				peek(t, c, tt.size, seq)
			}
			peekNone(t, c)

			_, p, c = newSPSC(t, tt.capacity, 0)
			for seq := range uint64(tt.batch) {
				require.True(t, reserve(t, p, tt.size, seq))
				peekNone(t, c)
			}
			require.False(t, reserve(t, p, tt.size, 99), "full")
			p.Commit()
			for seq := range uint64(tt.batch) {
				peek(t, c, tt.size, seq)
			}
			peekNone(t, c)
		})
	}
}

// Wraps happen at every alignment: each ring is passed many times by records of one
// size, from every seed.
func TestSPSCWraps(t *testing.T) {
	for _, capacity := range []int{32, 64, 128} {
		for _, seed := range seeds {
			for n := 0; n <= capacity/2-wordSize; n++ {
				_, p, c := newSPSC(t, capacity, seed)
				for seq := range uint64(100) {
					require.True(t, reserve(t, p, n, seq), "an empty ring takes any record")
					p.Commit()
					peek(t, c, n, seq)
					peekNone(t, c)
					c.Release()
				}
			}
		}
	}
}

func TestSPSCTooLarge(t *testing.T) {
	_, p, _ := newSPSC(t, 64, 0)
	assert.Equal(t, 24, p.MaxRecord())
	_, ok, err := p.Reserve(25)
	assert.False(t, ok)
	require.ErrorIs(t, err, ErrTooLarge)
	assert.ErrorContains(t, err, "25")
	assert.ErrorContains(t, err, "64")
	for _, n := range []int{25, 1000} { // there is room for 25
		_, err = p.TryPut(make([]byte, n))
		require.ErrorIs(t, err, ErrTooLarge)
	}
	assert.Panics(t, func() { p.Reserve(-1) })
	assert.Panics(t, func() { p.Reserve(math.MinInt) })

	_, ok, err = p.ReserveRun(4, 8)
	assert.False(t, ok)
	require.ErrorIs(t, err, ErrTooLarge)
	assert.ErrorContains(t, err, "4 records of 8 bytes")
	_, _, err = p.ReserveRun(math.MaxInt, math.MaxInt&^7)
	require.ErrorIs(t, err, ErrTooLarge)
	for _, bad := range [][2]int{{0, 8}, {-1, 8}, {1, 0}, {1, -8}, {1, 12}} {
		assert.Panics(t, func() { p.ReserveRun(bad[0], bad[1]) }, "%v", bad)
	}
	_, ok, err = p.ReserveRun(3, 8)
	assert.True(t, ok)
	assert.NoError(t, err)
}

// Equal sizes end up under one header however they were reserved, others do not.
func TestSPSCRuns(t *testing.T) {
	_, p, c := newSPSC(t, 256, 0)
	for _, count := range []int{2, 1, 3} {
		_, ok, err := p.ReserveRun(count, 8)
		require.NoError(t, err)
		require.True(t, ok)
	}
	for _, n := range []int{8, 5, 5, 0, 0, 16} {
		require.True(t, reserve(t, p, n, 0))
	}
	p.Commit()
	require.True(t, reserve(t, p, 16, 0), "a new batch is a new run")
	p.Commit()
	for _, want := range [][2]int{{56, 8}, {5, 5}, {5, 5}, {0, 0}, {0, 0}, {16, 16}, {16, 16}} {
		b, size, ok, err := c.PeekRun()
		require.NoError(t, err)
		require.True(t, ok)
		assert.Equal(t, want, [2]int{len(b), size})
		assert.Equal(t, len(b), cap(b))
	}
	_, _, ok, err := c.PeekRun()
	require.NoError(t, err)
	require.False(t, ok)
}

// A run of equal-sized records is released record by record, although its bytes go
// back to the producer together.
func TestSPSCSuccessorInsideRun(t *testing.T) {
	for _, seed := range seeds {
		mem, p, c := newSPSC(t, 128, seed)
		seq, next := uint64(0), uint64(0)
		for range 20 {
			for reserve(t, p, 8, seq) {
				seq++
			}
			p.Commit()
			for next < seq {
				peek(t, c, 8, next)
				next++
				c.Release()
				peekOneMore := next < seq
				if peekOneMore {
					peek(t, c, 8, next) // peeked, not released: it comes again
				}
				var err error
				c, err = AttachConsumer(mem)
				require.NoError(t, err)
				p, err = AttachProducer(mem)
				require.NoError(t, err)
			}
			peekNone(t, c)
		}
		require.Greater(t, seq, uint64(100))
	}
}

func TestSPSCUncommittedDoesNotExist(t *testing.T) {
	mem, p, c := newSPSC(t, 256, 0)
	require.True(t, reserve(t, p, 8, 0))
	p.Commit()
	for seq := range uint64(4) { // several runs, so that later headers are in place
		require.True(t, reserve(t, p, int(seq)*5, 50+seq))
	}
	p, err := AttachProducer(mem)
	require.NoError(t, err)
	peek(t, c, 8, 0)
	peekNone(t, c)
	require.True(t, reserve(t, p, 3, 1))
	p.Commit()
	p.Commit() // nothing reserved: nothing happens
	peek(t, c, 3, 1)
	peekNone(t, c)
}

func TestSPSCAllocatesNothing(t *testing.T) {
	_, p, c := newSPSC(t, 4096, 0)
	msg := []byte("payload of one record")
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		p.TryPut(msg)
		c.Peek()
		c.Release()
	}))
}

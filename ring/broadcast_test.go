package ring

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shmkit/shmkit/internal/layout"
)

// newBroadcast makes a ring over the heap whose first record has position pos.
func newBroadcast(t require.TestingT, records, size int, pos uint64) ([]byte, *BroadcastWriter, *BroadcastReader) {
	mem := aligned(BroadcastSize(records, size))
	for i := range mem {
		mem[i] = 0xa5 // it may have been used before
	}
	require.NoError(t, initBroadcast(mem, records, size, pos))
	w, err := AttachBroadcastWriter(mem)
	require.NoError(t, err)
	return mem, w, readBroadcast(t, mem)
}

func readBroadcast(t require.TestingT, mem []byte) *BroadcastReader {
	r, err := AttachBroadcastReader(mem)
	require.NoError(t, err)
	return r
}

// event returns record number seq of size bytes, at least 8.
func event(seq uint64, size int) []byte {
	b := make([]byte, size)
	fill(b, seq)
	binary.NativeEndian.PutUint64(b, seq)
	return b
}

// eventNumber returns the number of a record, which must be what event has made.
func eventNumber(t require.TestingT, rec []byte) uint64 {
	seq := binary.NativeEndian.Uint64(rec)
	require.True(t, bytes.Equal(event(seq, len(rec)), rec), "record %d is torn: %x", seq, rec)
	return seq
}

func TestBroadcastBadMemory(t *testing.T) {
	assert.EqualValues(t, broadcastSlotsOff+2*16, BroadcastSize(1, 1))
	assert.EqualValues(t, broadcastSlotsOff+4*64, BroadcastSize(3, 56))
	for _, tt := range [][2]int{{0, 8}, {8, 0}, {-1, 8}, {8, -1}, {1<<30 + 1, 8}, {8, 1<<20 + 1}} {
		assert.Panics(t, func() { BroadcastSize(tt[0], tt[1]) }, tt)
		assert.ErrorContains(t, InitBroadcast(nil, tt[0], tt[1]), fmt.Sprintf("%d records of %d bytes", tt[0], tt[1]))
	}
	size := BroadcastSize(4, 20)
	for _, n := range []int64{0, 8, size - 1, size + 1} {
		assert.ErrorContains(t, InitBroadcast(aligned(n), 4, 20), fmt.Sprint(n))
	}
	assert.ErrorContains(t, InitBroadcast(aligned(size + 1)[1:], 4, 20), "not aligned")

	attach := func(mem []byte) error {
		_, err1 := AttachBroadcastWriter(mem)
		_, err2 := AttachBroadcastReader(mem)
		require.Equal(t, err1 == nil, err2 == nil)
		return err1
	}
	mem := aligned(size)
	assert.ErrorIs(t, attach(mem), layout.ErrNotShmkit)
	require.NoError(t, InitBroadcast(mem, 4, 20))
	require.NoError(t, attach(mem))
	assert.ErrorIs(t, attach(mem[:len(mem)-8]), layout.ErrSize)
	for _, bad := range [][2]uint64{{3, 20}, {4, 0}, {4, 16}, {8, 20}, {0, 20}, {1 << 62, 20}, {4, math.MaxUint64}, {1, 80}} {
		require.NoError(t, layout.Init(mem, layout.KindBroadcast, bad[:]...))
		assert.ErrorIs(t, attach(mem), layout.ErrParams, bad)
	}
	require.NoError(t, layout.Init(mem, layout.KindSPSC, 4, 20))
	assert.ErrorIs(t, attach(mem), layout.ErrKind)
}

func TestBroadcastPadsRecords(t *testing.T) {
	_, w, r := newBroadcast(t, 2, 20, 0)
	require.Equal(t, 20, w.RecordSize())
	for _, n := range []int{0, 1, 7, 8, 9, 16, 19, 20} {
		rec := bytes.Repeat([]byte{0xff}, n)
		w.Write(rec)
		got, missed, ok := r.Next()
		require.True(t, ok)
		require.Zero(t, missed)
		require.Equal(t, append(rec, make([]byte, 20-n)...), got)
	}
	require.PanicsWithValue(t, "ring: write 21 bytes into a broadcast of records of 20", func() { w.Write(make([]byte, 21)) })
}

// broadcastModel runs a ring beside a list of all records that were ever written.
type broadcastModel struct {
	mem     []byte
	w       *BroadcastWriter
	start   uint64
	written uint64
	slots   uint64
	torn    uint64 // 1 while the oldest record is gone for one that was not finished
	size    int
	readers []broadcastModelReader
}

type broadcastModelReader struct {
	r    *BroadcastReader
	next uint64 // number of the record that it would get if nothing was overwritten
}

func (m *broadcastModel) Write(t *rapid.T) {
	for range rapid.IntRange(1, 12).Draw(t, "count") {
		m.w.Write(event(m.written, m.size))
		m.written++
		m.torn = 0
	}
}

// Killed has the writer die within a record, after some of its words.
func (m *broadcastModel) Killed(t *rapid.T) {
	slot, tag := m.w.slot(m.w.tail), tagOf(m.w.tail)
	slot[0].Store(tag)
	m.torn = 1
	for i := range rapid.IntRange(0, len(slot)-1).Draw(t, "words") {
		slot[1+i].Store(0xdead)
	}
	if rapid.Bool().Draw(t, "whole") {
		for i, b := 1, event(m.written, len(slot)*8); i < len(slot); i++ {
			slot[i].Store(binary.NativeEndian.Uint64(b[8*(i-1):]))
		}
		slot[0].Store(tag | isWhole)
		m.written++
		m.torn = 0
	}
	var err error
	m.w, err = AttachBroadcastWriter(m.mem)
	require.NoError(t, err)
}

func (m *broadcastModel) NewReader(t *rapid.T) {
	if len(m.readers) < 4 {
		m.readers = append(m.readers, broadcastModelReader{readBroadcast(t, m.mem), m.written - min(m.written, m.slots-m.torn)})
	}
}

func (m *broadcastModel) Next(t *rapid.T) {
	if len(m.readers) == 0 {
		return
	}
	r := &m.readers[rapid.IntRange(0, len(m.readers)-1).Draw(t, "reader")]
	rec, missed, ok := r.r.Next()
	require.Equal(t, r.next < m.written, ok)
	if !ok {
		require.Zero(t, missed)
		return
	}
	seq := eventNumber(t, rec)
	require.Equal(t, r.next+missed, seq)
	require.GreaterOrEqual(t, seq+m.slots, m.written)
	require.True(t, missed == 0 || seq <= m.written-m.slots+1, "what is still there is not skipped")
	r.next = seq + 1
}

func TestBroadcastModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &broadcastModel{
			start: rapid.SampledFrom([]uint64{0, math.MaxUint64 - 5, 1<<63 - 5, 1<<32 - 3}).Draw(t, "start"),
			size:  8 * rapid.IntRange(1, 3).Draw(t, "words"),
		}
		records := rapid.IntRange(1, 8).Draw(t, "records")
		m.slots = uint64(slotsFor(records))
		m.mem, m.w, _ = newBroadcast(t, records, m.size, m.start)
		actions := map[string]func(*rapid.T){"write": m.Write, "new reader": m.NewReader, "next": m.Next, "killed": m.Killed}
		t.Repeat(actions)
	})
}

// Under a writer that is always faster no reader gets a torn record, and each knows what it has missed.
func TestBroadcastConcurrent(t *testing.T) {
	for _, start := range []uint64{0, math.MaxUint64 - 1000} {
		for _, records := range []int{2, 64} {
			t.Run(fmt.Sprintf("%d records from %d on", records, start), func(t *testing.T) {
				broadcastConcurrently(t, records, start)
			})
		}
	}
}

func broadcastConcurrently(t *testing.T, records int, start uint64) {
	const size, writes, readers = 48, 20_000, 7
	mem, w, _ := newBroadcast(t, records, size, start)
	var group sync.WaitGroup
	stop := make(chan struct{})
	seen := make([]uint64, readers)
	for i := range readers {
		r := readBroadcast(t, mem)
		group.Go(func() {
			for next, done := uint64(0), false; ; {
				rec, missed, ok := r.Next()
				if !ok {
					if done {
						seen[i] = next
						return
					}
					select {
					case <-stop:
						done = true // one more look
					default:
					}
					continue
				}
				if seq := eventNumber(t, rec); !assert.Equal(t, next+missed, seq) {
					return
				}
				next += missed + 1
			}
		})
	}
	for seq := range uint64(writes) {
		w.Write(event(seq, size))
	}
	close(stop)
	group.Wait()
	for _, n := range seen {
		assert.EqualValues(t, writes, n, "each record was received, or counted")
	}
}

// What lies in the memory may be anything: no operation panics or runs for ever.
func FuzzBroadcastBytes(f *testing.F) {
	mem, w, _ := newBroadcast(f, 4, 20, math.MaxUint64-2)
	f.Add(bytes.Clone(mem), uint16(0), uint64(0))
	for range 6 {
		w.Write([]byte("record"))
	}
	f.Add(bytes.Clone(mem), uint16(128), uint64(1)<<63)
	f.Add(mem[:100], uint16(256), uint64(7))
	f.Fuzz(func(t *testing.T, src []byte, at uint16, word uint64) {
		if len(src) > 1<<12 {
			return
		}
		mem := aligned(int64(len(src)))
		copy(mem, src)
		w, werr := AttachBroadcastWriter(mem)
		r, rerr := AttachBroadcastReader(mem)
		require.Equal(t, werr == nil, rerr == nil)
		if werr != nil {
			return
		}
		for i := range 20 {
			if off := int(at)&^7 + 8*i; off >= layout.HeaderSize && off+8 <= len(mem) {
				binary.NativeEndian.PutUint64(mem[off:], word)
			}
			for range 5 {
				rec, _, ok := r.Next()
				require.True(t, !ok || len(rec) == r.RecordSize())
			}
			w.Write(rec20[:min(20, w.RecordSize())])
		}
	})
}

var rec20 [20]byte

//go:build linux && (amd64 || arm64)

package pool

import (
	"bytes"
	"encoding/binary"
	"io"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/shm"
)

// observeBytes is Observe for what would be in a file.
func observeBytes(b []byte) (*Observer, error) {
	o := &Observer{file: bytes.NewReader(b), holes: func(int64, int64) bool { return true }, close: func() error { return nil }}
	return o, o.open(int64(len(b)))
}

// smallGeometry is that of a pool whose memory is small.
var smallGeometry = geometry{slots: 4, workers: 2, functions: 2, table: 2 * 13, memory: memoryUnit, page: pageBytes}

// smallMemory is the memory of a pool in which something has happened.
func smallMemory(t testing.TB) []byte {
	g := smallGeometry
	mem := layout.SliceBytes(make([]uint64, g.offsets().total/8))
	m, err := view(mem, g)
	require.NoError(t, err)
	table := m.table()[:0]
	for _, name := range []string{"f", "g"} {
		table = binary.LittleEndian.AppendUint64(table, 7)
		table = append(binary.LittleEndian.AppendUint32(table, 1), name...)
	}
	_, err = shm.NewArena(m.arena(), g.memory, g.page, parentHolder, nil)
	require.NoError(t, err)
	require.NoError(t, layout.Init(mem, layout.KindPool, g.params()...))
	p := &Pool{mem: m, opts: Options{Name: "small"}}
	p.showIn(m)
	self, err := owner.Self()
	require.NoError(t, err)
	for i := range g.workers {
		d := &m.told.Desks[i]
		d.Process.Store(uint64(self))
		d.Incarnation.Store(uint64(i + 1))
		d.Starts.Store(1)
		d.State.Store(2)
		own := m.records(i)
		require.NoError(t, own.Prepare())
		r, err := own.Record()
		require.NoError(t, err)
		d0 := diary{desk: d, own: own, events: r, samplers: make([]sampler, g.functions)}
		d0.event(1, 5)
		own.Runs[i].Add(1000, 3)
	}
	s := &m.slots[1]
	s.argKind, s.argLen, s.fn = chunked, 9, 1
	s.word.Store(uint64(makeWord(running, 2, 3)))
	m.workers[1].current.Store(uint64(makeOrder(1, 3, 0)))
	m.slots[2].word.Store(uint64(makeWord(queued, 0, 1)))
	p.failed(&definition{id: 1}, io.EOF)
	p.event(102, 1, 0)
	return mem
}

// exercise does with an Observer all that can be done.
func exercise(o *Observer) {
	if s, err := o.Snapshot(); err == nil {
		for i := range s.Functions {
			for _, t := range []Times{s.Functions[i].Runs, s.Functions[i].Waits.Sub(s.Functions[i].Runs)} {
				t.Mean()
				t.Quantile(0.5)
				t.Buckets()
			}
		}
	}
	for place := -1; place <= o.geo.workers; place++ {
		p, err := o.WorkerEvents(place)
		if place < 0 {
			p, err = o.ParentEvents()
		}
		for range 2 {
			if err == nil {
				_, _, err = p.Next()
			}
		}
	}
	_, _ = o.Check()
	_ = o.Dump(io.Discard)
}

// FuzzObserve: whatever lies in the memory of a pool, an Observer refuses it, or looks at it without a panic, a hang, or more memory than a pool
// of that size is worth. A patch is an offset in words and a word.
func FuzzObserve(f *testing.F) {
	mem := smallMemory(f)
	o, err := observeBytes(mem)
	require.NoError(f, err)
	var dump bytes.Buffer
	require.NoError(f, o.Dump(&dump))
	f.Add([]byte{}, false)
	f.Add(dump.Bytes()[:200], true)
	f.Add(dump.Bytes(), true)
	words := uint32(len(mem) / 8)
	for at := range words {
		if at < 8 || at%61 == 0 {
			f.Add(append(binary.LittleEndian.AppendUint32(nil, at), 255, 255, 255, 255, 255, 255, 255, 255), false)
		}
	}
	f.Fuzz(func(t *testing.T, patch []byte, whole bool) {
		if whole {
			if o, err := observeBytes(patch); err == nil {
				exercise(o)
			}
			return
		}
		mem := bytes.Clone(mem)
		for ; len(patch) >= 12; patch = patch[12:] {
			at := binary.LittleEndian.Uint32(patch) % words
			copy(mem[8*at:], patch[4:12])
		}
		if o, err := observeBytes(mem); err == nil {
			exercise(o)
		}
	})
}

// A file of any size that says of itself what it likes takes no memory to speak of.
func TestObserveAllocates(t *testing.T) {
	mem := smallMemory(t)
	for at := 0; at < layout.HeaderSize; at += 8 {
		for bit := range 64 {
			b := bytes.Clone(mem)
			b[at+bit/8] ^= 1 << (bit % 8)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if o, err := observeBytes(b); err == nil {
				exercise(o)
			}
			runtime.ReadMemStats(&after)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(32<<20), "word %d, bit %d", at/8, bit)
		}
	}
}

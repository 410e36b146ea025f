//go:build linux && amd64

package ring

import (
	"os"
	"slices"
	"testing"

	"github.com/edsrzf/mmap-go"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/singlestep"
	"github.com/shmkit/shmkit/internal/sys"
)

// The operations of this package, each of which is killed at every state of the ring.

const (
	stepCapacity = 256
	stepSeed     = 1<<64 - 176 // both the storage and the counter come round on the way
)

// A producing is an operation of a producer, on a ring that holds some records.
type producing struct {
	held    int // records of 24 bytes in the ring, of which
	free    int // were released, so that there is room
	prepare func(p *Producer, seq uint64)
	operate func(p *Producer, seq uint64)
	sizes   []int // of the records that it publishes
	batches []int // how many of them after each publication
}

func stepReserve(p *Producer, seq uint64, sizes ...int) {
	for i, n := range sizes {
		fill(stepRoom(p.Reserve(n)), seq+uint64(i))
	}
}

func stepRoom(b []byte, ok bool, err error) []byte {
	must(err)
	if !ok {
		panic("there is no room")
	}
	return b
}

func stepPut(p *Producer, seq uint64, size int) {
	b := make([]byte, size)
	fill(b, seq)
	ok, err := p.TryPut(b)
	stepRoom(nil, ok, err)
}

var producings = map[string]producing{
	"Reserve and Commit": {
		held: 2, sizes: []int{40}, batches: []int{0, 1},
		operate: func(p *Producer, seq uint64) { stepReserve(p, seq, 40); p.Commit() },
	},
	"Reserve and Commit of an odd size": {
		held: 2, sizes: []int{13}, batches: []int{0, 1},
		operate: func(p *Producer, seq uint64) { stepReserve(p, seq, 13); p.Commit() },
	},
	"a run": {
		sizes: []int{16, 16, 16}, batches: []int{0, 3},
		operate: func(p *Producer, seq uint64) { stepReserve(p, seq, 16, 16, 16); p.Commit() },
	},
	"ReserveRun": {
		held: 1, sizes: []int{16, 16, 16}, batches: []int{0, 3},
		operate: func(p *Producer, seq uint64) {
			b := stepRoom(p.ReserveRun(3, 16))
			for i := range uint64(3) {
				fill(b[16*i:][:16], seq+i)
			}
			p.Commit()
		},
	},
	"a batch over the wrap": {
		held: 5, free: 4, sizes: []int{24, 24, 9, 40}, batches: []int{0, 4},
		operate: func(p *Producer, seq uint64) { stepReserve(p, seq, 24, 24, 9, 40); p.Commit() },
	},
	"a record over the wrap": {
		held: 5, free: 4, sizes: []int{64}, batches: []int{0, 1},
		operate: func(p *Producer, seq uint64) { stepReserve(p, seq, 64); p.Commit() },
	},
	"TryPut": {
		held: 1, sizes: []int{20}, batches: []int{0, 1},
		operate: func(p *Producer, seq uint64) { stepPut(p, seq, 20) },
	},
	"TryPut behind a reservation": {
		held: 1, sizes: []int{24, 20}, batches: []int{0, 2},
		prepare: func(p *Producer, seq uint64) { stepReserve(p, seq, 24) },
		operate: func(p *Producer, seq uint64) { stepPut(p, seq+1, 20) },
	},
	"TryPut over the wrap": {
		held: 5, free: 5, sizes: []int{24, 24, 40}, batches: []int{0, 1, 2, 3},
		operate: func(p *Producer, seq uint64) { stepPut(p, seq, 24); stepPut(p, seq+1, 24); stepPut(p, seq+2, 40) },
	},
}

// A consuming is an operation of a consumer, on a ring that holds a run of five records of 24 bytes, behind one that is alone.
type consuming struct {
	operate  func(c *Consumer)
	released []int // how many of them may be gone
}

func stepPeek(c *Consumer, n int) {
	for range n {
		stepRoom(c.Peek())
	}
}

func stepPeekRun(c *Consumer) {
	b, _, ok, err := c.PeekRun()
	stepRoom(b, ok, err)
}

var consumings = map[string]consuming{
	"Peek and Release":         {func(c *Consumer) { stepPeek(c, 1); c.Release() }, []int{0, 1}},
	"Release of a part":        {func(c *Consumer) { stepPeek(c, 3); c.Release() }, []int{0, 1, 3}},
	"Release of parts":         {func(c *Consumer) { stepPeek(c, 2); c.Release(); stepPeek(c, 2); c.Release() }, []int{0, 1, 2, 4}},
	"Release of a whole run":   {func(c *Consumer) { stepPeek(c, 6); c.Release() }, []int{0, 6}},
	"Release of a run's rest":  {func(c *Consumer) { stepPeek(c, 4); c.Release(); stepPeek(c, 2); c.Release() }, []int{0, 1, 4, 6}},
	"PeekRun and Release":      {func(c *Consumer) { stepPeek(c, 1); stepPeekRun(c); c.Release() }, []int{0, 6}},
	"PeekRun behind a Release": {func(c *Consumer) { stepPeek(c, 2); c.Release(); stepPeekRun(c); c.Release() }, []int{0, 1, 2, 6}},
}

func init() {
	operations := make(map[string]singlestep.Operation)
	for name, o := range producings {
		operations[name] = func(f *os.File) func() {
			p, err := AttachProducer(mapStepped(f))
			must(err)
			seq := uint64(o.held)
			if o.prepare != nil {
				o.prepare(p, seq)
			}
			return func() { o.operate(p, seq) }
		}
	}
	for name, o := range consumings {
		operations[name] = func(f *os.File) func() {
			c, err := AttachConsumer(mapStepped(f))
			must(err)
			return func() { o.operate(c) }
		}
	}
	for name, o := range hintings {
		operations[name] = func(f *os.File) func() {
			h, err := OpenHints(mapStepped(f), stepHints)
			must(err)
			return func() { o.operate(h) }
		}
	}
	for name, o := range pipings {
		operations[name] = o.stepped
	}
	for name, o := range wakers {
		operations[name] = o.stepped
	}
	for name, o := range broadcastings {
		operations[name] = o.stepped
	}
	stepOthers(operations)
	singlestep.Child(operations)
}

func mapStepped(f *os.File) []byte {
	mem, err := mmap.Map(f, mmap.RDWR, 0)
	must(err)
	return mem
}

// newStepped makes memory for one walk.
func newStepped(t *testing.T, size int64) (f *os.File, mem mmap.MMap, release func()) {
	f, err := sys.Memfd("shmkit:ring-step", size)
	require.NoError(t, err)
	mem, err = mmap.Map(f, mmap.RDWR, 0)
	require.NoError(t, err)
	return f, mem, func() { require.NoError(t, mem.Unmap()); require.NoError(t, f.Close()) }
}

const stepSize = 24 // of the records that are there before

// stepSPSC walks through an operation on a ring that seed has prepared, and returns the ring.
func stepSPSC(t *testing.T, w *singlestep.Walk, name string, seed func(p *Producer, c *Consumer)) (mem []byte, release func()) {
	f, mem, release := newStepped(t, int64(SPSCSize(stepCapacity)))
	for i := range mem {
		mem[i] = 0xa5 // it may have been used before
	}
	require.NoError(t, initSPSC(mem, stepSeed))
	p, err := AttachProducer(mem)
	require.NoError(t, err)
	c, err := AttachConsumer(mem)
	require.NoError(t, err)
	seed(p, c)
	require.NoError(t, w.Run(name, f, nil, mem))
	return mem, release
}

// A producer that is killed at any instruction has published all of a batch or nothing, and loses nothing that was there. Its
// successor goes on.
func TestStepProducer(t *testing.T) {
	for name, o := range singlestep.Part(producings) {
		t.Run(name, func(t *testing.T) {
			singlestep.Prove(t, 2, func(t *testing.T, w *singlestep.Walk) {
				var c *Consumer // lives on
				mem, release := stepSPSC(t, w, name, func(p *Producer, live *Consumer) {
					for seq := range o.held {
						stepPut(p, uint64(seq), stepSize)
					}
					c = live
					stepPeek(c, o.free)
					c.Release()
				})
				defer release()
				sizes := append(slices.Repeat([]int{stepSize}, o.held), o.sizes...)
				n := len(records(t, mem, sizes, uint64(o.free)))
				require.Contains(t, o.batches, n-o.held+o.free, "all of a batch, or nothing")
				require.True(t, !w.Returned || n == len(sizes)-o.free, "what was published is there")
				p, err := AttachProducer(mem)
				require.NoError(t, err)
				proceed(t, p, c, sizes[:n+o.free], uint64(o.free))
			})
		})
	}
}

// records looks at all records in the ring, of which the first has number seq, and releases none. It returns their sizes.
func records(t *testing.T, mem []byte, sizes []int, seq uint64) (found []int) {
	c, err := AttachConsumer(mem)
	require.NoError(t, err)
	for {
		b, ok, err := c.Peek()
		require.NoError(t, err)
		if !ok {
			return found
		}
		require.Less(t, int(seq), len(sizes), "a record that nobody has written")
		require.NoError(t, check(b, sizes[seq], seq))
		found = append(found, len(b))
		seq++
	}
}

// proceed has both sides go on, for several laps, with record seq the first that is not released, and sizes those that
// were ever published.
func proceed(t *testing.T, p *Producer, c *Consumer, sizes []int, seq uint64) {
	sizes = slices.Clone(sizes)
	for range 40 {
		for n := 8 + len(sizes)%5*11; reserve(t, p, n, uint64(len(sizes))); n = 8 + len(sizes)%5*11 {
			sizes = append(sizes, n)
		}
		p.Commit()
		for ; int(seq) < len(sizes); seq++ {
			peek(t, c, sizes[seq], seq)
		}
		c.Release()
	}
	_, ok, err := c.Peek()
	require.NoError(t, err)
	require.False(t, ok)
	require.True(t, reserve(t, p, p.MaxRecord(), 0), "the ring has lost room")
}

// A consumer that is killed at any instruction loses no record. Its successor gets those that were not released, and those
// that were do not come again; the producer knows nothing of it.
func TestStepConsumer(t *testing.T) {
	for name, o := range singlestep.Part(consumings) {
		t.Run(name, func(t *testing.T) {
			singlestep.Prove(t, 2, func(t *testing.T, w *singlestep.Walk) {
				const all = 6
				var p *Producer // lives on
				mem, release := stepSPSC(t, w, name, func(live *Producer, _ *Consumer) {
					p = live
					stepPut(p, 0, stepSize)
					stepReserve(p, 1, slices.Repeat([]int{stepSize}, all-1)...)
					p.Commit()
				})
				defer release()
				c, err := AttachConsumer(mem)
				require.NoError(t, err)
				first := uint64(firstOf(t, mem, all))
				require.Contains(t, o.released, int(first))
				require.True(t, !w.Returned || int(first) == o.released[len(o.released)-1], "what was released does not come again")
				proceed(t, p, c, slices.Repeat([]int{stepSize}, all), first)
			})
		})
	}
}

// firstOf returns the number of the first record in a ring whose last is number all-1.
func firstOf(t *testing.T, mem []byte, all int) int {
	c, err := AttachConsumer(mem)
	require.NoError(t, err)
	n := 0
	for {
		_, ok, err := c.Peek()
		require.NoError(t, err)
		if !ok {
			break
		}
		n++
	}
	first := all - n
	require.GreaterOrEqual(t, first, 0)
	records(t, mem, slices.Repeat([]int{stepSize}, all), uint64(first)) // it is these, and not others
	return first
}

package ring

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/shmkit/shmkit/internal/backoff"
	"github.com/shmkit/shmkit/internal/layout"
)

// The benchmarks measure a ring between two processes that each have a CPU, beside
// what two processes do at best: with an array of words, with a pair of words. Only
// figures of one run can be compared.

const (
	benchItems    = 4096            // in the array, and as many fit into the ring
	benchCapacity = 16 * benchItems // each item a record of its own: header and word
	batchShift    = 48              // a child's number: items, and how many are a batch

	// Words of the segment, each on a line of its own.
	readyWord = 1 * layout.Line / 8 // set by the child when it runs
	headWord  = 2 * layout.Line / 8 // of the array, set by the child
	tailWord  = 3 * layout.Line / 8 // of the array, set by the parent; also ping
	pongWord  = 4 * layout.Line / 8 // set by the child
)

func init() {
	for name, run := range map[string]func(s *segment, n, batch uint64){
		"stream-ring": takeRing, "stream-run": takeRun, "stream-array": takeArray,
		"pong-ring": pongRing, "pong-words": pongWords,
	} {
		children[name] = func(s *segment, arg uint64) {
			s.words[readyWord].Store(1)
			run(s, arg&(1<<batchShift-1), arg>>batchShift)
		}
	}
}

// until looks, with pauses, until done.
func until(done func() bool) {
	for wait := backoff.For(30 * time.Second); !done(); {
		if !wait.Once() {
			panic("nothing came from the other side for 30 s")
		}
	}
}

// duel runs both sides of one benchmark: the child's is named in children.
func duel(b *testing.B, capacity int, batch uint64, child string, parent func(s *segment, n, batch uint64)) {
	s := newSegment(b, capacity)
	c := start(b, s, child, uint64(b.N)|batch<<batchShift)
	until(func() bool { return s.words[readyWord].Load() == 1 })
	b.ResetTimer()
	parent(s, uint64(b.N), batch)
	b.StopTimer()
	c.wait(b)
}

// BenchmarkSPSCStream moves 8-byte items one way.
func BenchmarkSPSCStream(b *testing.B) {
	for _, batch := range []uint64{1, 64} {
		b.Run(fmt.Sprintf("batch=%d/array", batch), func(b *testing.B) {
			duel(b, benchCapacity, batch, "stream-array", putArray)
		})
		b.Run(fmt.Sprintf("batch=%d/ring", batch), func(b *testing.B) {
			duel(b, benchCapacity, batch, "stream-ring", putRing)
		})
	}
	b.Run("batch=64/run", func(b *testing.B) { duel(b, benchCapacity, 64, "stream-run", putRun) })
}

// BenchmarkSPSCRoundTrip sends a word there and back.
func BenchmarkSPSCRoundTrip(b *testing.B) {
	b.Run("words", func(b *testing.B) { duel(b, 64, 1, "pong-words", pingWords) })
	for _, capacity := range []int{64, benchCapacity} {
		b.Run(fmt.Sprintf("ring=%d", capacity), func(b *testing.B) { duel(b, capacity, 1, "pong-ring", pingRing) })
	}
}

// BenchmarkSPSCAlone is the cost of the instructions, with no other CPU.
func BenchmarkSPSCAlone(b *testing.B) {
	for _, batch := range []int{1, 64} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			_, p, c := newSPSC(b, benchCapacity, 0)
			for i := 0; i < b.N; i += batch {
				for range batch {
					r, _, _ := p.Reserve(8)
					binary.NativeEndian.PutUint64(r, uint64(i))
				}
				p.Commit()
				for range batch {
					c.Peek()
				}
				c.Release()
			}
		})
	}
}

func putRing(s *segment, n, batch uint64) {
	p, err := AttachProducer(s.rings[0])
	must(err)
	for i := range n {
		r, ok, err := p.Reserve(8)
		if !ok {
			must(err)
			p.Commit()
			until(func() bool { r, ok, err = p.Reserve(8); return ok || err != nil })
			must(err)
		}
		binary.NativeEndian.PutUint64(r, i)
		if (i+1)%batch == 0 {
			p.Commit()
		}
	}
	p.Commit()
	until(func() bool { return p.control.head.Load() == p.tail() })
}

func takeRing(s *segment, n, batch uint64) {
	c, err := AttachConsumer(s.rings[0])
	must(err)
	for i := range n {
		r, ok, err := c.Peek()
		if !ok {
			must(err)
			c.Release()
			until(func() bool { r, ok, err = c.Peek(); return ok || err != nil })
			must(err)
		}
		expect(binary.NativeEndian.Uint64(r), i)
		if (i+1)%batch == 0 {
			c.Release()
		}
	}
	c.Release()
}

// putRun is putRing with one reservation per batch.
func putRun(s *segment, n, batch uint64) {
	p, err := AttachProducer(s.rings[0])
	must(err)
	for i := uint64(0); i < n; {
		count := min(batch, n-i)
		r, ok, err := p.ReserveRun(int(count), 8)
		if !ok {
			must(err)
			until(func() bool { r, ok, err = p.ReserveRun(int(count), 8); return ok || err != nil })
			must(err)
		}
		for ; len(r) >= 8; r = r[8:] {
			binary.NativeEndian.PutUint64(r, i)
			i++
		}
		p.Commit()
	}
	until(func() bool { return p.control.head.Load() == p.tail() })
}

func takeRun(s *segment, n, _ uint64) {
	c, err := AttachConsumer(s.rings[0])
	must(err)
	for i := uint64(0); i < n; c.Release() {
		r, _, ok, err := c.PeekRun()
		if !ok {
			must(err)
			until(func() bool { r, _, ok, err = c.PeekRun(); return ok || err != nil })
			must(err)
		}
		for ; len(r) >= 8; r = r[8:] {
			expect(binary.NativeEndian.Uint64(r), i)
			i++
		}
	}
}

// expect panics, without a call in the usual case, if got is not want.
func expect(got, want uint64) {
	if got != want {
		panic("wrong item")
	}
}

func pingRing(s *segment, n, _ uint64) {
	p, c := attachBoth(s, 0, 1)
	for i := range n {
		exchange(p, c, i, true)
	}
}

func pongRing(s *segment, n, _ uint64) {
	p, c := attachBoth(s, 1, 0)
	for i := range n {
		exchange(p, c, i, false)
	}
}

// exchange sends i and receives it, or the other way round.
func exchange(p *Producer, c *Consumer, i uint64, first bool) {
	if first {
		putWord(p, i)
	}
	var r []byte
	var ok bool
	var err error
	until(func() bool { r, ok, err = c.Peek(); return ok || err != nil })
	must(err)
	expect(binary.NativeEndian.Uint64(r), i)
	c.Release()
	if !first {
		putWord(p, i)
	}
}

func putWord(p *Producer, i uint64) {
	r, ok, err := p.Reserve(8)
	if !ok {
		must(err)
		panic("a ring for one message at a time is full")
	}
	binary.NativeEndian.PutUint64(r, i)
	p.Commit()
}

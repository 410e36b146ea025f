//go:build explore

package ring

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"testing"

	"github.com/shmkit/shmkit/internal/explore"
	"github.com/shmkit/shmkit/internal/owner"
)

// What these scenarios are for, and how they are run, says package explore.

// sharedSPSC makes a ring in which the first record lies at pos.
func sharedSPSC(w *explore.World, capacity int, pos uint64) []byte {
	mem := make([]byte, SPSCSize(capacity))
	if err := initSPSC(mem, pos); err != nil {
		panic(err)
	}
	w.SharePlain("ring", mem)
	return mem
}

// A feed puts numbers into a ring, one a record of two words.
type feed struct {
	first uint64
	sent  int // committed for certain
}

func (f *feed) attach(mem []byte) *Producer {
	p, err := AttachProducer(mem)
	if err != nil {
		explore.Fail("corrupted", "%v", err)
	}
	return p
}

// one tries to put one record after the other.
func (f *feed) one(mem []byte, tries int) {
	p := f.attach(mem)
	for range tries {
		ok, err := p.TryPut(number(f.first + uint64(f.sent)))
		f.put(1, ok, err)
	}
}

// runs tries to put two at a time, which share a header.
func (f *feed) runs(mem []byte, tries int) {
	p := f.attach(mem)
	for range tries {
		b, ok, err := p.ReserveRun(2, 16)
		if ok {
			copy(b, number(f.first+uint64(f.sent)))
			copy(b[16:], number(f.first+uint64(f.sent)+1))
			p.Commit()
		}
		f.put(2, ok, err)
	}
}

func (f *feed) put(n int, ok bool, err error) {
	if err != nil {
		explore.Fail("corrupted", "%v", err)
	}
	if ok {
		f.sent += n
	}
}

func number(v uint64) []byte {
	return binary.NativeEndian.AppendUint64(binary.NativeEndian.AppendUint64(nil, v), v)
}

// A drink takes numbers out of a ring.
type drink struct {
	got      []uint64
	released int // of got, for certain
}

func (d *drink) run(mem []byte, tries int) {
	c, err := AttachConsumer(mem)
	if err != nil {
		explore.Fail("corrupted", "%v", err)
	}
	for range tries {
		b, ok, err := c.Peek()
		if err != nil {
			explore.Fail("corrupted", "%v", err)
		}
		if !ok {
			continue
		}
		d.take(b)
		c.Release()
		d.released = len(d.got)
	}
}

func (d *drink) take(b []byte) {
	v := binary.NativeEndian.Uint64(b)
	d.got = append(d.got, v)
	for range 2 {
		if v == 0 || string(b) != string(number(v)) {
			explore.Fail("torn record", "%x, of which the first word was %d", b, v)
		}
		explore.Observe(v)
		explore.Step() // it is this consumer's until it is released
	}
}

// rest takes what is left when all have ended.
func (d *drink) rest(mem []byte) error {
	c, err := AttachConsumer(mem)
	if err != nil {
		return err
	}
	for {
		b, ok, err := c.Peek()
		if !ok {
			return err
		}
		d.got = append(d.got, binary.NativeEndian.Uint64(b))
		c.Release()
	}
}

// sequence checks that got is what the feeds have sent, each a number more at most than it is sure of: one that crashed cannot know.
func sequence(got []uint64, step int, feeds ...*feed) error {
	all := fmt.Sprint(got)
	for _, f := range feeds {
		n := 0
		for n < len(got) && got[n] == f.first+uint64(n) {
			n++
		}
		if n < f.sent || n > f.sent+step {
			return fmt.Errorf("received %s: %d of the %d from %d on", all, n, f.sent, f.first)
		}
		got = got[n:]
	}
	if len(got) > 0 {
		return fmt.Errorf("received %s: %d too many", all, len(got))
	}
	return nil
}

// A producer and a consumer, at the wrap of the storage and of the positions.
func TestExploreSPSC(t *testing.T) {
	for _, tt := range []struct {
		name string
		put  func(*feed, []byte, int)
		pos  uint64
	}{
		{"single", (*feed).one, 0}, {"single, wraps", (*feed).one, ^uint64(0) - 39}, {"runs", (*feed).runs, 64},
	} {
		t.Run(tt.name, func(t *testing.T) {
			explore.Run(t, explore.Scenario{Name: "ring.SPSC, " + tt.name, Walks: 300, New: func(w *explore.World) {
				mem := sharedSPSC(w, 128, tt.pos)
				f, d := &feed{first: 1}, &drink{}
				w.Go("producer", func() { tt.put(f, mem, 5) })
				w.Go("consumer", func() { d.run(mem, 5) })
				w.Check(func() error {
					return cmp.Or(d.rest(mem), sequence(d.got, 0, f))
				})
			}})
		})
	}
}

// A producer crashes, and its successor goes on where it stopped.
func TestExploreSPSCProducerCrashes(t *testing.T) {
	for name, put := range map[string]func(*feed, []byte, int){"single": (*feed).one, "runs": (*feed).runs} {
		t.Run(name, func(t *testing.T) {
			explore.Run(t, explore.Scenario{Name: "ring.SPSC, producer crashes, " + name, Crashes: 1, New: func(w *explore.World) {
				mem := sharedSPSC(w, 128, 96)
				f, g, d := &feed{first: 1}, &feed{first: 101}, &drink{}
				first := w.GoMortal("producer", func() { put(f, mem, 2) })
				w.Go("successor", func() { explore.Until(first.Gone); put(g, mem, 2) })
				w.Go("consumer", func() { d.run(mem, 4) })
				w.Check(func() error {
					step := 0
					if first.Crashed() {
						step = 2
					}
					return cmp.Or(d.rest(mem), sequence(d.got, step, f, g))
				})
			}})
		})
	}
}

// A consumer crashes: what it had not released comes again to its successor.
func TestExploreSPSCConsumerCrashes(t *testing.T) {
	for name, put := range map[string]func(*feed, []byte, int){"single": (*feed).one, "runs": (*feed).runs} {
		t.Run(name, func(t *testing.T) {
			explore.Run(t, explore.Scenario{Name: "ring.SPSC, consumer crashes, " + name, Crashes: 1, New: func(w *explore.World) {
				mem := sharedSPSC(w, 128, 64)
				f, c, d := &feed{first: 1}, &drink{}, &drink{}
				w.Go("producer", func() { put(f, mem, 3) })
				first := w.GoMortal("consumer", func() { c.run(mem, 3) })
				w.Go("successor", func() { explore.Until(first.Gone); d.run(mem, 3) })
				w.Check(func() error {
					if err := d.rest(mem); err != nil {
						return err
					}
					if err := sequence(append(c.got[:c.released:c.released], d.got...), 0, f); err != nil && len(c.got) > c.released {
						return sequence(append(c.got, d.got...), 0, f) // it crashed after the release, and could not say so
					} else {
						return err
					}
				})
			}})
		})
	}
}

// One producer and two consumers, one of which may crash with a number that it has taken. Every number goes to one of them.
func TestExploreHints(t *testing.T) {
	for _, tt := range []struct {
		name    string
		crashes int
		push    func(p *HintsProducer, v uint32) bool
	}{
		{"fenced", 0, func(p *HintsProducer, v uint32) bool { _, ok := p.TryPush(v); return ok }},
		{"unfenced", 0, (*HintsProducer).TryPushUnfenced},
		{"consumer crashes", 1, func(p *HintsProducer, v uint32) bool { _, ok := p.TryPush(v); return ok }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			explore.Run(t, explore.Scenario{Name: "ring.Hints, " + tt.name, Crashes: tt.crashes, Walks: 300, New: func(w *explore.World) {
				const capacity, start = 2, ^uint64(0) - 1 // both halves of a cell wrap
				mem := make([]byte, HintsSize(capacity))
				h, err := OpenHints(mem, capacity)
				if err != nil {
					panic(err)
				}
				h.Reset(start)
				w.Share("hints", mem)
				pushed := 0
				w.Go("producer", func() {
					p := h.Producer(start)
					for range 3 {
						if tt.push(p, uint32(pushed)) {
							pushed++
						}
					}
				})
				var got [2][]uint64
				crashed := [2]*explore.Process{}
				for i := range got {
					body := func() {
						for turn := range 2 + i {
							explore.Forget(append([]uint64{uint64(turn)}, got[i]...)...)
							if v, ok := h.TryPop(); ok {
								got[i] = append(got[i], uint64(v))
								explore.Observe(uint64(v))
							}
						}
					}
					if i == 0 {
						crashed[i] = w.GoMortal(fmt.Sprint("consumer", i), body)
					} else {
						crashed[i] = w.Go(fmt.Sprint("consumer", i), body)
					}
				}
				w.Check(func() error {
					var rest []uint64
					for v, ok := h.TryPop(); ok; v, ok = h.TryPop() {
						rest = append(rest, uint64(v))
					}
					return once(pushed, crashed[0].Crashed(), got[0], got[1], rest)
				})
			}})
		})
	}
}

// once checks that each number was taken once, but for one that went with a consumer that crashed, and in order by each.
func once(pushed int, crashed bool, takers ...[]uint64) error {
	seen := make([]int, pushed)
	missing := 0
	for _, got := range takers {
		last := -1
		for _, v := range got {
			if int(v) >= pushed || int(v) <= last {
				return fmt.Errorf("%d of %d numbers taken, in the order %v", v, pushed, takers)
			}
			last = int(v)
			seen[v]++
		}
	}
	for _, n := range seen {
		if n > 1 {
			return fmt.Errorf("double claim: %v", takers)
		}
		if n == 0 {
			missing++
		}
	}
	if missing > 1 || missing > 0 && !crashed {
		return fmt.Errorf("lost: %v of %d", takers, pushed)
	}
	return nil
}

// explorePipe makes a pipe of which each end is a process's.
func explorePipe(w *explore.World, capacity int) (a, b *PipeEnd) {
	self, err := owner.Self()
	if err != nil {
		panic(err)
	}
	size, _ := pipeSize(capacity, 2)
	mem := make([]byte, size)
	if err := initPipe(mem, capacity, 2, self, ^uint64(0)-63); err != nil {
		panic(err)
	}
	w.SharePlain("pipe", mem)
	ends := [2]*PipeEnd{new(PipeEnd), new(PipeEnd)}
	for i, e := range ends {
		if err := e.attach(mem, i, self); err != nil {
			panic(err)
		}
		e.state.Store(open)
	}
	return ends[0], ends[1]
}

func sendNumber(e *PipeEnd, v uint64) {
	if err := e.Send(context.Background(), number(v)); err != nil {
		explore.Fail("not sent", "%v", err)
	}
}

func recvNumber(e *PipeEnd, v uint64) {
	b, err := e.Recv(context.Background())
	if err != nil || string(b) != string(number(v)) {
		explore.Fail("received", "%x, %v for %d", b, err, v)
	}
	explore.Observe(v)
}

// One end sends, waiting for room, and closes; the other receives all of it, waiting for it, and io.EOF. Sleeps have no bound: whoever is
// not told stays asleep.
func TestExplorePipe(t *testing.T) {
	for _, tt := range []struct {
		name     string
		messages uint64
		close    bool
	}{{"one", 1, false}, {"more than there is room for", 4, false}, {"closed", 1, true}} {
		t.Run(tt.name, func(t *testing.T) {
			explore.Run(t, explore.Scenario{Name: "ring.Pipe, " + tt.name, Delays: 3, Walks: 300, New: func(w *explore.World) {
				a, b := explorePipe(w, minPipe)
				w.Go("sender", func() {
					for v := range tt.messages {
						sendNumber(a, v+1)
					}
					if tt.close {
						a.hangUp()
					}
				})
				w.Go("receiver", func() {
					for v := range tt.messages {
						recvNumber(b, v+1)
					}
					if tt.close {
						if _, err := b.Recv(context.Background()); err != io.EOF {
							explore.Fail("received", "%v for io.EOF", err)
						}
					}
				})
			}})
		})
	}
}

// A number there and back.
func TestExplorePipePingPong(t *testing.T) {
	explore.Run(t, explore.Scenario{Name: "ring.Pipe, there and back", Delays: 3, Walks: 300, New: func(w *explore.World) {
		a, b := explorePipe(w, minPipe)
		w.Go("ping", func() { sendNumber(a, 1); recvNumber(a, 2) })
		w.Go("pong", func() { recvNumber(b, 1); sendNumber(b, 2) })
	}})
}

// A writer, which may crash, and a reader that it laps: no record is torn, and each is received or counted.
func TestExploreBroadcast(t *testing.T) {
	for crashes := range 2 {
		explore.Run(t, explore.Scenario{Name: fmt.Sprint("ring.Broadcast, crashes: ", crashes), Crashes: crashes, Delays: 3, Walks: 300,
			New: func(w *explore.World) {
				const slots, size, start = 2, 16, ^uint64(0) - 1
				mem := make([]byte, BroadcastSize(slots, size))
				if err := initBroadcast(mem, slots, size, start); err != nil {
					panic(err)
				}
				w.Share("broadcast", mem)
				first := w.GoMortal("writer", func() { writeNumbers(mem, 3, 0) })
				w.Go("successor", func() { explore.Until(first.Gone); writeNumbers(mem, 1, 1) })
				r, err := AttachBroadcastReader(mem)
				if err != nil {
					panic(err)
				}
				next := uint64(start)
				read := func() bool {
					b, missed, ok := r.Next()
					if !ok {
						return false
					}
					next += missed
					if string(b) != string(number(next<<1)) && string(b) != string(number(next<<1|1)) {
						explore.Fail("torn record", "%x for %d", b, next)
					}
					next++
					return true
				}
				w.Go("reader", func() {
					for range 3 {
						read()
					}
				})
				w.Check(func() error {
					for read() {
					}
					if got := next - start; got < 1 || got > 4 || !first.Crashed() && got != 4 {
						return fmt.Errorf("%d records were received or counted", got)
					}
					return nil
				})
			}})
	}
}

// writeNumbers writes records that say at which position they are, and who has written them.
func writeNumbers(mem []byte, n int, who uint64) {
	w, err := AttachBroadcastWriter(mem)
	if err != nil {
		explore.Fail("corrupted", "%v", err)
	}
	for range n {
		w.Write(number(w.tail<<1 | who))
	}
}

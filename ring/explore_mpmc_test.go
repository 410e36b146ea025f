//go:build explore

package ring

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"
	"testing"

	"github.com/shmkit/shmkit/internal/explore"
	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/semaphore"
)

func itemOf(v uint64) []byte { return binary.NativeEndian.AppendUint64(nil, v) }

func numbersIn(m *MPMC, r Run) (got []uint64) {
	for i := range r.Len() {
		got = append(got, binary.NativeEndian.Uint64(m.Slot(r, i)))
	}
	return got
}

// A crowd is participants of an MPMC ring, of which those that crash are dead to the others.
type crowd struct {
	mem   []byte
	procs []*explore.Process
	puts  map[uint64]bool // by number: whether it was put for certain
	got   map[uint64]int  // how often it was taken and released, or may have been
	maybe map[uint64]bool // taken by one that crashed before it could say that it had released it
}

func newCrowd(w *explore.World, places int, o MPMCOptions, pos uint64) *crowd {
	o.ItemSize, o.Participants = 8, places
	s, err := o.shape(layout.KindMPMC)
	if err != nil {
		panic(err)
	}
	c := &crowd{mem: make([]byte, s.total), procs: make([]*explore.Process, places),
		puts: map[uint64]bool{}, got: map[uint64]int{}, maybe: map[uint64]bool{}}
	if err := s.format(c.mem, pos); err != nil {
		panic(err)
	}
	for i := range places {
		c.handle(i).table[i].owner.Store(uint64(1000 + i))
	}
	w.SharePlain("mpmc", c.mem)
	return c
}

// handle returns that of participant i.
func (c *crowd) handle(i int) *MPMC {
	m, err := openMPMC(c.mem, layout.KindMPMC)
	if err != nil {
		panic(err)
	}
	m.self, m.id = i, owner.ID(1000+i)
	m.alive = func(id owner.ID) bool { p := c.procs[id-1000]; return p == nil || !p.Crashed() }
	return m
}

func (c *crowd) put(i, tries int) {
	m := c.handle(i)
	for n := range tries {
		v := uint64(100*(i+1) + n)
		c.puts[v] = false
		ok, err := m.TryPut(itemOf(v))
		if err != nil {
			explore.Fail("corrupted", "%v", err)
		}
		if !ok {
			delete(c.puts, v)
			continue
		}
		c.puts[v] = true
	}
}

func (c *crowd) take(i, tries, most int) {
	m := c.handle(i)
	for range tries {
		r, ok, err := m.Take(most)
		if err != nil {
			explore.Fail("corrupted", "%v", err)
		}
		if !ok {
			continue
		}
		vs := numbersIn(m, r)
		for range 2 {
			for k, v := range numbersIn(m, r) {
				if _, is := c.puts[v]; !is || v != vs[k] {
					explore.Fail("torn item", "%d where %v are taken", v, vs)
				}
				explore.Observe(v)
			}
			explore.Step() // they are this consumer's until they are released
		}
		for _, v := range vs {
			c.maybe[v] = true
		}
		if err := m.Release(r); err != nil {
			explore.Fail("double claim", "%v", err)
		}
		for _, v := range vs {
			delete(c.maybe, v)
			c.got[v]++
		}
	}
}

// takeSingly takes items one by one.
func (c *crowd) takeSingly(i, tries int) {
	m, b := c.handle(i), make([]byte, 8)
	for range tries {
		ok, err := m.TryTake(b)
		if err != nil {
			explore.Fail("corrupted", "%v", err)
		}
		if ok {
			c.count(b)
		}
	}
}

// count notes an item that was taken and released.
func (c *crowd) count(b []byte) {
	v := binary.NativeEndian.Uint64(b)
	explore.Observe(v)
	if _, is := c.puts[v]; !is {
		explore.Fail("torn item", "%d", v)
	}
	c.got[v]++
}

// verify takes what is left, after all that crashed were buried.
func (c *crowd) verify() error {
	m := c.handle(len(c.procs) - 1)
	m.Recover()
	for {
		r, ok, err := m.Take(9)
		if err != nil && err != io.EOF {
			return err
		}
		if !ok {
			break
		}
		for _, v := range numbersIn(m, r) {
			c.got[v]++
		}
		if err := m.Release(r); err != nil {
			return err
		}
	}
	all := slices.Sorted(maps.Keys(c.puts))
	for _, v := range all {
		if c.got[v] > 1 {
			return fmt.Errorf("double claim: %d came %d times: %v", v, c.got[v], c.got)
		}
	}
	for _, v := range all {
		if c.got[v] == 0 && c.puts[v] && !c.maybe[v] {
			return fmt.Errorf("lost: %d of %v, got %v", v, c.puts, c.got)
		}
	}
	if m.Len() != 0 {
		return fmt.Errorf("lost: %d slots", m.Len())
	}
	return nil
}

// Two producers and two consumers, of which some crash; another buries them while the others go on.
func TestExploreMPMC(t *testing.T) {
	for _, tt := range []struct {
		name     string
		producer bool // may crash
		consumer bool
		pos      uint64
		capacity int
		delays   int
		singly   bool // one consumer takes items one by one
	}{
		{"no crash", false, false, 2, 2, 3, false}, {"no crash, wraps", false, false, ^uint64(0), 1, 2, false},
		{"a producer crashes", true, false, 2, 2, 1, false}, {"a consumer crashes", false, true, ^uint64(0) - 1, 2, 1, false},
		{"singly", false, false, 2, 2, 2, true}, {"singly, a producer crashes", true, false, 2, 2, 1, true},
		{"singly, a consumer crashes", false, true, 2, 2, 1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			crashes := 0
			if tt.producer || tt.consumer {
				crashes = 1
			}
			explore.Run(t, explore.Scenario{Name: "ring.MPMC, " + tt.name, Delays: tt.delays, Crashes: crashes, Walks: 500, New: func(w *explore.World) {
				c := newCrowd(w, 5, MPMCOptions{Capacity: tt.capacity}, tt.pos)
				start := func(i int, mortal bool, body func()) {
					if mortal {
						c.procs[i] = w.GoMortal(fmt.Sprint("participant ", i), body)
					} else {
						c.procs[i] = w.Go(fmt.Sprint("participant ", i), body)
					}
				}
				start(0, tt.producer, func() { c.put(0, 2) })
				start(1, false, func() { c.put(1, 1) })
				start(2, tt.consumer, func() { c.take(2, 2, 1) })
				start(3, false, func() {
					if tt.singly {
						c.takeSingly(3, 2)
					} else {
						c.take(3, 2, 2)
					}
				})
				if crashes > 0 {
					mortal := c.procs[0]
					if tt.consumer {
						mortal = c.procs[2]
					}
					start(4, false, func() { explore.Until(mortal.Gone); c.handle(4).Recover() })
				}
				w.Check(c.verify)
			}})
		})
	}
}

// A producer waits for room and two consumers wait for items, without a bound.
func TestExploreMPMCWaits(t *testing.T) {
	explore.Run(t, explore.Scenario{Name: "ring.MPMC, waits", Delays: 3, Walks: 500, New: func(w *explore.World) {
		c := newCrowd(w, 4, MPMCOptions{Capacity: 1}, 2)
		c.procs[0] = w.Go("producer", func() {
			m := c.handle(0)
			for v := range uint64(2) {
				c.puts[v] = true
				waitFor(m.Room(), func() (bool, error) { return m.TryPut(itemOf(v)) })
			}
		})
		for i := 1; i < 3; i++ {
			c.procs[i] = w.Go(fmt.Sprint("consumer ", i), func() {
				m, b := c.handle(i), make([]byte, 8)
				waitFor(m.Items(), func() (bool, error) { return m.TryTake(b) })
				c.count(b)
			})
		}
		w.Check(c.verify)
	}})
}

// A claim that is withdrawn because the ring was closed tells those who wait for the end.
func TestExploreMPMCEnd(t *testing.T) {
	explore.Run(t, explore.Scenario{Name: "ring.MPMC, the end", Delays: 2, Walks: 300, New: func(w *explore.World) {
		c := newCrowd(w, 5, MPMCOptions{Capacity: 2}, 2)
		for i := range 2 {
			c.procs[i] = w.Go(fmt.Sprint("producer ", i), func() {
				m, v := c.handle(i), uint64(i)
				c.puts[v] = false
				ok, err := m.TryPut(itemOf(v))
				if err != nil && err != ErrClosed {
					explore.Fail("corrupted", "%v", err)
				}
				if c.puts[v] = ok; !ok {
					delete(c.puts, v)
				}
			})
		}
		c.procs[2] = w.Go("closer", func() { c.handle(2).Close() })
		c.procs[3] = w.Go("consumer", func() {
			m, b := c.handle(3), make([]byte, 8)
			for end := false; !end; {
				waitFor(m.Items(), func() (ok bool, err error) {
					ok, err = m.TryTake(b)
					if end = err == io.EOF; end {
						return true, nil
					}
					return ok, err
				})
				if !end {
					c.count(b)
				}
			}
		})
		w.Check(c.verify)
	}})
}

func waitFor(on semaphore.Eventcount, try func() (bool, error)) {
	done := func() bool {
		ok, err := try()
		if err != nil {
			explore.Fail("corrupted", "%v", err)
		}
		return ok
	}
	for !done() {
		ticket := on.Announce()
		if done() {
			return
		}
		on.Sleep(ticket, -1)
	}
}

//go:build explore

package shm

import (
	"fmt"
	"maps"
	"testing"

	"github.com/shmkit/shmkit/internal/explore"
	"github.com/shmkit/shmkit/internal/layout"
)

// What these scenarios are for, and how they are run, says package explore.

// large and small are sizes of blocks: two units of their own, and one of eight in a span.
const (
	large = 2 * unitBytes
	small = unitBytes / 2
)

// A plot is the memory of an arena. It is used again by each execution: nobody writes to the blocks.
type plot struct {
	mem   []byte
	shape arenaShape
}

func newPlot(units int) *plot {
	s := shapeOf(units, arenaPage)
	return &plot{layout.SliceBytes(make([]uint64, s.total/8)), s}
}

// open makes an arena of the plot, with handles for the holders from 1 on. Of a span's record only those words are shared that its
// blocks have: the others are as good as constants.
func (m *plot) open(w *explore.World, holders int) []*Arena {
	clear(m.mem[:m.shape.data])
	all := make([]*Arena, holders)
	var err error
	for i := range all {
		if i == 0 {
			all[i], err = NewArena(m.mem, int64(m.shape.units)*unitBytes, 0, 1, nil)
		} else {
			all[i], err = OpenArena(m.mem, Holder(i+1), nil)
		}
		if err != nil {
			panic(err)
		}
	}
	w.Share("control", m.mem[layout.Line:][:16])
	w.Share("units", m.mem[m.shape.words:][:8*m.shape.units])
	for s := range m.shape.units / spanUnits {
		w.Share(fmt.Sprintf("record%d", s), m.mem[m.shape.records+int64(s)*recordBytes:][:8+8*classBlocks(classOfSize(small))])
	}
	return all
}

// empty checks that nothing is held and nothing lost, once all give up what they keep for later.
func empty(all ...*Arena) error {
	for _, a := range all {
		a.Sweep()
	}
	if err := all[0].Check(); err != nil {
		return err
	}
	if st := all[0].Stats(); st.Free != st.Size {
		return fmt.Errorf("lost memory: %v", st)
	}
	return nil
}

// A register says who has which bytes.
type register map[Block]Holder

func (r register) enter(b Block, h Holder) {
	for other := range r {
		if b.Off < other.Off+other.Cap && other.Off < b.Off+b.Cap {
			explore.Fail("double claim", "%+v was handed out beside %+v", b, other)
		}
	}
	r[b] = h
}

// bury takes out what a dead holder had: it is free from now on.
func (r register) bury(dead Holder) {
	maps.DeleteFunc(r, func(_ Block, h Holder) bool { return h == dead })
}

// use allocates and frees, as often as given.
func (r register) use(a *Arena, n int64, times int) {
	for range times {
		b, _, err := a.Alloc(n)
		if err != nil {
			continue // all is taken
		}
		r.enter(b, a.self)
		explore.Step()
		delete(r, b)
		if !a.Free(b) {
			explore.Fail("not freed", "%+v was not as its holder left it", b)
		}
	}
}

// Two processes allocate and free, in memory for one and a half of them.
func TestExploreAllocators(t *testing.T) {
	for _, tt := range []struct {
		name   string
		units  int
		sizes  [2]int64
		delays int
	}{
		{"runs", 3, [2]int64{large, large}, 3},
		{"spans", 4, [2]int64{small, small}, 2},
		{"span beside run", 4, [2]int64{small, large}, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newPlot(tt.units)
			explore.Run(t, explore.Scenario{Name: "shm.Arena, " + tt.name, Delays: tt.delays, Walks: 300, New: func(w *explore.World) {
				all := m.open(w, 2)
				r := register{}
				for i, a := range all {
					w.Go(fmt.Sprint("holder", i+1), func() { r.use(a, tt.sizes[i], 2); a.Sweep() })
				}
				w.Check(func() error { return empty(all...) })
			}})
		})
	}
}

// A process crashes anywhere while it allocates and frees; another takes what it has left, while a third allocates, or frees a block
// that lies in the dead one's span.
func TestExploreReclaim(t *testing.T) {
	for _, tt := range []struct {
		name    string
		units   int
		size    int64
		foreign bool
		delays  int
	}{
		{"runs", 3, large, false, 2},
		{"spans", 4, small, false, 2},
		{"foreign free", 4, small, true, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newPlot(tt.units)
			explore.Run(t, explore.Scenario{Name: "shm.Arena, reclaim, " + tt.name, Crashes: 1, Delays: tt.delays, Walks: 300, New: func(w *explore.World) {
				all := m.open(w, 3)
				var given Block
				if tt.foreign {
					given = give(all[1], 3, tt.size)
				}
				r := register{}
				mortal := w.GoMortal("mortal", func() { r.use(all[1], tt.size, 2); all[1].Sweep() })
				w.Go("heir", func() {
					explore.Until(mortal.Gone)
					if mortal.Crashed() {
						r.bury(2)
						all[0].Reclaim(2)
					}
				})
				w.Go("third", func() {
					if tt.foreign && !all[2].Free(given) {
						explore.Fail("not freed", "%+v was not as its holder left it", given)
					}
					r.use(all[2], tt.size, 1)
					all[2].Sweep()
				})
				w.Check(func() error {
					if mortal.Crashed() {
						return empty(all[2], all[0])
					}
					return empty(all...)
				})
			}})
		})
	}
}

// give allocates a block and hands it on.
func give(a *Arena, to Holder, n int64) Block {
	b, _, err := a.Alloc(n)
	if err != nil {
		panic(err)
	}
	b, ok := a.Give(b, to)
	if !ok {
		panic("not given")
	}
	return b
}

// One gives a block away, or freezes it, by what it knows of it, while another frees the same block late and allocates
// where it lay, as a third does. One of the two is too late, and nothing else is hit.
func TestExploreLateFree(t *testing.T) {
	change := map[string]func(a *Arena, b Block) (Block, bool){
		"give":   func(a *Arena, b Block) (Block, bool) { return a.Give(b, 1) },
		"freeze": (*Arena).Freeze,
	}
	for name, f := range change {
		for kind, n := range map[string]int64{"run": large, "small": small} {
			t.Run(name+" "+kind, func(t *testing.T) {
				m := newPlot(4)
				explore.Run(t, explore.Scenario{Name: "shm.Arena, late free, " + name + " " + kind, Delays: 3, New: func(w *explore.World) {
					all := m.open(w, 3)
					b := give(all[2], 2, n)
					r := register{}
					won := 0 // which of them is told by where they stand
					w.Go("changes", func() {
						if c, ok := f(all[0], b); ok {
							won++
							if !all[0].Free(c) {
								explore.Fail("not freed", "%+v was not as its holder left it", c)
							}
						}
					})
					w.Go("frees late", func() {
						if all[1].Free(b) {
							won++
						}
						r.use(all[1], n, 1) // the same block, perhaps, and the same holder
					})
					w.Go("allocates", func() { r.use(all[2], n, 1) })
					w.Check(func() error {
						if won != 1 {
							return fmt.Errorf("late free: %d have had the block that one held", won)
						}
						return empty(all...)
					})
				}})
			})
		}
	}
}

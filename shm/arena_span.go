package shm

import (
	"math/bits"
	"sync/atomic"
)

// A span is what a process knows of a span of its own. It alone allocates there, so that what it has noted as free is.
type span struct {
	head   int // unit
	class  int
	size   int64
	record *spanRecord
	free   [(spanWords + 63) / 64]uint64 // a bit for each block that this process knows to be free
	room   int                           // of these
	total  int
	at     int    // index in the class's open, -1 if there is no room
	remote uint32 // the record's count when free was last compared with its words
}

// A sizeClass is the spans that this process has of one size of block.
type sizeClass struct {
	stash   atomic.Uint64 // of one block: its record's index and its own there, plus 1; 0 if there is none. Not guarded by mu
	open    []*span       // with room; the last one is used first
	all     []*span
	spare   *span  // one that was empty, and may still be
	foreign uint32 // the control's, when all were last swept for it
}

// allocSmall returns a block of the class.
func (a *Arena) allocSmall(class int) (Block, error) {
	a.mu.Lock()
	c := &a.classes[class]
	for {
		n := len(c.open)
		if n == 0 {
			if err := a.refill(class); err != nil {
				a.mu.Unlock()
				return Block{}, err
			}
			continue
		}
		s := c.open[n-1]
		k := s.pick()
		if s.room == 0 {
			c.close(s)
		}
		word := &s.record.words[k]
		was := blockWord(word.Load())
		w := was.next(blockHeld, a.self)
		if was.state() != blockFree || !word.CompareAndSwap(uint64(was), uint64(w)) {
			continue // nobody but a process that writes where it must not can have done that: the block is left alone
		}
		a.mu.Unlock()
		return Block{Off: a.unitOff(s.head) + int64(k)*s.size, Cap: s.size, Word: uint64(w)}, nil
	}
}

// pick takes the first free block.
func (s *span) pick() int {
	for i, set := range s.free {
		if set != 0 {
			k := bits.TrailingZeros64(set)
			s.free[i] &^= 1 << k
			s.room--
			return i*64 + k
		}
	}
	panic("shm: a span with room has no free block")
}

// freeOwn is Free for what lies in a span of this process, if it does.
func (a *Arena) freeOwn(b Block) (freed, own bool) {
	if b.Cap > maxSmall {
		return false, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s, k := a.own(b.Off)
	if s == nil {
		return false, false
	}
	if k < 0 || b.Cap < 0 || b.Cap > s.size || !s.record.words[k].CompareAndSwap(b.Word, uint64(blockWord(b.Word).next(blockFree, 0))) {
		return false, true
	}
	a.put(s, k)
	return true, true
}

// own returns the span of this process in which a block at off would lie, and its index there, -1 if none begins
// there.
func (a *Arena) own(off int64) (s *span, k int) {
	i := (off - a.shape.data) / spanBytes
	if off < a.shape.data || i >= int64(len(a.spans)) || a.spans[i] == nil {
		return nil, 0
	}
	s = a.spans[i]
	in, size := uint32(off-a.unitOff(s.head)), uint32(s.size)
	q := in / size
	if q*size != in || int(q) >= s.total {
		return s, -1
	}
	return s, int(q)
}

// put notes block k as free. One span without any block is kept for each class.
func (a *Arena) put(s *span, k int) {
	bit := uint64(1) << (k % 64)
	if k >= s.total || s.free[k/64]&bit != 0 {
		return
	}
	s.free[k/64] |= bit
	s.room++
	c := &a.classes[s.class]
	if s.at < 0 {
		c.reopen(s)
	}
	if s.room < s.total || s == c.spare {
		return
	}
	if c.spare != nil && c.spare.room == c.spare.total {
		a.disown(s)
	} else {
		c.spare = s
	}
}

// freeForeign frees a block in another's span, where locate has found its word, and gives the owner a hint.
func (a *Arena) freeForeign(b Block, word *atomic.Uint64) bool {
	if !word.CompareAndSwap(b.Word, uint64(blockWord(b.Word).next(blockFree, 0))) {
		return false
	}
	a.records[a.unit(b.Off)/spanUnits].remote.Add(1) // pairs with the load in span.sweep
	a.ctl.foreign.Add(1)                             // pairs with the load in refill
	return true
}

func (c *sizeClass) reopen(s *span) {
	s.at = len(c.open)
	c.open = append(c.open, s)
}

func (c *sizeClass) close(s *span) {
	last := len(c.open) - 1
	c.open[s.at] = c.open[last]
	c.open[s.at].at = s.at
	c.open[last] = nil
	c.open = c.open[:last]
	s.at = -1
}

// refill makes room in a class: with what others have freed, or by a new span. The caller holds mu.
func (a *Arena) refill(class int) error {
	c := &a.classes[class]
	if foreign := a.ctl.foreign.Load(); foreign != c.foreign {
		for _, s := range c.all {
			a.sweep(s, false)
		}
		if len(c.open) > 0 {
			return nil
		}
		c.foreign = foreign
	}
	head, gaps, err := a.claim(spanUnits, spanUnits)
	if err != nil {
		return err
	}
	if err := a.back(head, spanUnits, gaps); err != nil {
		return err
	}
	if a.backing != nil {
		if err := a.backing.Reserve(a.recordOff(head), recordBytes); err != nil {
			a.abort(head)
			return err
		}
	}
	a.found(head, class)
	return nil
}

func (a *Arena) recordOff(head int) int64 { return a.shape.records + int64(head/spanUnits)*recordBytes }

// found makes a span of four units that this process has claimed. Generations go on from the unit's, which has
// seen those of all blocks that were there before.
func (a *Arena) found(head, class int) {
	w := blockWord(a.words[head].Load())
	r := &a.records[head/spanUnits]
	r.class.Store(uint32(class))
	r.remote.Store(0)
	for k := range r.words {
		r.words[k].Store(uint64(makeBlockWord(blockFree, 0, w.gen())))
	}
	a.words[head].Store(uint64(w.next(blockSpan, a.self))) // hands it all to locate
	a.adopt(head)
}

// adopt enters a span, whose unit says that it is this process's, into the books. The caller holds mu.
func (a *Arena) adopt(head int) *span {
	r := &a.records[head/spanUnits]
	class := int(r.class.Load())
	if class >= len(classSizes) || head%spanUnits != 0 || a.length(head) != spanUnits || a.mine(head) {
		return nil // written by who must not: the space is lost, and nothing else
	}
	s := &span{head: head, class: class, size: classSizes[class], record: r, total: classBlocks(class), at: -1}
	for len(a.spans) <= head/spanUnits {
		a.spans = append(a.spans, nil)
	}
	a.spans[head/spanUnits] = s
	a.classes[class].all = append(a.classes[class].all, s)
	a.sweep(s, true)
	return s
}

// mine reports whether the books have a span at head.
func (a *Arena) mine(head int) bool {
	i := head / spanUnits
	return i < len(a.spans) && a.spans[i] != nil
}

// sweep notes what others have freed; always, or if there is a hint.
func (a *Arena) sweep(s *span, always bool) {
	remote := s.record.remote.Load() // before the words: what is freed later counts again
	if remote == s.remote && !always {
		return
	}
	s.remote = remote
	for k := range s.total {
		if s.free[k/64]>>(k%64)&1 == 0 && blockWord(s.record.words[k].Load()).state() == blockFree {
			s.free[k/64] |= 1 << (k % 64)
			s.room++
		}
	}
	if s.room > 0 && s.at < 0 {
		a.classes[s.class].reopen(s)
	}
}

// disown gives a span without blocks back. The caller holds mu.
func (a *Arena) disown(s *span) {
	c := &a.classes[s.class]
	c.close(s)
	if c.spare == s {
		c.spare = nil
	}
	for i, other := range c.all {
		if other == s {
			last := len(c.all) - 1
			c.all[i] = c.all[last]
			c.all[last] = nil
			c.all = c.all[:last]
			break
		}
	}
	a.spans[s.head/spanUnits] = nil
	a.dissolve(s.head)
}

// dissolve frees the units of a span of this process in which no block is held.
func (a *Arena) dissolve(head int) {
	r := &a.records[head/spanUnits]
	w := blockWord(a.words[head].Load())
	if w.state() != blockSpan || w.holder() != a.self {
		return // written by who must not
	}
	gen := w.gen()
	for k := range r.words {
		gen = max(gen, blockWord(r.words[k].Load()).gen())
	}
	if !a.words[head].CompareAndSwap(uint64(w), uint64(makeBlockWord(blockClaimed, a.self, gen+1))) {
		return
	}
	if a.backing != nil {
		_ = a.backing.Punch(a.recordOff(head), recordBytes) // what stays is overwritten
	}
	a.release(head, true, allBacked)
}

// Sweep takes back what others have freed in spans of this process, and gives up those that are empty. A process that
// will not allocate for long calls it.
func (a *Arena) Sweep() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for c := range a.classes {
		a.emptyStash(c)
		for i := len(a.classes[c].all) - 1; i >= 0; i-- {
			s := a.classes[c].all[i]
			a.sweep(s, true)
			if s.room == s.total {
				a.disown(s)
			}
		}
	}
}

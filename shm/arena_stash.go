package shm

// Each class has a stash for one block: the one that was freed last and that the next allocation gets, without the lock. In its
// word it is claimed by this process: nobody's block, and not free for a sweep either. Who dies with it leaves it to
// Reclaim.

const stashBits = 9 // of the block's index in its span

// allocStashed takes the block from the stash of a class.
func (a *Arena) allocStashed(class int) (b Block, ok bool) {
	c := &a.classes[class]
	v := c.stash.Load()
	if v == 0 || !c.stash.CompareAndSwap(v, 0) {
		return b, false
	}
	record, k := (v-1)>>stashBits, (v-1)&(1<<stashBits-1)
	word := &a.records[record].words[k]
	was := blockWord(word.Load())
	w := was.next(blockHeld, a.self)
	if was.state() != blockClaimed || !word.CompareAndSwap(uint64(was), uint64(w)) {
		return b, false // as in allocSmall
	}
	size := classSizes[class]
	return Block{Off: a.unitOff(int(record)*spanUnits) + int64(k)*size, Cap: size, Word: uint64(w)}, true
}

// freeStashed frees a block of a span of this process into the stash, if that is empty. tried is false if nothing was
// done.
func (a *Arena) freeStashed(b Block) (freed, tried bool) {
	if b.Cap > maxSmall || b.Off < a.shape.data {
		return false, false
	}
	head := a.unit(b.Off) &^ (spanUnits - 1)
	if head >= int(a.top()) {
		return false, false
	}
	if w := blockWord(a.words[head].Load()); w.state() != blockSpan || w.holder() != a.self {
		return false, false
	}
	in := b.Off - a.unitOff(head)
	r := &a.records[head/spanUnits]
	class := r.class.Load()
	word := a.locateInSpan(head, in, b.Cap)
	if word == nil || class >= uint32(len(classSizes)) || a.classes[class].stash.Load() != 0 {
		return false, false
	}
	w := blockWord(b.Word).next(blockClaimed, a.self)
	if !word.CompareAndSwap(b.Word, uint64(w)) {
		return false, true
	}
	k := uint64(in) / uint64(classSizes[class])
	if !a.classes[class].stash.CompareAndSwap(0, (uint64(head/spanUnits)<<stashBits|k)+1) {
		a.unstash(head/spanUnits, int(k))
	}
	return true, true
}

// emptyStash frees the block in the stash of a class. The caller holds mu.
func (a *Arena) emptyStash(class int) {
	if v := a.classes[class].stash.Swap(0); v != 0 {
		a.putClaimed(int((v-1)>>stashBits), int((v-1)&(1<<stashBits-1)))
	}
}

// unstash frees a block that was to be stashed.
func (a *Arena) unstash(record, k int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.putClaimed(record, k)
}

// putClaimed frees a block that this process has claimed. The caller holds mu.
func (a *Arena) putClaimed(record, k int) {
	word := &a.records[record].words[k]
	w := blockWord(word.Load())
	if w.state() != blockClaimed || !word.CompareAndSwap(uint64(w), uint64(w.next(blockFree, 0))) {
		return
	}
	if a.mine(record * spanUnits) {
		a.put(a.spans[record], k)
	}
}

package shm

import "fmt"

// Reclaim frees what a dead holder held, and ends what it was about to do. Spans of its own that others have
// blocks in become this process's. Only one process at a time may do so for a holder, and only with
// proof that nobody acts as it any more. It returns how many blocks were freed. A block that somebody gives to
// the dead one later stays its own until the next call.
func (a *Arena) Reclaim(dead Holder) (blocks int) {
	if dead == a.self {
		panic(fmt.Sprintf("shm: holder %d reclaims what it holds itself", dead))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for u := 0; u < int(a.top()); u++ {
		w := blockWord(a.words[u].Load())
		switch w.state() {
		case blockClaimed:
			if w.holder() == dead && a.words[u].CompareAndSwap(uint64(w), uint64(w.next(blockClaimed, a.self))) {
				a.abort(u)
			}
		case blockHeld, blockFrozen:
			if w.holder() == dead && a.words[u].CompareAndSwap(uint64(w), uint64(w.next(blockClaimed, a.self))) {
				a.release(u, true, allBacked)
				blocks++
			}
		case blockSpan:
			blocks += a.reclaimIn(u, dead)
			if w.holder() == dead {
				a.inherit(u, w)
			}
		}
	}
	return blocks
}

// reclaimIn frees the blocks that a dead holder has in a span, and the one that it has stashed, which is nobody's.
func (a *Arena) reclaimIn(head int, dead Holder) (blocks int) {
	r := &a.records[head/spanUnits]
	freed := false
	for k := range r.words {
		w := blockWord(r.words[k].Load())
		if !w.held() && w.state() != blockClaimed || w.holder() != dead ||
			!r.words[k].CompareAndSwap(uint64(w), uint64(w.next(blockFree, 0))) {
			continue
		}
		freed = true
		if w.held() {
			blocks++
		}
	}
	if freed {
		r.remote.Add(1)
		a.ctl.foreign.Add(1)
	}
	return blocks
}

// inherit makes a dead holder's span this process's, or frees it.
func (a *Arena) inherit(head int, w blockWord) {
	if !a.words[head].CompareAndSwap(uint64(w), uint64(w.next(blockSpan, a.self))) {
		return
	}
	if s := a.adopt(head); s != nil && s.room == s.total {
		a.disown(s)
	}
}

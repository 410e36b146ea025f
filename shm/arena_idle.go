package shm

import (
	"fmt"
	"os"
)

// Idle returns who has a span in which no block is held, this process aside. They keep it until they sweep.
func (a *Arena) Idle() (owners []Holder) {
	seen := make(map[Holder]bool) // as many as there are spans, if somebody writes where it must not
	for u := 0; u+spanUnits <= int(a.top()); u += spanUnits {
		w := blockWord(a.words[u].Load())
		if w.state() == blockSpan && w.holder() != a.self && !seen[w.holder()] && a.unused(u) {
			seen[w.holder()] = true
			owners = append(owners, w.holder())
		}
	}
	return owners
}

// unused reports whether no block is held in a span.
func (a *Arena) unused(head int) bool {
	r := &a.records[head/spanUnits]
	for k := range r.words {
		if blockWord(r.words[k].Load()).held() {
			return false
		}
	}
	return true
}

// Look returns the block of n bytes at off as it is now.
func (a *Arena) Look(off, n int64) (Block, error) {
	at := a.locate(off, n)
	if at != nil {
		if w := blockWord(at.Load()); w.held() {
			return Block{Off: off, Cap: n, Word: uint64(w)}, nil
		}
	}
	return Block{}, fmt.Errorf("look at block: %d bytes at %d are not held: %w", n, off, os.ErrInvalid)
}

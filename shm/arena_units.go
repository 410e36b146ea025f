package shm

// A run is taken unit by unit, the first before the others, and given back in the reverse order. So whatever a process
// that was killed has left of it begins with a unit that names the process, and Reclaim finds it.

// A gap is some units of a run that have no memory.
type gap struct{ from, n int }

// allocRun returns a block of n units.
func (a *Arena) allocRun(n int) (b Block, zero bool, err error) {
	head, gaps, err := a.claim(n, 1)
	if err != nil {
		return Block{}, false, err
	}
	if err := a.back(head, n, gaps); err != nil {
		return Block{}, false, err
	}
	w := blockWord(a.words[head].Load()).next(blockHeld, a.self)
	a.words[head].Store(uint64(w)) // a claimed unit is written by its holder alone; pairs with the loads in locate
	b = Block{Off: a.unitOff(head), Cap: int64(n) * unitBytes, Word: uint64(w)}
	// Of pages larger than a unit only whole ones go back, and what stays is not always cleared.
	return b, a.grain == 1 && len(gaps) == 1 && gaps[0].n == n, nil
}

// freeRun is Free for a run, which locate has found.
func (a *Arena) freeRun(b Block) bool {
	head := a.unit(b.Off)
	if !a.words[head].CompareAndSwap(b.Word, uint64(blockWord(b.Word).next(blockClaimed, a.self))) {
		return false
	}
	a.release(head, true, allBacked)
	return true
}

// claim takes n free units in a row, the first of them at a multiple of align. The first is then claimed by this process, and
// gaps are those units that have no memory.
func (a *Arena) claim(n, align int) (head int, gaps []gap, err error) {
	for {
		top := int(a.top())
		from := min(int(a.cursor.Load()), top)
		head, ok := a.search(from, top, n, align)
		if !ok {
			head, ok = a.search(0, min(from+n, top), n, align)
		}
		if !ok {
			if err := a.grow(top, n, align); err != nil {
				return 0, nil, err
			}
			continue
		}
		if gaps, ok := a.take(head, n); ok {
			a.cursor.Store(int64(head + n))
			return head, gaps, nil
		}
	}
}

// top is how many units may be looked at. Pairs with the compare-and-swap in grow.
func (a *Arena) top() uint64 { return min(a.ctl.top.Load(), uint64(a.shape.units)) }

// search returns the first n units in [from, to) that are free.
func (a *Arena) search(from, to, n, align int) (head int, ok bool) {
	head = (from + align - 1) / align * align
	for at := head; head+n <= to; {
		if at == head+n {
			return head, true
		}
		if blockWord(a.words[at].Load()).state() != blockFree {
			head = (at + align) / align * align
			at = head
			continue
		}
		at++
	}
	return 0, false
}

// grow brings more units into use, so that n more may be found.
func (a *Arena) grow(top, n, align int) error {
	if top == a.shape.units {
		return ErrArenaFull
	}
	end := min((top+n+align+growUnits-1)/growUnits*growUnits, a.shape.units)
	if a.backing != nil {
		if err := a.backing.Reserve(a.shape.words+int64(top)*8, int64(end-top)*8); err != nil {
			return err
		}
	}
	a.ctl.top.CompareAndSwap(uint64(top), uint64(end)) // if another was faster, that is as good
	return nil
}

// take claims n units from head on, or none.
func (a *Arena) take(head, n int) (gaps []gap, ok bool) {
	was := blockWord(a.words[head].Load())
	if was.state() != blockFree || !a.words[head].CompareAndSwap(uint64(was), uint64(was.next(blockClaimed, a.self))) {
		return nil, false
	}
	if !was.backed() {
		gaps = append(gaps, gap{head, 1})
	}
	for u := head + 1; u < head+n; u++ {
		w := blockWord(a.words[u].Load())
		if w.state() != blockFree || !a.words[u].CompareAndSwap(uint64(w), uint64(w.rest(head))) {
			a.release(head, was.backed(), blockWord.backed)
			return nil, false
		}
		if w.backed() {
			continue
		}
		if k := len(gaps) - 1; k >= 0 && gaps[k].from+gaps[k].n == u {
			gaps[k].n++
		} else {
			gaps = append(gaps, gap{u, 1})
		}
	}
	return gaps, true
}

// back gives memory to a run of n units that was just claimed, or frees the run.
func (a *Arena) back(head, n int, gaps []gap) error {
	if a.backing == nil {
		return nil
	}
	for _, g := range gaps {
		if err := a.backing.Reserve(a.unitOff(g.from), int64(g.n)*unitBytes); err != nil {
			a.abort(head)
			return err
		}
	}
	return nil
}

// release frees a run that this process has claimed, the first unit last. It says whether that has memory, and rest
// whether each of the others has.
func (a *Arena) release(head int, backed bool, rest func(blockWord) bool) {
	epoch := a.ctl.epoch.Load()
	for u := head + a.length(head) - 1; u > head; u-- {
		w := blockWord(a.words[u].Load())
		a.words[u].CompareAndSwap(uint64(w), uint64(w.freed(rest(w), epoch)))
	}
	a.set(head, backed)
	a.rewind(head)
}

func allBacked(blockWord) bool  { return true }
func noneBacked(blockWord) bool { return false }

// abort frees a run of which nobody knows what memory it has: it has none afterwards.
func (a *Arena) abort(head int) {
	n := a.length(head)
	if a.backing == nil || a.backing.Punch(a.unitOff(head), int64(n)*unitBytes) != nil {
		a.release(head, true, allBacked) // it is not known to be zero; a page that is missing is backed when it is touched
		return
	}
	a.release(head, false, noneBacked)
}

// set frees a single unit that this process has claimed.
func (a *Arena) set(u int, backed bool) {
	w := blockWord(a.words[u].Load())
	a.words[u].CompareAndSwap(uint64(w), uint64(w.freed(backed, a.ctl.epoch.Load())))
}

// length counts the units of the run that begins at head.
func (a *Arena) length(head int) int {
	n, top := 1, int(a.top())
	for head+n < top && blockWord(a.words[head+n].Load()).isRestOf(head) {
		n++
	}
	return n
}

// rewind makes the next search find unit u.
func (a *Arena) rewind(u int) {
	for {
		c := a.cursor.Load()
		if int64(u) >= c || a.cursor.CompareAndSwap(c, int64(u)) {
			return
		}
	}
}

package pool

import "fmt"

// check looks for what should not be, and repairs what a process that was stopped in
// the middle of a hand-over can leave: hints that were taken and not acted on, wakes that
// were not made. What no process can leave is corruption. The caller holds mu.
func (p *Pool) check() {
	if p.phase >= stopping || p.broken != nil || p.moving != nil {
		return
	}
	if fault := p.fault(); fault != "" {
		_ = p.corrupted("%s", fault)
		return
	}
	for i := range p.entries {
		if p.entries[i].live {
			p.checkSlot(uint32(i))
		}
	}
	if p.broken != nil || p.moving != nil {
		return
	}
	p.rehint()
	if p.outstanding > 0 && !p.mem.ready.Empty() {
		p.wakeAll()
	}
}

// fault says what in the memory cannot be, slots aside; "" if all can. What only the parent writes must be what it has written.
func (p *Pool) fault() string {
	switch {
	case p.mem.ctl.stop.Load() != 0:
		return "the stop flag is set in a pool that runs"
	case int(p.mem.ctl.present.Load()) != p.present():
		return "the number of workers was changed"
	case !p.home.intact():
		return "a header, the table of functions or the initialiser was changed"
	case !p.ready.Sound():
		return "the ready ring was changed"
	}
	for _, m := range p.members {
		if m.vacant {
			continue
		}
		if !m.done.Sound() {
			return fmt.Sprintf("the reports of worker %d were changed", m.index)
		}
		m.done.Drop() // where the worker looks for room: nobody else may have moved it
	}
	return ""
}

// checkSlot compares the word of a task's slot with what the parent knows of it.
func (p *Pool) checkSlot(i uint32) {
	if p.broken != nil || p.moving != nil {
		return
	}
	e := &p.entries[i]
	w := word(p.mem.slots[i].word.Load())
	if w.gen() == e.gen {
		if w.state() == queued && w.worker() == 0 {
			return
		}
		if m := p.memberOf(w.worker()); m != nil {
			switch w.state() {
			case running, doomed:
				return
			case done, failed: // its hint is on the way, or overwritten
				p.collect(i, m, w.state() == failed)
				return
			}
		}
	}
	p.corrupted("slot %d, which holds task %d, says %v", i, e.gen, w)
}

// memberOf returns the place whose worker has, or had last, that incarnation.
func (p *Pool) memberOf(incarnation uint32) *member {
	for _, m := range p.members {
		if m.incarnation == incarnation && incarnation != 0 {
			return m
		}
	}
	return nil
}

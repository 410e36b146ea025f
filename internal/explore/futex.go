package explore

import "time"

// A Bound says how a sleep may come to its end without a wake-up.
type Bound uint8

const (
	Unbounded Bound = iota
	Bounded         // when nothing else can happen, as Scenario.Timeouts says
	Nap             // at any time: to look away for a while is what it is for
)

// BoundOf is the bound of a sleep with that timeout.
func BoundOf(timeout time.Duration) Bound {
	if timeout < 0 {
		return Unbounded
	}
	return Bounded
}

// Wait sleeps on word while load returns val: FUTEX_WAIT. It says whether the sleep has come to its end.
func Wait(word any, load func() uint32, val uint32, bound Bound, bits uint32) (timedOut bool) {
	a := Enter(word, true)
	if a == nil {
		panic("explore: a futex outside of the shared memory, or of an exploration")
	}
	p, w := a.p, a.p.world
	if got := load(); got != val {
		a.Leave("futex wait, not equal,", uint64(got), false)
		return false
	}
	p.state, p.word, p.bits, p.bound, p.timedOut = asleep, a.addr, bits, bound, false
	w.sleepers = append(w.sleepers[:len(w.sleepers):len(w.sleepers)], p)
	if w.search.tracing() {
		w.search.noteAt("%s sleeps on %s while it is %#x", p.name, w.where(a.addr), val)
	}
	w.pass(p, w.choose(p))
	v := uint64(3)
	if p.timedOut {
		v = 4
	}
	a.Leave("wakes up on", v, true) // it may crash with the wake-up spent on it
	return p.timedOut
}

// Wake wakes up to n of those who sleep on word and have one of bits, the first to come first, and returns how many there were.
func Wake(word any, n int, bits uint32) (woken int) {
	a := Enter(word, true)
	if a == nil {
		return 0
	}
	w := a.p.world
	for i := 0; i < len(w.sleepers) && woken < n; {
		if q := w.sleepers[i]; q.word == a.addr && q.bits&bits != 0 {
			q.wakeUp(false)
			woken++
			continue
		}
		i++
	}
	a.Leave("futex wake", uint64(woken), woken > 0)
	return woken
}

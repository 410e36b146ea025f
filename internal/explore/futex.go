package explore

import (
	"reflect"
	"slices"
	"time"
)

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

// A Futex is a word to sleep on, as long as Load returns Val.
type Futex struct {
	Word any
	Load func() uint32
	Val  uint32
}

// Wait sleeps on words: FUTEX_WAIT, or futex_waitv. It says whether the sleep has come to its end.
func Wait(bound Bound, bits uint32, words ...Futex) (timedOut bool) {
	a := Enter(words[0].Word, true)
	if a == nil {
		panic("explore: a futex outside of the shared memory, or of an exploration")
	}
	p, w := a.p, a.p.world
	p.words = make([]uintptr, len(words))
	for i, f := range words {
		if got := f.Load(); got != f.Val {
			a.addr = reflect.ValueOf(f.Word).Pointer()
			a.Leave("futex wait, not equal,", uint64(i)<<32|uint64(got), false)
			return false
		}
		p.words[i] = reflect.ValueOf(f.Word).Pointer()
	}
	p.state, p.bits, p.bound, p.timedOut = asleep, bits, bound, false
	w.sleepers = append(w.sleepers[:len(w.sleepers):len(w.sleepers)], p)
	if w.search.tracing() {
		w.search.noteAt("%s sleeps on %s", p.name, w.whereAll(p.words))
	}
	w.pass(p, w.choose(p))
	w.forget(p)
	v := uint64(3)
	if p.timedOut {
		v = 4
	}
	a.Leave("wakes up on", v, true) // it may crash with the wake-up spent on it
	return p.timedOut
}

// forget says that nobody can wake p any more.
func (w *World) forget(p *Process) {
	if i := slices.Index(w.sleepers, p); i >= 0 {
		w.sleepers = append(w.sleepers[:i:i], w.sleepers[i+1:]...)
	}
}

// Wake wakes up to n of those who sleep on word and have one of bits, the first to come first, and returns how many there were. One who
// sleeps on several words may be woken by each, until it runs.
func Wake(word any, n int, bits uint32) (woken int) {
	a := Enter(word, true)
	if a == nil {
		return 0
	}
	for _, q := range a.p.world.sleepers {
		if i := slices.Index(q.words, a.addr); i >= 0 && woken < n && q.bits&bits != 0 {
			q.words = slices.Delete(q.words, i, i+1)
			q.wakeUp(false)
			woken++
		}
	}
	a.Leave("futex wake", uint64(woken), woken > 0)
	return woken
}

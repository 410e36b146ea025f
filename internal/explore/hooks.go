package explore

import (
	"fmt"
	"reflect"
	"runtime"
	"time"
)

// An Access is an operation on a shared word that is going on: between Enter and Leave nobody else runs.
type Access struct {
	p    *Process
	addr uintptr
}

// Enter begins an operation on the word to which the pointer word points. It returns nil outside of an exploration, and for a word
// that is not shared: then the operation is an ordinary one. A fence, as every operation is that is not a load, waits until all that the
// process has stored is seen.
func Enter(word any, fence bool) *Access {
	w := world
	if w == nil || w.running == nil {
		return nil
	}
	addr := reflect.ValueOf(word).Pointer()
	if r, _ := w.region(addr); r == nil {
		return nil
	}
	p := w.enter()
	if fence {
		p.drainAll()
	}
	return &Access{p, addr}
}

// enter is the part of a hook before its operation. If the process has written plain bytes since its last one, those may be seen, or
// left behind, without the operation.
func (w *World) enter() *Process {
	p := w.running
	if p.dying {
		runtime.Goexit() // the end of a crashed process, which has deferred something
	}
	if len(w.plain) > 0 && w.plainHash() != w.clean {
		p.changed = true
		if w.search.tracing() {
			w.search.note("%s has written bytes", p.name)
		}
		w.yield()
	}
	return p
}

// Buffered returns what the process itself sees in the word, if others do not see it yet.
func (a *Access) Buffered() (v uint64, ok bool) {
	for i := len(a.p.stores) - 1; i >= 0; i-- {
		if s := &a.p.stores[i]; s.addr == a.addr {
			return s.value, true
		}
	}
	return 0, false
}

// Buffer holds a store of v back: apply makes it visible.
func (a *Access) Buffer(v uint64, apply func()) {
	a.p.stores = append(a.p.stores, store{a.addr, v, apply})
}

// Leave ends an operation that has returned v, and lets others run.
func (a *Access) Leave(op string, v uint64, changed bool) {
	p := a.p
	p.see(v)
	if changed {
		p.changed = true
		p.world.rehash(a.addr)
	}
	if p.world.search.tracing() {
		p.world.search.noteAt("%s %s %s: %#x", p.name, op, p.world.where(a.addr), v)
	}
	p.world.yield()
}

// Observe notes a value that the running process has read from shared bytes without an atomic.
func Observe(v uint64) {
	if w := world; w != nil && w.running != nil && !w.running.dying {
		w.running.see(v)
		if w.search.tracing() {
			w.search.noteAt("%s sees %#x", w.running.name, v)
		}
	}
}

// FenceAll has all seen that any process has stored.
func FenceAll() {
	w := world
	if w == nil || w.running == nil {
		return
	}
	p := w.enter()
	for _, q := range w.processes {
		q.drainAll()
	}
	p.see(3)
	w.yield()
}

// Step is a point at which others may run, and the process may crash.
func Step() {
	if w := world; w != nil && w.running != nil {
		w.enter().see(1)
		w.yield()
	}
}

// Until returns once cond holds, which is about the world alone: which processes are gone. It is how one learns of another's death.
func Until(cond func() bool) {
	w := world
	p := w.enter()
	p.drainAll()
	p.see(2)
	if cond() {
		w.yield()
		return
	}
	p.state, p.until = waiting, cond
	w.pass(p, w.choose(p))
}

// Closed reports whether a channel is closed on which nothing is sent.
func Closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Exit ends the running process.
func Exit() {
	world.running.dying = true
	runtime.Goexit()
}

// Fail says that something is wrong, which ends the execution and the search.
func Fail(kind, format string, args ...any) {
	w := world
	if w == nil || w.running == nil {
		panic("explore: " + kind + ": " + fmt.Sprintf(format, args...))
	}
	if w.running.dying {
		runtime.Goexit()
	}
	w.find(kind, w.running.name+": "+fmt.Sprintf(format, args...))
	w.running.dying = true
	runtime.Goexit()
}

// Tick is how far a process's clock goes on with each look.
func (w *World) Tick(d time.Duration) { w.tick = d }

// Now is a clock of the running process, which goes on with each look at it: so nothing but what the process has done decides what it says.
func Now() time.Time {
	w := world
	if w == nil || w.running == nil {
		return time.Unix(1, 0)
	}
	w.running.now += w.tick
	return time.Unix(1, int64(w.running.now))
}

// Since is time.Since by that clock.
func Since(t time.Time) time.Duration { return Now().Sub(t) }

// On reports whether a process of an exploration runs.
func On() bool { return world != nil && world.running != nil }

// Dying reports whether the running process has crashed, and only what it has deferred is left of it.
func Dying() bool { return On() && world.running.dying }

// Later stands in for time.AfterFunc where a scenario calls itself what is to happen later.
func Later(time.Duration, func()) {}

// Forget says that of all that the running process has seen nothing is left but these values: executions that are alike otherwise are
// explored once. A loop that keeps nothing from one turn to the next calls it with what it counts.
func Forget(left ...uint64) {
	w := world
	if w == nil || w.running == nil {
		return
	}
	p := w.enter()
	p.history = uint64(p.now)
	for _, v := range left {
		p.see(v)
	}
}

package explore

import "time"

// A Process is a goroutine that stands for a process, or for a thread of one: one of all runs at a time.
type Process struct {
	world   *World
	name    string
	index   int
	body    func()
	turn    chan struct{}
	mortal  bool
	state   status
	history uint64 // hash of what it has seen at its hooks: with its body, that is its own memory
	dying   bool   // its next hook ends it
	unwound bool   // its goroutine has ended
	changed bool   // others can see something of what it has done since it could last crash
	now     time.Duration
	stores  []store // released, and seen by nobody else yet

	words    []uintptr // on which it sleeps, or, when it has been woken and has not run since, still could be woken
	bits     uint32
	bound    Bound
	timedOut bool
	until    func() bool // for what it waits
}

type status uint8

const (
	ready status = iota
	asleep
	waiting
	ended
	crashed
)

// Go adds a process that does what body does.
func (w *World) Go(name string, body func()) *Process { return w.add(name, body, false) }

// GoMortal adds a process that may crash at any point.
func (w *World) GoMortal(name string, body func()) *Process { return w.add(name, body, true) }

func (w *World) add(name string, body func(), mortal bool) *Process {
	p := &Process{world: w, name: name, index: len(w.processes), body: body, turn: make(chan struct{}), mortal: mortal, changed: true}
	w.processes = append(w.processes, p)
	return p
}

// Gone reports whether the process has ended or crashed.
func (p *Process) Gone() bool { return p.state >= ended }

// Crashed reports whether the process has crashed.
func (p *Process) Crashed() bool { return p.state == crashed }

func (p *Process) canRun() bool { return p.state == ready || p.state == waiting && p.until() }

// see notes what the process has learnt.
func (p *Process) see(v uint64) { p.history = mix(p.history, v) }

// die makes the process one that has crashed. What it had released is seen in the end: a processor that has executed a store
// completes it.
func (p *Process) die() {
	p.drainAll()
	p.state, p.dying = crashed, true
	p.world.crashes++
	p.world.search.crashed = true
}

// A store is one that its process has executed and others do not see yet, as on a processor that holds stores back.
type store struct {
	addr  uintptr
	value uint64
	apply func()
}

func (p *Process) drainOne() {
	p.stores[0].apply()
	p.world.rehash(p.stores[0].addr)
	p.stores = p.stores[1:]
}

func (p *Process) drainAll() {
	for len(p.stores) > 0 {
		p.drainOne()
	}
}

// wakeUp ends the sleep of a process.
func (p *Process) wakeUp(timedOut bool) {
	if timedOut || len(p.words) == 0 {
		p.world.forget(p)
	}
	p.state, p.timedOut, p.changed = ready, timedOut, true
}

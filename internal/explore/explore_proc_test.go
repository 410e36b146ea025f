//go:build linux && (amd64 || arm64)

package explore_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// atOnce is how many builds and explorations run side by side.
const atOnce = 2

var slots = make(chan struct{}, atOnce)

// inTurn runs the rest of t beside others, as many as there are slots.
func inTurn(t *testing.T) {
	t.Parallel()
	slots <- struct{}{}
	t.Cleanup(func() { <-slots })
}

// brief says that only a part is to be done.
func brief() bool { return testing.Short() || detectsRaces }

// TestShipped explores the algorithms as they are.
func TestShipped(t *testing.T) {
	for _, pkg := range explored {
		if brief() && pkg != "semaphore" {
			continue
		}
		t.Run(pkg, func(t *testing.T) {
			inTurn(t)
			out, err := output(t, build(t, pkg), "-test.v", "-test.run=^TestExplore")
			require.NoError(t, err, out)
			for line := range strings.Lines(out) {
				if _, what, ok := strings.Cut(line, "explore: "); ok {
					t.Log(strings.TrimSpace(what))
				}
			}
		})
	}
}

// A mutant is the module with a planted bug.
type mutant struct {
	name   string
	pkg    string
	change change
	run    string // the scenarios that find it
	want   string // and what they call it
}

var mutants = []mutant{
	// Lost wake-ups.
	{"waitqueue looks before it announces itself", "semaphore", change{file: "semaphore/waitqueue.go",
		old: "ticket := w.on.Announce()\n\t\tif !q.commit(w) {\n\t\t\tcontinue\n\t\t}",
		new: "if !q.commit(w) {\n\t\t\tcontinue\n\t\t}\n\t\tticket := w.on.Announce()"},
		"TestExploreSemaphore$", "lost wake-up"},
	{"eventcount does not advance", "semaphore", change{file: "semaphore/eventcount.go",
		old: "next := (w + bump) &^ unset", new: "next := w &^ unset"},
		"TestExploreEventcount$", "lost wake-up"},
	{"eventcount clears its mark and wakes nobody", "semaphore", change{file: "semaphore/eventcount.go",
		old: "&^waiting) {\n\t\tsys.FutexWake(e.word, sys.All)\n\t}", new: "&^waiting) {\n\t}"},
		"TestExploreEventcount$|TestExploreTwoWakers", "lost wake-up"},
	{"waitqueue keeps an unused wake-up", "semaphore", change{file: "semaphore/waitqueue.go",
		old: "if unused {", new: "if false && unused {"},
		"TestExploreLeave", "lost wake-up"},
	{"a served server keeps the service", "semaphore", change{file: "semaphore/waitqueue.go",
		old: "q.service.Done()\n\t\treturn\n\t}\n\tclose(first.turn)", new: "q.service.Done()\n\t\treturn\n\t}"},
		"TestExploreHandOn/all_wait", "lost wake-up"},
	{"one who leaves takes the service along", "semaphore", change{file: "semaphore/waitqueue.go",
		old: "if q.server != w {", new: "if q.server != w || w.turn != nil {"},
		"TestExploreHandOn/one_leaves", "lost wake-up"},
	{"who leaves does not wake the server", "semaphore", change{file: "semaphore/waitqueue.go",
		old: "w.on.kick(q.bits)", new: "_ = w.on.kick"},
		"TestExploreLeave", "lost wake-up"},
	{"who joins a group does not keep it from sleeping", "semaphore", change{file: "semaphore/group.go",
		old: "g.bell.Add(1)", new: "g.bell.Add(0)"},
		"TestExploreGroupOfStrangers", "lost wake-up"},
	{"a group believes that only its bell was rung", "semaphore", change{file: "semaphore/group.go",
		old: "g.set.Add(m.word, m.ticket)", new: "g.set.Add(m.word, m.word.Load())"},
		"TestExploreGroup$", "lost wake-up"},

	{"an event tells nobody", "semaphore", change{file: "semaphore/event.go",
		old: "\te.eventcount().NotifyAll()\n", new: "\n"},
		"TestExploreEvent$", "lost wake-up"},
	{"an event that is set already is left alone", "semaphore", change{file: "semaphore/event.go",
		old: "\te.body.state.Or(isSet)\n", new: "\tif e.body.state.Load()&isSet == 0 {\n\t\te.body.state.Or(isSet)\n\t}\n"},
		"TestExploreEventItems", "lost wake-up"},
	{"an event forgets a Set that was cleared", "semaphore", change{file: "semaphore/event.go",
		old: "now&isSet != 0 || now/oneClear != was/oneClear", new: "now&isSet != 0 || now/oneClear > 1<<62+was"},
		"TestExploreEventPulse", "lost wake-up"},
	{"a condition tells who is signalled before it signals", "semaphore", change{file: "semaphore/cond_signal.go",
		old: "if p.swap(t, t.with(t.waiting()-k, t.signalled()+k)) {\n\t\t\tc.bell(i).NotifyAll()",
		new: "c.bell(i).NotifyAll()\n\t\tif p.swap(t, t.with(t.waiting()-k, t.signalled()+k)) {"},
		"TestExploreCond$", "lost wake-up"},
	{"one who waits for a condition leaves with a signal", "semaphore", change{file: "semaphore/cond_signal.go",
		old: "\t\t\tc.going++\n\t\t\treturn true, nil\n\t\t}\n\t\tif p.swap(", new: "\t\t\treturn false, nil\n\t\t}\n\t\tif p.swap("},
		"TestExploreCondLeave", "lost wake-up"},
	{"a signal is lost with the dead", "semaphore", change{file: "semaphore/cond_signal.go",
		old: "\t\t\tc.signal()\n\t\t\t// Killed", new: "\t\t\t// Killed"},
		"TestExploreCondCrash", "livelock"},
	{"a signal goes from the dead before another is signalled", "semaphore", change{file: "semaphore/cond_signal.go",
		old: "\t\t\tc.signal()\n\t\t\t// Killed here: the next who looks signals one more.\n\t\t\tnext = t.with(0, t.signalled()-1)\n",
		new: "\t\t\tif p.swap(t, t.with(0, t.signalled()-1)) {\n\t\t\t\tc.signal()\n\t\t\t}\n\t\t\tcontinue\n"},
		"TestExploreCondCrash/crashes_2", "livelock"},
	{"a tally comes back", "semaphore", change{file: "semaphore/cond_layout.go",
		old: "changes := uint64(t)>>(2*tallyBits) + 1", new: "changes := uint64(t) >> (2 * tallyBits)"},
		"TestExploreCondHeir", "robbed"},

	{"worker looks for work before it says that it sleeps", "pool", change{file: "pool/idle.go",
		old: "set(idle.sleepers[:], w.index) // a full fence; pairs with the look in crowd.call\n\tif w.mem.ready.Empty() && !w.steal() && !w.unwanted() {",
		new: "empty := w.mem.ready.Empty() && !w.steal() && !w.unwanted()\n\tset(idle.sleepers[:], w.index)\n\tif empty {"},
		"TestExplorePool/one", "lost wake-up"},
	{"worker does not fence its last report", "pool", change{file: "pool/serve.go",
		old: "w.area.batch[0].Store(0) // a full fence between the last report and the look at the bell\n", new: "\n"},
		"TestExplorePool/one", "lost wake-up"},

	{"a pipe's message is not fenced", "ring", change{file: "ring/pipe_send.go",
		old: "\te.mine.sent.Store(tx.count)", new: "\t// "},
		"TestExplorePipe", "lost wake-up"},
	{"a pipe's release is not fenced", "ring", change{file: "ring/pipe_recv.go",
		old: "\te.mine.taken.Store(rx.count)", new: "\t// "},
		"TestExplorePipe/more", "lost wake-up"},
	{"a pipe end looks before it announces itself", "ring", change{file: "ring/pipe_wait.go",
		old: "\t\tticket := on.Announce()\n\t\tif ok, err := e.attempt(try); ok || err != nil {\n\t\t\treturn err\n\t\t}\n",
		new: "\t\tif ok, err := e.attempt(try); ok || err != nil {\n\t\t\treturn err\n\t\t}\n\t\tticket := on.Announce()\n"},
		"TestExplorePipe", "lost wake-up"},
	{"a pipe end is closed and nobody is told", "ring", change{file: "ring/pipe.go",
		old: "uint64(closedEnd))\n\te.ringAll()", new: "uint64(closedEnd))"},
		"TestExplorePipe/closed", "lost wake-up"},

	{"nobody fences for those who publish by a store", "ring", change{file: "semaphore/eventcount.go",
		old: "if e.fencing {", new: "if false && e.fencing {"},
		"TestExploreMPMCWaits", "lost wake-up"},

	{"a claim is withdrawn and nobody is told of the end", "ring", change{file: "ring/mpmc_single.go",
		old: "word.Store(uint64(makeSlot(slotDone, lap, 0, 1)))\n\t\tm.tellEnd()", new: "word.Store(uint64(makeSlot(slotDone, lap, 0, 1)))"},
		"TestExploreMPMCEnd", "lost wake-up"},

	// Double claims.
	{"hints are taken by a store", "ring", change{file: "ring/hints.go",
		old: "return h.head.head.CompareAndSwap(pos, pos+uint64(n))", new: "h.head.head.Store(pos + uint64(n))\n\treturn true"},
		"TestExploreHints", "double claim"},
	{"the parent looks for a request before it says that it sleeps", "pool", change{file: "pool/reaper.go",
		old: "\tbell.announce()\n\tp.serveRequest() // pairs", new: "\tp.serveRequest()\n\tbell.announce() // pairs"},
		"TestExploreRequests/dormant", "lost wake-up"},
	{"the parent looks for a request before it says that it waits for results", "pool", change{file: "pool/reaper.go",
		old: "\thome.bell.announce()\n\tp.serveRequest()\n", new: "\tp.serveRequest()\n\thome.bell.announce()\n"},
		"TestExploreRequests/waiting", "lost wake-up"},
	{"who wants the parent awake believes what the bell says", "pool", change{file: "pool/bell.go",
		old: "\tb.word.Store(0)\n\tsys.FutexWake(b.word, 1)\n}\n\n// nap", new: "\tb.ring()\n}\n\n// nap"},
		"TestExploreRequests/dormant", "lost wake-up"},
	{"the end of the pool does not wake its reaper", "pool", change{file: "pool/reaper.go",
		old: "\tp.watching.bell.rouse()\n\tp.mu.Unlock()\n\tp.reaper.Wait()", new: "\tp.mu.Unlock()\n\tp.reaper.Wait()"},
		"TestExploreRequests/dormant", "lost wake-up"},
	{"tasks are claimed by a store", "pool", change{file: "pool/serve.go",
		old: "if !s.word.CompareAndSwap(uint64(was), uint64(makeWord(running, w.incarnation, w.gen))) {\n\t\treturn false\n\t}",
		new: "s.word.Store(uint64(makeWord(running, w.incarnation, w.gen)))"},
		"TestExplorePool/batches", "double claim"},
	{"items are taken by a store", "ring", change{file: "ring/mpmc_take.go",
		old: "if !m.word(r.pos).CompareAndSwap(uint64(w), uint64(makeSlot(slotReading, m.lap(r.pos), m.self, r.n))) {\n\t\treturn Run{}, false, nil\n\t}",
		new: "m.word(r.pos).Store(uint64(makeSlot(slotReading, m.lap(r.pos), m.self, r.n)))"},
		"TestExploreMPMC/no_crash$", "double claim"},
	{"a task is published twice", "pool", change{file: "pool/submit.go",
		old: "\tif e.ahead {\n\t\tword.Store(", new: "\tsys.ReleaseStore64(word, uint64(makeWord(queued, 0, e.gen)))\n\tif e.ahead {\n\t\tword.Store("},
		"TestExploreCancel/by_the", "double claim"},

	// ABA.
	{"a block's generation is not raised", "shm", change{file: "shm/arena_layout.go",
		old: "return makeBlockWord(s, h, w.gen()+1)", new: "return makeBlockWord(s, h, w.gen())"},
		"TestExploreLateFree", "not freed"},
	{"a slot's generation is not raised", "pool", change{file: "pool/submit.go",
		old: "(e.gen+1)&maxGeneration", new: "(e.gen)&maxGeneration"},
		"TestExploreCancel/by_the", "1 ended by 0 deaths"},

	// Published before it is written.
	{"a record's header before its payload", "ring", change{file: "ring/spsc_producer.go",
		old: "copy(p.data[at+wordSize:end], b)\n\tsys.ReleaseStore64(&p.words[uint(at)/wordSize], uint64(payload(len(b), 0))) // as in Commit",
		new: "sys.ReleaseStore64(&p.words[uint(at)/wordSize], uint64(payload(len(b), 0)))\n\tcopy(p.data[at+wordSize:end], b)"},
		"TestExploreSPSC$", "torn record"},
	{"an item after its slot is full", "ring", change{file: "ring/mpmc_put.go",
		old: "copy(m.mem[s.at:], item)\n\t\tm.commitOne(s)", new: "m.commitOne(s)\n\t\tcopy(m.mem[s.at:], item)"},
		"TestExploreMPMC/no_crash$", "torn item"},
	{"a single item is taken by a store", "ring", change{file: "ring/mpmc_single.go",
		old: "!word.CompareAndSwap(uint64(was), uint64(makeSlot(slotReading, lap, m.self, 1)))",
		new: "!func() bool { word.Store(uint64(makeSlot(slotReading, lap, m.self, 1))); return true }()"},
		"TestExploreMPMC/singly$", "double claim"},
	{"a single slot is reserved by a store", "ring", change{file: "ring/mpmc_single.go",
		old: "!word.CompareAndSwap(uint64(was), uint64(makeSlot(slotWriting, lap, m.self, 1)))",
		new: "!func() bool { word.Store(uint64(makeSlot(slotWriting, lap, m.self, 1))); return true }()"},
		"TestExploreMPMC/no_crash$", "lost"},
	{"slots are free while they are read", "ring", change{file: "ring/mpmc_put.go",
		old: "stop.state() != slotDone ||", new: "stop.state() < slotReading ||"},
		"TestExploreMPMC/no_crash$", "lost"},
	{"a record without a 0 behind it", "ring", change{file: "ring/spsc_producer.go",
		old: "if p.zero != p.at {\n\t\tp.endWith0()\n\t}\n\t// Hands", new: "// Hands"},
		"TestExploreSPSC", "wrong end"},
	{"a broadcast's record is not marked before it is overwritten", "ring", change{file: "ring/broadcast.go",
		old: "\tsys.ReleaseStore64(&slot[0], tag)\n", new: ""},
		"TestExploreBroadcast", "torn record"},
	{"a broadcast's reader looks once", "ring", change{file: "ring/broadcast.go",
		old: "return slot[0].Load() == whole", new: "return true"},
		"TestExploreBroadcast", "torn record"},
	{"a broadcast's successor does not finish", "ring", change{file: "ring/broadcast.go",
		old: "if w.slot(w.tail)[0].Load() == tagOf(w.tail)|isWhole {", new: "if false {"},
		"TestExploreBroadcast", "torn record"},
	{"a hint before its slot", "pool", change{file: "pool/submit.go",
		old: "sys.ReleaseStore64(word, uint64(makeWord(queued, 0, e.gen)))\n\t\tp.push(i)",
		new: "p.push(i)\n\t\tsys.ReleaseStore64(word, uint64(makeWord(queued, 0, e.gen)))"},
		"TestExplorePool/one", "lost wake-up"},

	// What a dead process has left.
	{"a dead worker's hints are not pushed again", "pool", change{file: "pool/submit.go",
		old: "state() == queued {\n\t\t\tp.hint(uint32(i))", new: "state() == doomed {\n\t\t\tp.hint(uint32(i))"},
		"TestExploreSuccessor|TestExplorePool/a_worker_crashes$", "lost wake-up"},
	{"nobody is told of items that were given back", "ring", change{file: "ring/mpmc_table.go",
		old: "m.ctl.returned.Add(1)", new: "m.ctl.returned.Add(0)"},
		"TestExploreMPMC/a_consumer_crashes", "lost"},
	{"a consumer that releases a part does not say where that is", "ring", change{file: "ring/spsc_consumer.go",
		old: "\tif c.head != c.run {\n", new: "\tif c.head != c.run && pos > c.run+40 {\n"},
		"TestExploreSPSCConsumerCrashes", "received"},

	// Late holders.
	{"a late holder frees by a store", "shm", change{file: "shm/arena_span.go",
		old: "if !word.CompareAndSwap(b.Word, uint64(blockWord(b.Word).next(blockFree, 0))) {\n\t\treturn false\n\t}\n\ta.records",
		new: "word.Store(uint64(blockWord(b.Word).next(blockFree, 0)))\n\ta.records"},
		"TestExploreLateFree", "late free"},

	// Locks.
	{"a mutex is taken by a store", "semaphore", change{file: "semaphore/lock.go",
		old: "if !l.words.word.CompareAndSwap(w, uint64(l.id)|w&claimed) {\n\t\treturn false\n\t}", new: "l.words.word.Store(uint64(l.id) | w&claimed)"},
		"TestExploreMutex$", "two holders"},
	{"a value is shown before it is written", "semaphore", change{file: "semaphore/value.go",
		old: "layout.Write(v.copies[next], &x)", new: "v.flip.Store(next)\n\tlayout.Write(v.copies[next], &x)"},
		"TestExploreValue/1", "lost update"},
	{"a value is changed without the lock", "semaphore", change{file: "semaphore/box.go",
		old: "err := m.Lock(ctx)", new: "return func() error { f(); return nil }()\n\terr := m.Lock(ctx)"},
		"TestExploreValue/0", "wrong end"},
	{"an element of an array is loaded without the lock", "semaphore", change{file: "semaphore/array.go",
		old: "err = locked(ctx, a.lock, func() { x = *elem })", new: "x = *elem"},
		"TestExploreArray$", "half a change"},
	{"an element of an array is stored without the lock", "semaphore", change{file: "semaphore/array.go",
		old: "return locked(ctx, a.lock, func() { *elem = x })", new: "*elem = x\n\treturn nil"},
		"TestExploreArray$", "two holders"},
	{"who loads an element is not told of a death", "semaphore", change{file: "semaphore/array.go",
		old: "return x, err\n", new: "return x, nil\n"},
		"TestExploreArrayCrash/Load", "half a change"},
	{"who stores an element is not told of a death", "semaphore", change{file: "semaphore/array.go",
		old: "return locked(ctx, a.lock, func() { *elem = x })", new: "_ = locked(ctx, a.lock, func() { *elem = x })\n\treturn nil"},
		"TestExploreArrayCrash/Store", "half a change"},
	{"a mutex is given back and nobody is told", "semaphore", change{file: "semaphore/lock.go",
		old: "if heir == 0 {\n\t\tl.on().Notify(1)\n\t}", new: "if heir == 0 {\n\t}"},
		"TestExploreMutex$", "lost wake-up"},
	{"a mutex is granted and one is told, whoever that is", "semaphore", change{file: "semaphore/lock.go",
		old: "l.on().NotifyAll() // the one", new: "l.on().Notify(1) // the one"},
		"TestExploreMutex$", "lost wake-up"},
	{"a turn that comes too late is passed on unless another claims just then", "semaphore", change{file: "semaphore/lock_claim.go",
		old: "\t\t\tl.on().Notify(1)\n\t\t\treturn\n\t\t}", new: "\t\t\tl.on().Notify(1)\n\t\t}\n\t\treturn"},
		"TestExploreMutexForgo", "lost wake-up"},
	{"a turn is passed on and nobody is told", "semaphore", change{file: "semaphore/lock_claim.go",
		old: "\t\t\tl.on().Notify(1)\n\t\t\treturn", new: "\t\t\treturn"},
		"TestExploreMutexForgo", "lost wake-up"},
	{"the next holder of a mutex is not told of a death", "semaphore", change{file: "semaphore/lock.go",
		old: "if holder != 0 && w&granted == 0 {", new: "if holder != 0 && w&granted == 0 && false {"},
		"TestExploreMutexCrash", "not told"},
	{"who is told of a death looks for a grant only", "semaphore", change{file: "semaphore/lock.go",
		old: "return holder != l.id && l.vigil.ended(holder) ||", new: "return holder != l.id && w&granted != 0 && l.vigil.ended(holder) ||"},
		"TestExploreMutexCrash", "livelock"},
	{"a reader does not look at the gate again", "semaphore", change{file: "semaphore/rwmutex_read.go",
		old: "&& m.body.gate.Load() == uint64(g) {", new: "{"},
		"TestExploreRWMutex$", "panic"},
	{"a reader that comes while the gate is closed does not look again", "semaphore", change{file: "semaphore/rwmutex_read.go",
		old: "now := gateWord(m.body.gate.Load()) // after the count: pairs with the store in shut", new: "now := g"},
		"TestExploreRWMutex$", "corrupted"},
	{"a writer looks for readers before it closes the gate", "semaphore", change{file: "semaphore/rwmutex_write.go",
		old: "g := m.shut()\n\tif !m.occupied(g.inside()) {", new: "free := !m.occupied(gateWord(m.body.gate.Load()).inside())\n\tg := m.shut()\n\tif free {"},
		"TestExploreRWMutex$", "two holders"},
	{"readers of two phases wait in one queue", "semaphore", change{file: "semaphore/rwmutex_read.go",
		old: "m.entering[g.next()%2].Wait", new: "m.entering[g.next()*0].Wait"},
		"TestExploreRWMutexPhases", "lost wake-up"},
	{"a writer goes on in a gate that a dead one has closed", "semaphore", change{file: "semaphore/rwmutex_write.go",
		old: "g |= suspect", new: "g |= 0"},
		"TestExploreRWMutex$", "not told"},
	{"a reader opens the gate that a dead writer has closed and says nothing", "semaphore", change{file: "semaphore/rwmutex_read.go",
		old: "m.reopen(suspect)", new: "m.reopen(0)"},
		"TestExploreRWMutex$", "not told"},
	{"a writer leaves and readers are not told", "semaphore", change{file: "semaphore/rwmutex.go",
		old: "m.opened().NotifyAll()\n\tm.writers.release()", new: "m.writers.release()"},
		"TestExploreRWMutex$", "lost wake-up"},
	{"a reader leaves and the writer is not told", "semaphore", change{file: "semaphore/rwmutex_read.go",
		old: "\tm.drained().NotifyAll()\n", new: ""},
		"TestExploreRWMutex$", "lost wake-up"},

	{"a reader uses up what was granted to a writer of its process", "semaphore", change{file: "semaphore/rwmutex_read.go",
		old: "holderOf(w) == 0 || w&granted != 0 || !gone(w)", new: "holderOf(w) != m.writers.id && !gone(w)"},
		"TestExploreRWMutexGrant", "used up"},

	// Turns.
	{"a turn ends and nobody is told", "semaphore", change{file: "semaphore/turns.go",
		old: "\tt.tell()\n\tt.settle()", new: "\tt.settle()"},
		"TestExploreTurnsKept/all_at_once", "lost wake-up"},
	{"a turn is given and nobody is told", "semaphore", change{file: "semaphore/turns.go",
		old: "\t\t\tt.tell()\n", new: ""},
		"TestExploreTurnsKept/two_first", "lost wake-up"},
	{"permits come free in a turn and one is told, whoever that is", "semaphore", change{file: "semaphore/permits.go",
		old: "if turnOf(s.turns.look()) != 0 {", new: "if false {"},
		"TestExploreTurns$", "lost wake-up"},
	{"who leaves takes the turn along", "semaphore", change{file: "semaphore/turns.go",
		old: "w := t.look(); turnOf(w) == int(own);", new: "w := t.look(); false;"},
		"TestExploreTurnsLeave", "lost wake-up"},
	{"a dead process keeps the turn", "semaphore", change{file: "semaphore/turns.go",
		old: "!gone(id) && ", new: ""},
		"TestExploreTurnsCrash", "livelock"},
	{"a stopped process keeps the turn", "semaphore", change{file: "semaphore/turns.go",
		old: " && !t.overdue(w) {", new: " {"},
		"TestExploreTurnOfTheStopped", "livelock"},

	// Locks that know who has them.
	{"a seat's permits are not written down before the word names another", "semaphore", change{file: "semaphore/ledger.go",
		old: "|| !l.settle(s, w) {", new: "{"},
		"TestExploreRobust$", "robbed"},
	{"they are written down by who is late", "semaphore", change{file: "semaphore/ledger.go",
		old: "\t\tif l.load() != w {\n\t\t\treturn false\n\t\t}\n\t\t// Killed here, or", new: "\t\t// Killed here, or"},
		"TestExploreRobust", "permits"},
	{"the word's number is not raised", "semaphore", change{file: "semaphore/ledger.go",
		old: "(w>>shift+1)<<shift", new: "w>>shift<<shift"},
		"TestExploreRobust", "corrupted"},
	{"who buries late does not look whose the seat is", "semaphore", change{file: "semaphore/robust.go",
		old: "!l.isOf(i, dead)", new: "held > 2"},
		"TestExploreRobustBurial", "robbed"},
	{"who buries takes what the dead had by two steps", "semaphore", change{file: "semaphore/robust.go",
		old: "l.replace(w, i, 0, free+held)", new: "l.replace(w, i, 0, free) && l.replace(l.load(), i, 0, free+held)"},
		"TestExploreRobustBurial", "lost"},
	{"a party is counted before its seat says so", "semaphore", change{file: "semaphore/barrier_wait.go",
		old: "\t\tb.table.mine().count.Store(markOf(w)) // pairs with the load in bury\n", new: "\t\tdefer b.table.mine().count.Store(markOf(w))\n"},
		"TestExploreBarrierCrash", "livelock"},
	{"a reset does not tell where the epoch ended", "semaphore", change{file: "semaphore/barrier.go",
		old: "if b.note(w) && b.raise(w) {", new: "if b.raise(w) {"},
		"TestExploreBarrierReset", "corrupted"},
	{"a reset is counted when it is over", "semaphore", change{file: "semaphore/barrier.go",
		old: "if b.note(w) && b.raise(w) {\n\t\t\tb.end(w, w.reset())", new: "if b.note(w) && b.end(w, w.reset()) {\n\t\t\tb.body.resets.Add(1)"},
		"TestExploreBarrierReset", "corrupted"},
	{"a round that has passed is taken for one that was reset", "semaphore", change{file: "semaphore/barrier_wait.go",
		old: "case w.number() != r.number():", new: "case w.number() != r.number() && w.epoch() == b.load().epoch():"},
		"TestExploreBarrierReset", "disagree"},
	{"a once is taken by a store", "semaphore", change{file: "semaphore/once.go",
		old: "if o.body.word.CompareAndSwap(w, uint64(o.id)) {", new: "if o.body.word.Store(uint64(o.id)); true {"},
		"TestExploreOnce", "done twice"},
	{"a once that has failed tells nobody", "semaphore", change{file: "semaphore/once.go",
		old: "o.changed().Notify(1)", new: "_ = o"},
		"TestExploreOnce/0", "lost wake-up"},
}

// TestMutants plants bugs, each of which must be found.
func TestMutants(t *testing.T) {
	for _, m := range mutants {
		if brief() && m.pkg != "semaphore" {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			inTurn(t)
			out, err := output(t, build(t, m.pkg, m.change), "-test.failfast", "-test.run="+m.run)
			require.Error(t, err, "not found:\n%s", out)
			i := strings.Index(out, "FOUND ")
			require.GreaterOrEqual(t, i, 0, "it fails otherwise:\n%s", out)
			finding, trace, _ := strings.Cut(out[i:], "\n")
			require.Contains(t, finding, m.want, out)
			t.Log(finding)
			_, again, _ := strings.Cut(trace, "; the same: ")
			again, _, _ = strings.Cut(again, "\n")
			require.NotContains(t, again, "=walk", "it was found by luck")
		})
	}
}

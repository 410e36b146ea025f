// Package semaphore lets goroutines of any number of processes wait for each other,
// through a few bytes of memory that the processes share: a [Semaphore] limits how
// many hold something at once, an [Eventcount] is the sleeping and waking beneath it,
// for those who build something of their own.
//
// # Guarantees
//
// Progress: every operation on the shared words is lock-free; a process that stops
// or dies at any instruction keeps nobody else from completing theirs. Without
// contention an operation is one compare-and-swap and one or two loads: no system
// call, no allocation. Of the goroutines that wait on one handle one sleeps in
// the kernel, which costs a thread, and serves the others, which cost none. Of all handles on which
// a process waits eight cost a thread each, which is quickest, and all others one for 127 where the kernel has
// futex_waitv (Linux 5.16): elsewhere they cost one each.
//
// Waiting: whoever waits looks for a moment (some 20 microseconds), then sleeps in
// the kernel. Every blocking call takes a context and returns when that ends.
//
// Crashes: the words tell at most that somebody MAY be asleep; there is no count of
// sleepers that a killed one would leave wrong for ever. A process killed between a
// change and the wake-up that belongs to it delays the others by [Step] at most,
// because sleepers look for themselves that often.
//
// Memory: what [New] makes lies with other small objects in one segment of the process, and travels to child processes as a
// field of their arguments (package process); [NewAt] and [Attach] work on any []byte that all
// parties share and that stays mapped until the handle is closed. The layout is
// versioned, and checked by whoever attaches.
//
// # Participants
//
// Robust semaphores and barriers know who uses them: each handle has one of [Seats] seats in a table beside the object, with the process to
// which it belongs, until it is closed or that process has ended; one more handle is refused with [ErrNoSeat]. Whoever waits is told by the
// kernel when one of these processes ends, and what that one left is seen to at once, by whoever comes first: its permits are free, a barrier at
// which it waited is broken, what it did for a [Once] is the next one's. To be told takes a descriptor for each of these processes, from the first wait
// until the handle is closed. A process is dead if the kernel says so, whoever has its pid by now; one that is stopped is not. Those who see to it may
// die of that, or be stopped: others do the same.
//
// # Mutex and RWMutex
//
// Whose lock it is says a word that names the process, by its pid and the time of its start. If that one dies, those who wait are told by the
// kernel, at once, and never guess it from a timeout; the first of them gets the lock and [ErrOwnerDied]. A process that is
// stopped, as by SIGSTOP, keeps what it has. Locks are not recursive.
//
// Fairness of a [Mutex]: processes overtake one that sleeps, but once it has claimed its turn 16 × 65 unlocks pass at most before it has
// the lock, for up to 16 such processes. Of an [RWMutex]: readers and writers take turns, so that a reader waits for one writer
// at most, and a writer for those readers who were there before it and for the writers before it, who are ordered as by a Mutex.
//
// # Event, Cond, Value and Array
//
// An [Event] is a flag for which any number wait: a Set lets all go, also if it is cleared at once. Nobody owns it, so that no death
// leaves anything to be repaired, and nobody is overtaken.
//
// A [Cond] goes with a [Mutex]. Its waiters are counted by handle, not remembered one by one, in a word that belongs to one process. So
// a signal is given to somebody who waits, exactly once, and can be taken back from the dead: a waiter that is killed, or whose context ends,
// swallows none. Goroutines of a handle are signalled in order, and handles by turns.
//
// A [Value] and an [Array] are variables without pointers, each with a Mutex that those who need it use. A Value is never seen half written,
// whoever dies; an Array may be, and the next who locks it is told. Fairness is that of the Mutex.
//
// # Caveats
//
// What a process holds of a plain semaphore when it dies stays held: nobody gives its permits back. Those of one made by [NewRobust] come
// back: see below.
//
// Fairness: goroutines that wait on one handle are served in the order in which they
// came, and newcomers on that handle do not overtake them. Among handles, and so processes, whoever comes at the right moment takes the
// permit, awake or just awoken; but those who sleep take turns, so that one of up to 16 of them is overtaken at most 16 × 65 times, also if it asks for many
// permits and others keep taking single ones: see [Semaphore]. While it is its turn, permits may be free that nobody takes. A [Barrier] lets all go at once, so nobody overtakes
// anybody, and indices are given in the order of arrival. Whoever is the next to do a [Once] is not chosen in any order among processes; who
// has failed has returned, so there are as many before one that waits as others call Do meanwhile.
//
// Owners are told apart, and their ends seen, among processes of one PID namespace that have its /proc. To a process of another
// a holder would look dead that is not, and it would take the lock away: so it is refused, with [ErrNamespace], when it attaches or adopts an object
// that names processes: all but a plain Semaphore and an Event. Where /proc is not mounted, or is that of another namespace, such objects cannot be made, nor
// attached. A plain Semaphore knows processes for the turns of those who wait alone: handles of another namespace may end each other's, and then have
// no bound on how often they are overtaken. A process that replaces its program (exec) stays the holder of what it held.
//
// The Go race detector sees nothing in mapped memory. A Semaphore tells it what one
// handle orders; goroutines that share Go memory under a semaphore therefore share
// one handle too.
package semaphore

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
// call, no allocation. Blocking costs one thread for each handle on which anybody
// waits, however many goroutines wait there, and none while nobody waits.
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
// # Caveats
//
// What a process holds when it dies stays held: nobody gives its permits back.
//
// Fairness: goroutines that wait on one handle are served in the order in which they
// came, and newcomers on that handle do not overtake them. Handles, and so processes,
// are not ordered among each other: whoever comes at the right moment takes the
// permit, awake or just awoken. One that asks for many permits can starve
// while others keep taking single ones.
//
// The Go race detector sees nothing in mapped memory. A Semaphore tells it what one
// handle orders; goroutines that share Go memory under a semaphore therefore share
// one handle too.
package semaphore

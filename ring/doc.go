// Package ring passes data between processes, or between goroutines, through rings
// that lie in memory which the caller hands over: heap or a shared mapping.
//
// An SPSC ring carries records of any length from one producer to one consumer, in
// order, without copying them:
//
//	mem := make([]byte, ring.SPSCSize(1<<16)) // or a mapping that both processes have
//	err := ring.InitSPSC(mem)
//
//	p, err := ring.AttachProducer(mem)        // in one process
//	b, ok, err := p.Reserve(len(msg))         // room in the ring itself
//	copy(b, msg)
//	p.Commit()
//
//	c, err := ring.AttachConsumer(mem)        // in the other
//	b, ok, err := c.Peek()                    // the record in the ring itself
//	use(b)
//	c.Release()
//
// A [Hints] ring carries small numbers from one producer to any number of consumers.
//
// # Guarantees
//
// Progress: every operation ends after a bounded number of steps, whatever the
// other side does or fails to do. A full or empty ring is reported, not waited for.
//
// Crashes: a process may be killed at any instruction and leaves a valid ring. What a
// dead producer had not committed does not exist; its successor goes on where it
// stopped. What a dead consumer had peeked but not released comes again to its
// successor: records are delivered at least once to consumers that die, exactly once
// to one that lives.
//
// Memory: words that the other side writes are checked before they are used. A ring
// whose bytes were overwritten yields [ErrCorrupted] or wrong records, but no panic
// and no slice that reaches outside it. No operation allocates, except for errors.
//
// # Caveats
//
// Nothing checks that a ring has one producer and one consumer at a time: a
// successor attaches when its predecessor is proven dead or will not touch the ring
// again.
//
// Commit and Release are release stores, not full fences. Who wants to look for a
// sleeping peer afterwards needs a fence between the two, or the peer's help.
package ring

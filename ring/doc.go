// Package ring passes data between processes, or between goroutines: a queue or a pipe
// for most programs, and the lock-free rings beneath them for those who build something of their own.
//
// A [Queue] carries Go values from any number of goroutines in any number of processes to any number of them, and waits:
//
//	q, err := ring.NewQueue[Job](ring.QueueOptions{Capacity: 1024}) // travels to children among their arguments
//	err = q.Put(ctx, job)
//	job, err = q.Get(ctx)                         // io.EOF after q.CloseSend()
//
// A pipe carries messages of any length between two processes, or goroutines, both ways or one way, and waits:
//
//	a, b, err := ring.NewPipe(ring.PipeOptions{}) // b travels to a child as a field of its arguments
//	err = a.Send(ctx, []byte("hi"))
//	msg, err := a.Recv(ctx)                       // io.EOF when the other end is closed, by whatever death
//
// Package process starts the children. The rings lie in memory which the caller hands over, heap or a shared mapping, and wait for nobody.
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
// An [MPMC], which a queue stands on, has slots of equal size with an owner's name in each, and any number of participants.
//
// A broadcast ring carries records from one writer, which waits for nobody, to any number of readers, each of which learns how many it
// has missed: see [BroadcastWriter].
//
// A [Hints] ring carries small numbers from one producer to any number of consumers.
//
// # Guarantees
//
// Progress: every operation of a ring ends after a bounded number of steps, whatever the
// other side does or fails to do. A full or empty ring is reported, not waited for.
// Calls of queues and pipes that wait take a context.
//
// Crashes: a process may be killed at any instruction and leaves a valid ring. What a
// dead producer had not committed does not exist; its successor goes on where it
// stopped. What a dead consumer had peeked but not released comes again to its
// successor: records are delivered at least once to consumers that die, exactly once
// to one that lives. A participant of an MPMC ring or a queue that dies is buried by
// the others, with the kernel's proof of its death: what it was putting is skipped, what
// it had claimed is given to others or dropped, as the ring's maker has said.
//
// Memory: words that the other side writes are checked before they are used. A ring
// whose bytes were overwritten yields [ErrCorrupted] or wrong records, but no panic
// and no slice that reaches outside it. No operation of a ring allocates, except for errors.
//
// # Pipes
//
// An end of a pipe belongs to one process; to give it to a child moves it. Its death is seen by the other end's process through the
// netpoller, for one descriptor and no thread, and ends every wait. While messages come no call makes a system call; RecvAppend and Send
// do not allocate. Who waits looks for some 20 microseconds, then sleeps: one thread for each direction of an end that is waited for. Both sleep
// without a bound while the process behind the other end is known. What one end sent is lost if that end's peer dies with it, and a
// process that dies between receiving a message and acting on it takes the message along.
//
// The race detector sees nothing in mapped memory: goroutines of one process that share Go memory under a message may be reported, though
// it orders them.
//
// # Broadcasts
//
// A record is whole or not returned, whoever is killed when. A half-written one costs the oldest record, and nothing else. Readers write
// nothing. They are not woken: who wants to wait looks again after a while, or is told by other means.
//
// # Caveats
//
// A queue does not end with its producers: others could come. Who knows that none will calls CloseSend, also in the place of one that
// has died; until then Get waits.
//
// Nothing checks that an SPSC ring has one producer and one consumer at a time: a
// successor attaches when its predecessor is proven dead or will not touch the ring
// again.
//
// Commit and Release of an SPSC ring are release stores, not full fences. Who wants to look for a
// sleeping peer afterwards needs a fence between the two, or the peer's help.
//
// A producer of an MPMC ring or a queue that is stopped while it writes, and lives, holds
// up those who take. It is not taken for dead.
//
// Participants of an MPMC ring or a queue, and who has the ends of a pipe, are processes of one PID namespace, with its /proc mounted. Others, to which
// they would look dead, are refused with [ErrNamespace].
package ring

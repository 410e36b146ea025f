package ring

import (
	"fmt"

	"github.com/shmkit/shmkit/internal/sys"
)

// A Consumer takes records out of an SPSC ring. It is not safe for concurrent use.
//
// Its private position runs ahead of the shared head: what lies between is the
// caller's until Release moves head, and with it the ownership of the bytes.
//
// Invariants:
//   - head <= base+at <= head + room, however the headers were forged;
//   - all bytes between head and the producer's tail are written by nobody, so that
//     records are read without atomics.
type Consumer struct {
	// The fields of the fast path. The run is the one that the last record was part of.
	at   int // end of the last record, rounded up to words, as an offset in the storage
	size int // size of each record of the run, at least 8
	end  int // offset of the end of the run

	spsc
	base uint64 // position of the storage's start in the lap of at
	run  uint64 // position of the run's header
	head uint64 // control.head as last stored
}

// AttachConsumer returns the consumer's handle of the ring in mem. It takes the place
// of an earlier consumer, which must not use the ring any more, and begins with the
// first record that was not released. It fails with an error from [InitSPSC]'s checks if
// mem is no ring, and with [ErrCorrupted].
func AttachConsumer(mem []byte) (*Consumer, error) {
	r, err := openSPSC(mem)
	if err != nil {
		return nil, fmt.Errorf("attach consumer: %w", err)
	}
	// Both were stored by this consumer's predecessor, in Release or releasePart.
	head, taken := r.control.head.Load(), r.control.taken.Load()
	if head%wordSize != 0 {
		return nil, fmt.Errorf("attach consumer: head %#x: %w", head, ErrCorrupted)
	}
	c := &Consumer{spsc: r, size: wordSize, run: head, head: head}
	c.base, c.at = r.split(head)
	c.end = c.at
	if err := c.resume(taken); err != nil {
		return nil, fmt.Errorf("attach consumer: %w", err)
	}
	return c, nil
}

// resume skips what was already released of the run at head.
func (c *Consumer) resume(taken uint64) error {
	h := header(c.words[c.at/wordSize].Load()) // pairs with the store in Producer.Commit
	if h == 0 || h.each() == 0 {
		return nil
	}
	if !c.valid(h) {
		return c.corrupted(h)
	}
	skip := taken - c.head - wordSize // huge if taken is a leftover
	if skip >= uint64(h.size()) {
		return nil
	}
	if skip%uint64(h.each()) != 0 {
		return c.corrupted(h)
	}
	c.end, c.size = c.at+h.span(), h.each()
	c.at += wordSize + int(skip)
	return nil
}

// Peek returns the next record, in the ring's own memory and aligned to 8 bytes. It is
// the caller's, to read and to write, until Release. Each call returns the record behind
// the last one. ok is false if there is none yet; the error is [ErrCorrupted].
func (c *Consumer) Peek() (b []byte, ok bool, err error) {
	at, end := c.at, c.at+c.size
	if end <= c.end { // inside a run: no header to load
		c.at = end
		return c.data[at:end:end], true, nil
	}
	if at != c.end || at == len(c.data) {
		return c.turn()
	}
	// What lies up to the next 0 is the consumer's now. Pairs with the store in Producer.Commit.
	h := header(c.words[uint(at)/wordSize].Load())
	if h == 0 {
		return nil, false, nil
	}
	at, end = at+wordSize, at+h.span()
	if h>>eachShift != 0 || end > len(c.data) || c.base+uint64(end)-c.head > c.room() {
		return c.open(h)
	}
	c.at, c.end = end, end // a record that stays alone, as most do
	return c.data[at:][:h.size():h.size()], true, nil
}

// PeekRun returns the next record together with those behind it that were reserved
// one after the other with the same size, a multiple of 8: as many records of size
// bytes as b holds. Any other record comes alone, and then size is len(b), which may
// be 0. Otherwise it is like Peek.
func (c *Consumer) PeekRun() (b []byte, size int, ok bool, err error) {
	first, ok, err := c.Peek()
	if !ok {
		return nil, 0, false, err
	}
	size = len(first)
	if c.at == c.end {
		return first, size, true, nil
	}
	at := c.at - size
	c.at += (c.end - c.at) / size * size // what is left is for the next call to complain of
	return c.data[at:c.at:c.at], size, true, nil
}

// turn is Peek where no header can be: within a run, or at the end of the storage.
func (c *Consumer) turn() ([]byte, bool, error) {
	if c.at != c.end {
		return nil, false, c.torn()
	}
	c.base += uint64(len(c.data))
	c.at, c.end = 0, 0
	return c.Peek()
}

// open is Peek with h, the header of a run, or of padding, or none at all.
func (c *Consumer) open(h header) ([]byte, bool, error) {
	at, n, each := c.at+wordSize, h.size(), h.each()
	switch {
	case !c.valid(h) || each > n:
		return nil, false, c.corrupted(h)
	case each != 0:
		c.run = c.base + uint64(c.at)
		c.at, c.end, c.size = at+each, at+n, each
		return c.data[at:][:each:each], true, nil
	}
	c.at = len(c.data) // padding ends the storage, and at its start none is valid: no third turn
	c.end = c.at
	return c.Peek()
}

// valid reports whether h, at the consumer's position, leaves it inside the ring.
func (c *Consumer) valid(h header) bool {
	held := c.base + uint64(c.at) - c.head
	return h.validAt(c.at, len(c.data)) && held+uint64(h.span()) <= c.room()
}

// Release gives the bytes of all records that Peek returned back to the producer, who
// reuses those of a run of equal-sized records when its last one is released. A
// successor of this consumer begins behind them.
func (c *Consumer) Release() {
	pos := c.base + uint64(c.at)
	if c.at < c.end {
		c.releasePart(pos)
	} else if pos != c.head {
		c.head = pos
		// Hands the bytes over. Pairs with the load in Producer.refresh.
		sys.ReleaseStore64(&c.control.head, pos)
	}
}

// releasePart is Release within a run, up to pos. head goes to the run's header: the
// next that a walk from head can start with.
func (c *Consumer) releasePart(pos uint64) {
	if c.head != c.run {
		c.head = c.run
		sys.ReleaseStore64(&c.control.head, c.run) // as in Release
	}
	// Behind head: a successor believes it only together with that head. Pairs with the
	// load in AttachConsumer.
	sys.ReleaseStore64(&c.control.taken, pos)
}

func (c *Consumer) corrupted(h header) error {
	return fmt.Errorf("header %#x at position %#x, head %#x: %w", uint64(h), c.base+uint64(c.at), c.head, ErrCorrupted)
}

// torn is the error for a run that is no whole number of records.
func (c *Consumer) torn() error {
	return fmt.Errorf("run of records of %d bytes at position %#x: %d bytes off its end: %w",
		c.size, c.run, c.end-c.at, ErrCorrupted)
}

package ring

import (
	"fmt"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/sys"
)

// A Producer puts records into an SPSC ring. It is not safe for concurrent use.
//
// Publication is in-band: the consumer looks at the word where the next header will
// be and finds 0 until there is a record, so that header and small record travel in
// one cache line. Reserve works behind that word, where nobody looks. Commit writes a
// 0 behind the last record, and then stores the first header, which makes
// everything up to the 0 visible at once. The same protocol, per message and with
// positions from a shared counter, is found in Aeron's log buffers.
//
// A consumer that waits takes the line away from the producer, who has to fetch it
// again, between any two stores. So those that a lone record needs follow each other
// closely, and none to another line comes between the last two: the 0 is stored before
// the payload, since it may lie in the next line.
//
// Invariants:
//   - the word at tail is 0 from one Commit to the next: a successor finds tail there;
//   - head <= tail <= base+at <= head + room: the 0 at base+at overwrites no record;
//   - bytes between tail and head + capacity are the producer's alone, so that it
//     writes them without atomics.
type Producer struct {
	// Offsets are counted from the start of the storage.
	at    int    // end of the last reservation
	size  int    // of each record of the open run, 0: it cannot grow
	limit int    // offset up to which at may go before wrap or refresh
	most  int    // the largest size that records of a run can have
	word  header // of the open run, which holds the last reservation; 0: nothing is reserved
	open  int    // offset of that header
	first header // of the batch, kept back for Commit; 0: the open run's is the first
	start int    // offset of that header
	zero  int    // equals at if the 0 behind the last reservation is there already

	spsc
	base uint64 // position of the storage's start in the lap of at
	head uint64 // control.head as last loaded: a lower bound
}

// AttachProducer returns the producer's handle of the ring in mem, behind the records
// that are published in it. It takes the place of an earlier producer, which must not
// use the ring any more. It fails with an error from [InitSPSC]'s checks if mem is no
// ring, and with [ErrCorrupted].
func AttachProducer(mem []byte) (*Producer, error) {
	r, err := openSPSC(mem)
	if err != nil {
		return nil, fmt.Errorf("attach producer: %w", err)
	}
	p := &Producer{spsc: r}
	p.head = r.control.head.Load() // pairs with the store in Consumer.Release
	tail, err := r.walk(p.head)
	if err != nil {
		return nil, fmt.Errorf("attach producer: %w", err)
	}
	p.base, p.at = r.split(tail)
	p.most = min(p.MaxRecord(), maxEach)
	p.setLimit()
	return p, nil
}

// MaxRecord returns the size in bytes of the largest record that fits.
func (p *Producer) MaxRecord() int { return len(p.data)/2 - wordSize }

// Reserve returns room for a record of n bytes, aligned to 8, that the caller fills
// before it calls Commit, and may use until then. Its content is what lay there before.
// Any number of records may be reserved before Commit.
//
// ok is false if the ring is full: then the caller commits what it has reserved, if
// anything, and waits for the consumer. The error is [ErrTooLarge] if n is more than
// MaxRecord, or [ErrCorrupted]. Reserve panics if n is negative.
func (p *Producer) Reserve(n int) (b []byte, ok bool, err error) {
	at, end := p.at, p.at+n
	switch {
	case n == p.size && n > 0 && end <= p.limit: // one more in the open run: no header to write
		p.at = end
		p.word = (p.word + header(n)).asRun(n)
		return p.data[at:end:end], true, nil
	case p.word == 0 && n%wordSize == 0 && uint(n) <= uint(p.most) && end+wordSize <= p.limit:
		at, end = at+wordSize, end+wordSize
		p.open, p.at = p.at, end
		p.word, p.size, p.zero = payload(n, 0), n, end
		p.endWith0()
		return p.data[at:end:end], true, nil
	}
	return p.reserve(n, n)
}

// ReserveRun returns room for count records of size bytes, one behind the other. It
// is count calls of Reserve in one, for all or none; size is a positive multiple of 8,
// count is positive, and the records together are no larger than MaxRecord.
func (p *Producer) ReserveRun(count, size int) (b []byte, ok bool, err error) {
	if count <= 0 || size <= 0 || size%wordSize != 0 {
		panic(fmt.Sprintf("ring: reserve %d records of %d bytes", count, size))
	}
	if size > maxEach || count > p.MaxRecord()/size {
		return nil, false, fmt.Errorf("reserve %d records of %d bytes in a ring of %d, which takes up to %d bytes: %w",
			count, size, len(p.data), min(maxEach, p.MaxRecord()), ErrTooLarge)
	}
	at, end := p.at, p.at+count*size
	if size == p.size && end <= p.limit {
		p.at = end
		p.word = (p.word + header(end-at)).asRun(size)
		return p.data[at:end:end], true, nil
	}
	return p.reserve(end-at, size)
}

// reserve puts n bytes behind a header of their own, for records of size each: one
// record, of any size, or several.
func (p *Producer) reserve(n, each int) ([]byte, bool, error) {
	if uint(n) > uint(p.MaxRecord()) {
		return nil, false, p.refuse(n)
	}
	need := wordSize + layout.Align(n, wordSize)
	if p.at+need > p.limit {
		if ok, err := p.advance(need); !ok {
			return nil, false, err
		}
	}
	p.seal()
	at := p.at
	p.open, p.at = at, at+need
	p.word, p.size = payload(n, 0), each
	if each < n {
		p.word = p.word.asRun(each)
	} else if n%wordSize != 0 || n > maxEach {
		p.size = 0 // equal ones cannot follow without a header
	}
	return p.data[at+wordSize:][:n:n], true, nil
}

// asRun returns h as the header of a run of records of size bytes.
func (h header) asRun(size int) header { return h | header(uint(size)/wordSize)<<eachShift }

// advance makes room for need bytes at the offset at: it learns what was released, and
// goes on at the storage's start if they do not fit before its end.
func (p *Producer) advance(need int) (ok bool, err error) {
	if err := p.refresh(); err != nil {
		return false, err
	}
	rest := len(p.data) - p.at
	if need <= rest {
		return p.at+need <= p.limit, nil
	}
	if p.free() < rest+need {
		return false, nil
	}
	p.seal()
	if rest > 0 {
		p.open, p.word = p.at, padding|payload(rest-wordSize, 0)
	} else {
		p.word = 0 // sealed: not a second time
	}
	p.base += uint64(len(p.data))
	p.at = 0
	p.setLimit()
	return true, nil
}

// free is how much can be reserved, as far as the producer knows.
func (p *Producer) free() int { return int(p.head + p.room() - (p.base + uint64(p.at))) }

func (p *Producer) setLimit() { p.limit = min(len(p.data), p.at+p.free()) }

// seal ends the open run. Its header is stored plainly, because nobody looks at it
// before the first header of the batch is there; that one is kept back.
func (p *Producer) seal() {
	switch {
	case p.word == 0:
	case p.first == 0:
		p.first, p.start = p.word, p.open
	default:
		p.plain[p.open/wordSize] = uint64(p.word)
	}
}

// Commit publishes everything reserved since the last Commit, all at once: the
// consumer sees the whole batch or nothing of it.
func (p *Producer) Commit() {
	if p.word == 0 {
		return
	}
	first, at := p.word, p.open
	if p.first != 0 {
		p.seal()
		first, at = p.first, p.start
		p.first = 0
	}
	if p.zero != p.at {
		p.endWith0()
	}
	// Hands the batch over. Pairs with the loads in Consumer.Peek and spsc.walk.
	sys.ReleaseStore64(&p.words[uint(at)/wordSize], uint64(first))
	p.word, p.size, p.zero = 0, 0, 0
}

// endWith0 stores the 0 behind the last record: plainly, because nobody looks at it
// before the batch's first header is there.
func (p *Producer) endWith0() { p.plain[uint(p.at)&uint(len(p.data)-1)/wordSize] = 0 }

// tail is the position of the batch's first header: where the published records end.
func (p *Producer) tail() uint64 {
	off := p.at
	if p.first != 0 {
		off = p.start
	} else if p.word != 0 {
		off = p.open
	}
	if off > p.at { // in the lap before
		return p.base + uint64(off) - uint64(len(p.data))
	}
	return p.base + uint64(off)
}

// TryPut copies b into the ring as one record and publishes it, together with what
// was reserved before. It returns what Reserve returns.
func (p *Producer) TryPut(b []byte) (ok bool, err error) {
	at := p.at
	end := at + wordSize + layout.Align(len(b), wordSize)
	if p.word != 0 || len(b) > p.MaxRecord() || end > p.limit {
		return p.put(b)
	}
	p.at = end
	p.endWith0()
	copy(p.data[at+wordSize:end], b)
	sys.ReleaseStore64(&p.words[uint(at)/wordSize], uint64(payload(len(b), 0))) // as in Commit
	return true, nil
}

// put is TryPut for any state of the producer.
func (p *Producer) put(b []byte) (ok bool, err error) {
	room, ok, err := p.Reserve(len(b))
	if !ok {
		return false, err
	}
	copy(room, b)
	p.Commit()
	return true, nil
}

// refresh learns what the consumer has released.
func (p *Producer) refresh() error {
	// What lies before head is the producer's again. Pairs with the store in Consumer.Release.
	head := p.control.head.Load()
	if tail := p.tail(); head-p.head > tail-p.head || head%wordSize != 0 {
		return fmt.Errorf("reserve: head %#x is not between %#x and %#x: %w", head, p.head, tail, ErrCorrupted)
	}
	p.head = head
	p.setLimit()
	return nil
}

// refuse says why there can be no record of n bytes.
func (p *Producer) refuse(n int) error {
	if n < 0 {
		panic(fmt.Sprintf("ring: reserve %d bytes", n))
	}
	return fmt.Errorf("reserve %d bytes in a ring of %d, which takes up to %d: %w",
		n, len(p.data), p.MaxRecord(), ErrTooLarge)
}

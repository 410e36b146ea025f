package pool

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/shmkit/shmkit/internal/codec"
	"github.com/shmkit/shmkit/shm"
)

// A parcel is an argument on its way.
type parcel struct {
	value codec.Encoded
	refs  *outgoing // nil if it cannot have any
	block shm.Block // where it lies; Cap is 0 if it fits into a slot
	limit time.Duration
	tries int
	users int // how many times the pool was entered for it
}

func (a *parcel) size() int64 {
	n := a.value.Size()
	if a.refs != nil {
		n += tableBytes(len(a.refs.refs))
	}
	return int64(n)
}

func (a *parcel) write(dst []byte) {
	if a.refs != nil {
		dst = putTable(dst, a.refs.refs)
	}
	a.value.CopyTo(dst)
}

// submitParcel is submit for an argument that was encoded. The lock is not held while a large one is written.
func (p *Pool) submitParcel(ctx context.Context, pr *promise, out []byte, a *parcel) error {
	n := a.size()
	if n > nearBytes && a.block.Cap == 0 {
		if err := p.writeDistant(ctx, n, a); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i, err := p.takeSlot(ctx)
	if err != nil {
		p.freeArgument(a.block)
		return err
	}
	dst := p.put(i, n, a)
	if a.refs != nil {
		if err := a.refs.load(i, dst); err != nil {
			p.freeArgument(p.entries[i].block)
			p.entries[i].block = shm.Block{}
			return p.giveBack(i, fmt.Errorf("%s: hand over: %w", pr.def.name, err))
		}
	}
	p.entries[i].limit, p.entries[i].retries = a.limit, a.tries
	p.accept(ctx, pr, i, out)
	return nil
}

// put fills slot i with an argument of n bytes and returns where they are. The caller holds mu.
func (p *Pool) put(i uint32, n int64, a *parcel) []byte {
	s := &p.mem.slots[i]
	s.argLen = uint64(n)
	switch {
	case a.block.Cap > 0:
		s.argKind = distant
		binary.LittleEndian.PutUint64(s.arg[:], uint64(a.block.Off))
		p.entries[i].block = a.block
		return p.store.Bytes(a.block)[:n]
	case n <= inlineBytes:
		s.argKind = inline
		a.write(s.arg[:n])
		return s.arg[:n]
	}
	s.argKind = near
	dst := p.mem.argNear(i)[:n]
	a.write(dst)
	return dst
}

// writeDistant places an argument in the arena. The pool stays entered for the parcel: whatever becomes of it, its memory
// has to be given back.
func (p *Pool) writeDistant(ctx context.Context, n int64, a *parcel) error {
	if err := p.enter(ctx); err != nil {
		return err
	}
	a.users++
	b, err := p.argument(ctx, n)
	if err == nil {
		a.block = b
		a.write(p.store.Bytes(b)[:n:n])
	}
	return err
}

// A value that is encoded as CBOR is written where it stays if it is not larger than the last of its kind by more than a part,
// and large enough for the copy to count.
const leastGuess = 32 << 10

func guessed(last int64) int64 {
	if last < leastGuess {
		return 0
	}
	return last + last/4
}

// guess returns memory for an argument about as large as the last, nil if there is none at once.
func (p *Pool) guess(last int64, a *parcel) []byte {
	n := guessed(last)
	if n == 0 || !p.tryEnter() {
		return nil
	}
	a.users++
	if !p.reserveArgument(n) {
		return nil
	}
	got, _, err := p.store.Alloc(n)
	p.argumentAllocated(n, got)
	if err != nil {
		return nil
	}
	a.block = got
	return p.store.Bytes(got)
}

// unguess gives the memory back.
func (p *Pool) unguess(a *parcel) {
	if a.block.Cap > 0 {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.freeArgument(a.block)
		a.block = shm.Block{}
	}
}

package codec

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/shmkit/shmkit/internal/layout"
)

// A Giver is what encoding needs of the memory that both processes see, for what crosses by reference.
type Giver interface {
	// Give returns the number under which handle crosses: a non-nil pointer of a type
	// that refers said yes to. No handle has the number [math.MaxUint64].
	Give(handle any) (ref uint64, err error)
	// Lend returns the number under which b, the elements of a slice, crosses because
	// they lie in shared memory already; ok is false if they are to be copied.
	Lend(b []byte) (ref uint64, ok bool)
}

// A Taker is what decoding needs of it.
type Taker interface {
	// Take returns the handle, of pointer type t, that was given as ref. It trusts
	// neither ref nor that it goes with t.
	Take(ref uint64, t reflect.Type) (any, error)
	// Borrow returns the bytes that were lent as ref, or more that start there. The
	// decoded slice refers to them. It does not trust ref.
	Borrow(ref uint64) ([]byte, error)
}

// Refers says of a pointer type whether its values cross by reference: whether they are
// handles. err is why this one cannot although it is meant to.
type Refers func(t reflect.Type) (ok bool, err error)

var errNotShared = errors.New("crosses by reference, but no memory is shared")

// A crossing is what CopyTo has to know of a field besides its memory.
type crossing struct {
	shared bool // the handle is not nil, the slice is lent
	ref    uint64
	data   []byte // CBOR: its bytes
}

// crossings has one crossing for each slot of a plan, or is nil if nothing is shared.
type crossings []crossing

func (cs crossings) of(o *op) crossing {
	if cs == nil || o.slot < 0 {
		return crossing{}
	}
	return cs[o.slot]
}

// lendAll lends the slices that s wants to lend.
func lendAll(mem layout.Memory, ops []op, slots int, s Giver) (cs crossings) {
	if s == nil || slots == 0 {
		return nil
	}
	for i := range ops {
		c := ops[i].lend(mem, s)
		if !c.shared {
			continue
		}
		if cs == nil { // most values have nothing in shared memory
			cs = make(crossings, slots)
		}
		cs[ops[i].slot] = c
	}
	return cs
}

// lend asks s once, for what is a slice and has elements.
func (o *op) lend(mem layout.Memory, s Giver) (c crossing) {
	if !o.viewable() {
		return c
	}
	if b := mem.Slice(o.off, o.size); len(b) > 0 {
		c.ref, c.shared = s.Lend(b)
	}
	return c
}

// borrow sets the slice to elements that were lent: n is their number plus 1, and src
// goes on with the word that they were lent as.
func (o *op) borrow(mem layout.Memory, n uint64, src []byte, s Taker) (rest []byte, err error) {
	ref, rest, err := takeWord(src)
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return nil, errNotShared
	case !o.viewable():
		return nil, errors.New("lent elements with a bool, which somebody else could change")
	case n < 2:
		return nil, errors.New("lent without elements")
	}
	b, err := s.Borrow(ref)
	if err != nil {
		return nil, fmt.Errorf("borrow %d: %w", ref, err)
	}
	size := uint64(o.size)
	if n--; n > uint64(len(b))/size {
		return nil, fmt.Errorf("%d values of %d bytes lent in %d bytes", n, size, len(b))
	}
	mem.SetSlice(o.off, o.size, o.elements(b[:n*size], true))
	return rest, nil
}

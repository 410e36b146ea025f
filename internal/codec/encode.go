package codec

import (
	"bytes"
	"fmt"

	"github.com/shmkit/shmkit/internal/layout"
)

// Encoded is a value on its way to its destination. It refers to the value,
// which must not change as long as CopyTo is called.
type Encoded struct {
	size int
	data []byte        // plain, CBOR and custom: the bytes
	mem  layout.Memory // flat: the value
	ops  []op

	crossings crossings // flat: what was found out when it was prepared
	inPlace   bool
}

// Size returns how many bytes CopyTo writes.
func (e *Encoded) Size() int { return e.size }

// InPlace reports whether the encoded value lies at the start of the buffer that PrepareIn
// was given: CopyTo is needed only to have it elsewhere.
func (e *Encoded) InPlace() bool { return e.inPlace }

// CopyTo writes the value to the start of dst, which begins at a multiple of 8 in
// memory if views are to be made there. It panics if dst is shorter than Size. It may be
// called again, for another dst.
func (e *Encoded) CopyTo(dst []byte) {
	dst = dst[:e.size:e.size]
	if e.ops != nil {
		putFlat(dst, e.mem, e.ops, e.crossings)
		return
	}
	copy(dst, e.data)
}

// Prepare finds out how many bytes *v takes and does what can fail. For CBOR and
// custom plans that is the whole encoding; others copy nothing before CopyTo.
//
// s may be nil for plans without handles: then nothing is lent. It is asked here, never by
// CopyTo: to give each handle that is not nil and to lend each slice of plain values
// that is not empty, once, in the order of the fields and after all else that can fail. If it
// refuses a handle, Prepare fails with its error; what it gave and lent before is the
// caller's to take back.
//
// *v itself does not escape to the heap.
func (p *Plan[T]) Prepare(v *T, s Giver) (Encoded, error) { return p.PrepareIn(v, s, nil) }

// PrepareIn is Prepare with memory for the bytes that a CBOR plan makes: they lie in buf if
// they fit ([Encoded.InPlace] tells), else on the heap. A caller whose buf is where the value
// goes need not copy it. buf's bytes are undefined if they do not fit or Prepare fails;
// other plans leave it alone.
func (p *Plan[T]) PrepareIn(v *T, s Giver, buf []byte) (Encoded, error) {
	switch {
	case p.kind == kindPlain:
		data := layout.Bytes(v)
		return Encoded{size: len(data), data: data}, nil
	case p.kind == kindFlat && !p.handles:
		mem := layout.MemoryOf(v)
		return p.flat(mem, lendAll(mem, p.ops, p.slots, s)), nil
	}
	// A copy, so that only values of these plans pay for an allocation.
	own := new(T)
	*own = *v
	e, err := p.prepare(own, s, buf)
	if err != nil {
		return Encoded{}, fmt.Errorf("encode %s: %w", p.name, err)
	}
	return e, nil
}

func (p *Plan[T]) flat(mem layout.Memory, cs crossings) Encoded {
	return Encoded{size: sizeFlat(mem, p.ops, cs), mem: mem, ops: p.ops, crossings: cs}
}

func (p *Plan[T]) prepare(v *T, s Giver, buf []byte) (Encoded, error) {
	switch p.kind {
	case kindFlat:
		mem := layout.MemoryOf(v)
		cs, err := cross(mem, p.ops, p.slots, s)
		if err != nil {
			return Encoded{}, err
		}
		return p.flat(mem, cs), nil
	case kindCustom:
		data, err := marshalCustom(p.custom, *v)
		return Encoded{size: len(data), data: data}, err
	}
	if err := checkValue(p.values, v); err != nil {
		return Encoded{}, err
	}
	data, err := marshalCBOR(v, buf)
	inPlace := len(data) > 0 && len(buf) > 0 && &data[0] == &buf[0]
	return Encoded{size: len(data), data: data, inPlace: inPlace}, err
}

// Decode sets *v to the value that src holds: exactly what CopyTo wrote, not
// more. After an error *v is the zero value.
//
// With view, src does not change as long as *v is used, and slices of plain values are
// parts of src where they can be: an element type with bools, or memory that is not aligned,
// makes a copy. Without view, *v has nothing to do with src once Decode has
// returned, and another process may write to src meanwhile. Strings are copied always.
//
// A slice that was lent refers to the bytes that s returns for it, with view or without; if
// they are not aligned, it is a copy. s may be nil if nothing was lent and the plan has no
// handles. What s answered before an error is the caller's to take back.
//
// *v itself does not escape to the heap.
func (p *Plan[T]) Decode(src []byte, v *T, view bool, s Taker) error {
	var err error
	switch {
	case p.kind == kindPlain:
		if dst := layout.Bytes(v); len(src) == len(dst) {
			copy(dst, src)
			layout.Normalise(dst, uintptr(len(dst)), p.bools)
			return nil
		}
		err = fmt.Errorf("%d bytes, want %d", len(src), p.size)
	case p.kind == kindFlat && !p.handles:
		if err = getFlat(layout.MemoryOf(v), p.ops, src, view, s); err == nil {
			return nil
		}
	default:
		own := new(T)
		if err = p.decode(src, own, view, s); err == nil {
			*v = *own
			return nil
		}
	}
	var zero T
	*v = zero
	return fmt.Errorf("decode %s: %w", p.name, err)
}

func (p *Plan[T]) decode(src []byte, v *T, view bool, s Taker) error {
	if p.kind == kindFlat {
		return getMixed(layout.MemoryOf(v), p.ops, src, view, s)
	}
	if !view {
		// The decoder looks at its bytes twice and relies on what it saw first; a codec
		// may keep them.
		src = bytes.Clone(src)
	}
	if p.kind == kindCustom {
		return unmarshalCustom(p.custom, src, v)
	}
	return unmarshalCBOR(src, v)
}

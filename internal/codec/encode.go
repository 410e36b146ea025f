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
}

// Size returns how many bytes CopyTo writes.
func (e *Encoded) Size() int { return e.size }

// CopyTo writes the value to the start of dst, which begins at a multiple of 8 in
// memory if views are to be made there. It panics if dst is shorter than Size. It may be
// called again, for another dst.
func (e *Encoded) CopyTo(dst []byte) {
	dst = dst[:e.size:e.size]
	if e.ops != nil {
		putFlat(dst, e.mem, e.ops)
		return
	}
	copy(dst, e.data)
}

// Prepare finds out how many bytes *v takes and does what can fail. For CBOR and
// custom plans that is the whole encoding; others copy nothing before CopyTo.
// *v itself does not escape to the heap.
func (p *Plan[T]) Prepare(v *T) (Encoded, error) {
	switch p.kind {
	case kindPlain:
		data := layout.Bytes(v)
		return Encoded{size: len(data), data: data}, nil
	case kindFlat:
		mem := layout.MemoryOf(v)
		return Encoded{size: sizeFlat(mem, p.ops), mem: mem, ops: p.ops}, nil
	}
	// A copy, so that only values of these plans pay for an allocation.
	own := new(T)
	*own = *v
	e, err := p.prepare(own)
	if err != nil {
		return Encoded{}, fmt.Errorf("encode %s: %w", p.name, err)
	}
	return e, nil
}

func (p *Plan[T]) prepare(v *T) (Encoded, error) {
	if p.kind == kindCustom {
		data, err := marshalCustom(p.custom, *v)
		return Encoded{size: len(data), data: data}, err
	}
	if err := checkValue(p.values, v); err != nil {
		return Encoded{}, err
	}
	data, err := marshalCBOR(v)
	return Encoded{size: len(data), data: data}, err
}

// Decode sets *v to the value that src holds: exactly what CopyTo wrote, not
// more. After an error *v is the zero value.
//
// With view, src does not change as long as *v is used, and slices of plain values are
// parts of src where they can be: an element type with bools, or memory that is not aligned,
// makes a copy. Without view, *v has nothing to do with src once Decode has
// returned, and another process may write to src meanwhile. Strings are copied always.
// *v itself does not escape to the heap.
func (p *Plan[T]) Decode(src []byte, v *T, view bool) error {
	var err error
	switch p.kind {
	case kindPlain:
		if dst := layout.Bytes(v); len(src) == len(dst) {
			copy(dst, src)
			layout.Normalise(dst, uintptr(len(dst)), p.bools)
			return nil
		}
		err = fmt.Errorf("%d bytes, want %d", len(src), p.size)
	case kindFlat:
		if err = getFlat(layout.MemoryOf(v), p.ops, src, view); err == nil {
			return nil
		}
	default:
		own := new(T)
		if err = p.decode(src, own, view); err == nil {
			*v = *own
			return nil
		}
	}
	var zero T
	*v = zero
	return fmt.Errorf("decode %s: %w", p.name, err)
}

func (p *Plan[T]) decode(src []byte, v *T, view bool) error {
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

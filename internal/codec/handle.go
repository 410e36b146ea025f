package codec

import (
	"bytes"
	"fmt"
	"math"
	"reflect"

	"github.com/shmkit/shmkit/internal/layout"
)

// A plan with handles is a flat plan whose values are on the heap while they are taken apart
// and put together: their handles and their CBOR fields are looked at by reflection.

// cross encodes the fields that need CBOR and, once nothing else can fail, gives the
// handles and lends the slices.
func cross(mem layout.Memory, ops []op, slots int, s Giver) (crossings, error) {
	if s == nil {
		return nil, errNotShared
	}
	cs := make(crossings, slots)
	for i := range ops {
		o := &ops[i]
		if o.kind != opCBOR {
			continue
		}
		data, err := o.marshal(mem)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.path, err)
		}
		cs[o.slot].data = data
	}
	for i := range ops {
		switch o := &ops[i]; o.kind {
		case opHandle:
			c, err := o.give(mem, s)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", o.path, err)
			}
			cs[o.slot] = c
		case opSlice:
			if o.viewable() {
				cs[o.slot] = o.lend(mem, s)
			}
		}
	}
	return cs, nil
}

func (o *op) marshal(mem layout.Memory) ([]byte, error) {
	v := mem.Value(o.off, o.typ).Addr().Interface()
	if err := checkValue(o.values, v); err != nil {
		return nil, err
	}
	return marshalCBOR(v, nil)
}

func (o *op) give(mem layout.Memory, s Giver) (c crossing, err error) {
	v := mem.Value(o.off, o.typ)
	if v.IsNil() {
		return c, nil
	}
	if c.ref, err = s.Give(v.Interface()); err != nil {
		return c, fmt.Errorf("give %v: %w", o.typ, err)
	}
	if c.ref == math.MaxUint64 {
		panic(fmt.Sprintf("codec: a %v was given as %d, for which there is no word", o.typ, c.ref))
	}
	c.shared = true
	return c, nil
}

// getMixed is getFlat for a plan with handles. mem is that of a zero value.
func getMixed(mem layout.Memory, ops []op, src []byte, view bool, s Taker) error {
	if s == nil {
		return errNotShared
	}
	for i := range ops {
		var err error
		switch o := &ops[i]; o.kind {
		case opHandle:
			src, err = o.take(mem, src, s)
		case opCBOR:
			src, err = o.unmarshal(mem, src, view)
		default:
			src, err = o.get(mem, src, view, s)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", ops[i].path, err)
		}
	}
	return atEnd(src)
}

func (o *op) take(mem layout.Memory, src []byte, s Taker) (rest []byte, err error) {
	n, rest, err := takeWord(src)
	if n == 0 || err != nil {
		return rest, err
	}
	handle, err := s.Take(n-1, o.typ)
	if err != nil {
		return nil, fmt.Errorf("take %d: %w", n-1, err)
	}
	v := reflect.ValueOf(handle)
	switch {
	case !v.IsValid() || v.Type() != o.typ:
		return nil, fmt.Errorf("take %d: it is a %T, want a %v", n-1, handle, o.typ)
	case v.IsNil():
		return nil, fmt.Errorf("take %d: it is nil", n-1)
	}
	mem.Value(o.off, o.typ).Set(v)
	return rest, nil
}

func (o *op) unmarshal(mem layout.Memory, src []byte, view bool) (rest []byte, err error) {
	n, rest, err := takeWord(src)
	if err != nil {
		return nil, err
	}
	b, rest, err := take(rest, n, 1)
	if err != nil {
		return nil, err
	}
	if !view {
		b = bytes.Clone(b) // as in Plan.decode
	}
	return rest, unmarshalCBOR(b, mem.Value(o.off, o.typ).Addr().Interface())
}

// EachHandle calls f with each handle in *v that is not nil, in the order of the fields.
func (p *Plan[T]) EachHandle(v *T, f func(handle any)) {
	if !p.handles {
		return
	}
	own := new(T) // as in PrepareIn
	*own = *v
	mem := layout.MemoryOf(own)
	for i := range p.ops {
		if o := &p.ops[i]; o.kind == opHandle {
			if h := mem.Value(o.off, o.typ); !h.IsNil() {
				f(h.Interface())
			}
		}
	}
}

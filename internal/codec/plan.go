package codec

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"reflect"

	"github.com/shmkit/shmkit/internal/layout"
)

// A Codec is a caller's own way to turn values of a type into bytes and back.
// Its methods are called by several goroutines at once.
type Codec interface {
	// Marshal returns the bytes for v, a value of the type. They are the caller's until
	// they have been sent.
	Marshal(v any) ([]byte, error)
	// Unmarshal sets *v, v being a pointer to a zero value of the type, from data. It
	// must copy what it wants to keep of data.
	Unmarshal(data []byte, v any) error
}

// A Plan is how values of type T become bytes. It is immutable.
type Plan[T any] struct {
	kind   kind
	name   string       // of T, for errors
	typ    reflect.Type // T
	size   int          // plain: of T; else -1
	bools  []uintptr    // plain: where T has bools
	ops    []op         // flat: its fields
	slots  int          // flat: how many of them may have a crossing
	values *node        // CBOR: what to check in each value; nil for nothing
	custom Codec

	handles   bool   // flat: there are some among the ops, and maybe CBOR fields
	structure uint64 // with handles: instead of T's fingerprint
}

type kind uint8

const (
	kindCustom kind = iota + 1
	kindPlain
	kindFlat
	kindCBOR
)

// wire is the version of the bytes that plans make. It is part of a fingerprint.
const wire = 1

// For chooses the plan for T. The error of a refused type names the path of the
// field and the reason. A custom codec is used for any T, without a look at it; nil
// means that there is none. refers says which pointers are handles; nil: none are.
func For[T any](custom Codec, refers Refers) (*Plan[T], error) {
	t := reflect.TypeFor[T]()
	p := &Plan[T]{typ: t, name: t.String(), size: -1, custom: custom}
	if custom != nil {
		p.kind = kindCustom
		return p, nil
	}
	if plain(t) {
		p.kind, p.size, p.bools = kindPlain, int(t.Size()), layout.Bools(t)
		return p, nil
	}
	if ops, ok := flatten(nil, t, 0, p.name); ok {
		p.setFlat(ops)
		return p, nil
	}
	if err := p.choose(refers); err != nil {
		return nil, fmt.Errorf("choose codec for %v: %w", t, err)
	}
	return p, nil
}

// choose sets the plan for what is neither plain nor flat without handles.
func (p *Plan[T]) choose(refers Refers) error {
	if refers != nil {
		s := newSurvey(refers)
		found, err := s.find(p.typ, p.name)
		if err != nil {
			return err
		}
		if found {
			ops, err := s.flatten(nil, p.typ, 0, p.name)
			if err != nil {
				return err
			}
			p.setFlat(ops)
			p.handles, p.structure = true, s.structure.Sum64()
			return nil
		}
	}
	if err := checkCBOR(p.typ, p.name); err != nil {
		return err
	}
	p.kind, p.values = kindCBOR, valueChecks(p.typ)
	return nil
}

func (p *Plan[T]) setFlat(ops []op) {
	p.kind, p.ops = kindFlat, ops
	for i := range ops {
		o := &ops[i]
		if o.slot = -1; o.viewable() || o.kind == opHandle || o.kind == opCBOR {
			o.slot = p.slots
			p.slots++
		}
	}
}

// Plain reports whether values are copied byte for byte, and nothing allocates.
func (p *Plan[T]) Plain() bool { return p.kind == kindPlain }

// Fixed returns how the values of a plain plan lie in memory, nil for other plans.
func (p *Plan[T]) Fixed() *Fixed {
	if p.kind != kindPlain {
		return nil
	}
	return &Fixed{size: p.size, bools: p.bools}
}

// CBOR reports whether the plan is one of CBOR's: PrepareIn makes use of a buffer.
func (p *Plan[T]) CBOR() bool { return p.kind == kindCBOR }

// Handles reports whether values have handles: pointers that cross by reference.
func (p *Plan[T]) Handles() bool { return p.handles }

// Lends reports whether something in a value may cross by reference: a handle, or a slice
// that can be lent. Such slices are also those that refer to the bytes that they are decoded
// from if views are asked for.
func (p *Plan[T]) Lends() bool { return p.slots > 0 }

// Fingerprint is equal for two plans if what one writes can be read by the
// other. It covers the structure of T as in [layout.Fingerprint] and the kind of plan; for
// CBOR and custom plans, where more than the structure counts, T's name and the
// codec's type too. A handle counts by the name of its type, whatever it points to.
func (p *Plan[T]) Fingerprint() uint64 {
	h := fnv.New64a()
	var print [8]byte
	structure := p.structure
	if !p.handles {
		structure = layout.Fingerprint(p.typ)
	}
	binary.LittleEndian.PutUint64(print[:], structure)
	h.Write(print[:])
	fmt.Fprintf(h, "wire %d kind %d", wire, p.kind)
	if p.kind == kindCBOR || p.kind == kindCustom {
		fmt.Fprintf(h, " type %s.%s codec %T", p.typ.PkgPath(), p.name, p.custom)
	}
	return h.Sum64()
}

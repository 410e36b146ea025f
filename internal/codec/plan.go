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
	values *node        // CBOR: what to check in each value; nil for nothing
	custom Codec
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
// means that there is none.
func For[T any](custom Codec) (*Plan[T], error) {
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
		p.kind, p.ops = kindFlat, ops
		return p, nil
	}
	if err := checkCBOR(t); err != nil {
		return nil, fmt.Errorf("choose codec for %v: %w; a codec of its own can be given for it", t, err)
	}
	p.kind, p.values = kindCBOR, valueChecks(t)
	return p, nil
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

// Views reports whether a value decoded with views can refer to the bytes that it was
// decoded from, which must then outlive it.
func (p *Plan[T]) Views() bool {
	for i := range p.ops {
		if p.ops[i].viewable() {
			return true
		}
	}
	return false
}

// Fingerprint is equal for two plans if what one writes can be read by the
// other. It covers the structure of T as in [layout.Fingerprint] and the kind of plan; for
// CBOR and custom plans, where more than the structure counts, T's name and the
// codec's type too.
func (p *Plan[T]) Fingerprint() uint64 {
	h := fnv.New64a()
	var print [8]byte
	binary.LittleEndian.PutUint64(print[:], layout.Fingerprint(p.typ))
	h.Write(print[:])
	fmt.Fprintf(h, "wire %d kind %d", wire, p.kind)
	if p.kind == kindCBOR || p.kind == kindCustom {
		fmt.Fprintf(h, " type %s.%s codec %T", p.typ.PkgPath(), p.name, p.custom)
	}
	return h.Sum64()
}

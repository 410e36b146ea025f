package codec

import (
	"encoding/binary"
	"reflect"

	"github.com/shmkit/shmkit/internal/layout"
)

// A flat value is written field by field, in order. Every field starts at a multiple
// of word, counted from the start of the value, and is followed by zeros up to the next:
//
//	plain    its bytes
//	string   its length, its bytes
//	slice    0 if it is nil, else its length plus 1; then its elements
//	lent     its length plus 1 and the bit lent; then the word that it was lent as
//	handle   0 if it is nil, else the number that it was given as plus 1
//	CBOR     its length, its bytes
//
// Lengths are one word, in the machine's byte order. No Go type is aligned to more than
// a word, so elements can be used where they lie.
const word = 8

// lent marks the length of a slice whose elements stay where they are. No length has it.
const lent = 1 << 63

// op is one field of a flat value, or several plain ones that lie side by side.
type op struct {
	kind  opKind
	off   uintptr   // in the value
	size  uintptr   // plain: of the field; slice: of an element
	align uintptr   // slice: of an element
	bools []uintptr // in the field or in an element
	path  string    // for errors

	slot   int          // where its crossing is; -1 if it never has one
	typ    reflect.Type // handle, CBOR: of the field
	values *node        // CBOR: what to check in each value; nil for nothing
}

type opKind uint8

const (
	opPlain opKind = iota
	opString
	opSlice
	opHandle
	opCBOR
)

// viewable reports whether the field can refer to the bytes it is decoded from, or to
// bytes that were lent. Elements with bools cannot: bytes that somebody else may still write
// do not stay normalised.
func (o *op) viewable() bool { return o.kind == opSlice && len(o.bools) == 0 }

// flatten appends what it takes to write values of type t, which lie off bytes into
// the whole; ok is false if t is not flat.
func flatten(ops []op, t reflect.Type, off uintptr, path string) (_ []op, ok bool) {
	switch {
	case plain(t):
		return appendPlain(ops, t, off, path), true
	case t.Kind() == reflect.String:
		return append(ops, op{kind: opString, off: off, path: path}), true
	case t.Kind() == reflect.Slice:
		e := t.Elem()
		// Elements without size could come in any number from a few bytes.
		if !plain(e) || e.Size() == 0 {
			return nil, false
		}
		return append(ops, op{kind: opSlice, off: off, size: e.Size(), align: uintptr(e.Align()),
			bools: layout.Bools(e), path: path}), true
	case t.Kind() == reflect.Struct:
		return flattenFields(ops, t, off, path)
	}
	return nil, false
}

func flattenFields(ops []op, t reflect.Type, off uintptr, path string) (_ []op, ok bool) {
	for f := range t.Fields() {
		if f.Name == "_" {
			continue
		}
		if !f.IsExported() {
			return nil, false
		}
		if ops, ok = flatten(ops, f.Type, off+f.Offset, path+"."+f.Name); !ok {
			return nil, false
		}
	}
	return ops, true
}

// appendPlain joins t to a plain field right before it. Only padding may lie between
// the two: not a blank field, which may be a pointer.
func appendPlain(ops []op, t reflect.Type, off uintptr, path string) []op {
	if n := len(ops); n == 0 || ops[n-1].kind != opPlain ||
		off-(ops[n-1].off+ops[n-1].size) >= uintptr(t.Align()) {
		ops = append(ops, op{kind: opPlain, off: off, path: path})
	}
	o := &ops[len(ops)-1]
	o.size = off + t.Size() - o.off
	for _, b := range layout.Bools(t) {
		o.bools = append(o.bools, off-o.off+b)
	}
	return ops
}

func sizeFlat(mem layout.Memory, ops []op, cs crossings) int {
	n := 0
	for i := range ops {
		switch o := &ops[i]; o.kind {
		case opPlain:
			n += layout.Align(int(o.size), word)
		case opString:
			n += word + layout.Align(len(*mem.String(o.off)), word)
		case opSlice:
			if n += word; cs.of(o).shared {
				n += word
			} else {
				n += layout.Align(len(mem.Slice(o.off, o.size)), word)
			}
		case opHandle:
			n += word
		case opCBOR:
			n += word + layout.Align(len(cs.of(o).data), word)
		}
	}
	return n
}

// putFlat fills dst, which has exactly the size of the value: a value that grew
// since runs into its end and panics.
func putFlat(dst []byte, mem layout.Memory, ops []op, cs crossings) {
	for i := range ops {
		switch o := &ops[i]; o.kind {
		case opPlain:
			dst = putBytes(dst, mem.Plain(o.off, o.size))
		case opString:
			s := *mem.String(o.off)
			dst = putBytes(putWord(dst, uint64(len(s))), s)
		case opSlice:
			b, n := mem.Slice(o.off, o.size), uint64(0)
			if b != nil {
				n = uint64(len(b))/uint64(o.size) + 1
			}
			if c := cs.of(o); c.shared {
				dst = putWord(putWord(dst, n|lent), c.ref)
			} else {
				dst = putBytes(putWord(dst, n), b)
			}
		case opHandle:
			n := uint64(0)
			if c := cs.of(o); c.shared {
				n = c.ref + 1
			}
			dst = putWord(dst, n)
		case opCBOR:
			b := cs.of(o).data
			dst = putBytes(putWord(dst, uint64(len(b))), b)
		}
	}
}

func putWord(dst []byte, n uint64) []byte {
	binary.NativeEndian.PutUint64(dst, n)
	return dst[word:]
}

func putBytes[B []byte | string](dst []byte, b B) []byte {
	padded := layout.Align(len(b), word)
	n := copy(dst[:padded], b)
	clear(dst[n:padded])
	return dst[padded:]
}

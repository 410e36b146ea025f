package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"

	"github.com/shmkit/shmkit/internal/layout"
)

// A flat value is written field by field, in order. Every field starts at a multiple
// of word, counted from the start of the value, and is followed by zeros up to the next:
//
//	plain    its bytes
//	string   its length, its bytes
//	slice    0 if it is nil, else its length plus 1; then its elements
//
// Lengths are one word, in the machine's byte order. No Go type is aligned to more than
// a word, so elements can be used where they lie.
const word = 8

// op is one field of a flat value, or several plain ones that lie side by side.
type op struct {
	kind  opKind
	off   uintptr   // in the value
	size  uintptr   // plain: of the field; slice: of an element
	align uintptr   // slice: of an element
	bools []uintptr // in the field or in an element
	path  string    // for errors
}

type opKind uint8

const (
	opPlain opKind = iota
	opString
	opSlice
)

// viewable reports whether the field can refer to the bytes it is decoded from.
// Elements with bools cannot: bytes that somebody else may still write do not stay normalised.
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

func sizeFlat(mem layout.Memory, ops []op) int {
	n := 0
	for i := range ops {
		switch o := &ops[i]; o.kind {
		case opPlain:
			n += layout.Align(int(o.size), word)
		case opString:
			n += word + layout.Align(len(*mem.String(o.off)), word)
		case opSlice:
			n += word + layout.Align(len(mem.Slice(o.off, o.size)), word)
		}
	}
	return n
}

// putFlat fills dst, which has exactly the size of the value: a value that grew
// since runs into its end and panics.
func putFlat(dst []byte, mem layout.Memory, ops []op) {
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
			dst = putBytes(putWord(dst, n), b)
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

var errTrailing = errors.New("bytes left over")

// getFlat sets the fields from src. Each byte of src is read at most once,
// lengths into a local variable, so that a writer beside us cannot change them
// between their check and their use.
func getFlat(mem layout.Memory, ops []op, src []byte, view bool) error {
	for i := range ops {
		var err error
		if src, err = ops[i].get(mem, src, view); err != nil {
			return fmt.Errorf("%s: %w", ops[i].path, err)
		}
	}
	if len(src) != 0 {
		return fmt.Errorf("%d %w", len(src), errTrailing)
	}
	return nil
}

func (o *op) get(mem layout.Memory, src []byte, view bool) (rest []byte, err error) {
	var b []byte
	switch o.kind {
	case opPlain:
		if b, rest, err = take(src, uint64(o.size), 1); err != nil {
			return nil, err
		}
		dst := mem.Plain(o.off, o.size)
		copy(dst, b)
		layout.Normalise(dst, o.size, o.bools)
	case opString:
		var n uint64
		if n, rest, err = takeWord(src); err != nil {
			return nil, err
		}
		if b, rest, err = take(rest, n, 1); err != nil {
			return nil, err
		}
		*mem.String(o.off) = string(b)
	case opSlice:
		var n uint64
		if n, rest, err = takeWord(src); err != nil {
			return nil, err
		}
		if n == 0 {
			mem.SetSlice(o.off, o.size, nil)
			return rest, nil
		}
		if b, rest, err = take(rest, n-1, uint64(o.size)); err != nil {
			return nil, err
		}
		mem.SetSlice(o.off, o.size, o.elements(b, view))
	}
	return rest, nil
}

// elements returns b as memory for elements: b itself as a view, if that is possible.
func (o *op) elements(b []byte, view bool) []byte {
	if view && o.viewable() && layout.Aligned(b, o.align) {
		return b
	}
	own := layout.Clone(b)
	layout.Normalise(own, o.size, o.bools)
	return own
}

func takeWord(src []byte) (n uint64, rest []byte, err error) {
	b, rest, err := take(src, 1, word)
	if err != nil {
		return 0, nil, err
	}
	return binary.NativeEndian.Uint64(b), rest, nil
}

// take cuts n elements of size bytes, not 0, and the padding behind them off src.
func take(src []byte, n, size uint64) (b, rest []byte, err error) {
	if n > uint64(len(src))/size {
		return nil, nil, fmt.Errorf("%d values of %d bytes, but %d bytes are left", n, size, len(src))
	}
	end := n * size
	padded := layout.Align(end, word)
	if padded > uint64(len(src)) {
		return nil, nil, fmt.Errorf("%d bytes and their padding, but %d bytes are left", end, len(src))
	}
	return src[:end], src[padded:], nil
}

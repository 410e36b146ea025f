package layout

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"reflect"
	"strings"
	"sync"
	"unsafe"
)

// PointerFree reports, as an error that names the field, why values of type t
// cannot be copied between processes byte for byte; nil means that they can. Besides
// pointers it refuses locks: a copied lock locks nothing.
func PointerFree(t reflect.Type) error {
	if known, ok := pointerFree.Load(t); ok {
		err, _ := known.(error)
		return err
	}
	err := checkType(t, t.String())
	pointerFree.Store(t, err)
	return err
}

var pointerFree sync.Map // reflect.Type -> error or nil

func checkType(t reflect.Type, path string) error {
	if t.PkgPath() == "sync" {
		return fmt.Errorf("%s is a lock of one process", path)
	}
	switch t.Kind() {
	case reflect.Array:
		return checkType(t.Elem(), path+"[]")
	case reflect.Struct:
		for f := range t.Fields() {
			if err := checkType(f.Type, path+"."+f.Name); err != nil {
				return err
			}
		}
		return nil
	case reflect.Pointer, reflect.UnsafePointer, reflect.Map, reflect.Chan, reflect.Func,
		reflect.Interface, reflect.String, reflect.Slice:
		return fmt.Errorf("%s is a %s, which means nothing in another process", path, t.Kind())
	}
	return nil
}

// HasBool reports whether values of the pointer-free type t contain a bool. A bool
// whose byte is neither 0 nor 1 makes compiled Go code index out of bounds, so bytes
// that another process wrote are normalised before they are used as such a value.
func HasBool(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool:
		return true
	case reflect.Array:
		return t.Len() > 0 && HasBool(t.Elem())
	case reflect.Struct:
		for f := range t.Fields() {
			if HasBool(f.Type) {
				return true
			}
		}
	}
	return false
}

// Bools returns the offsets of all bools in a value of the pointer-free type t.
func Bools(t reflect.Type) []uintptr { return bools(nil, t, 0) }

func bools(offs []uintptr, t reflect.Type, at uintptr) []uintptr {
	switch t.Kind() {
	case reflect.Bool:
		return append(offs, at)
	case reflect.Array:
		if !HasBool(t) {
			return offs
		}
		for i := range t.Len() {
			offs = bools(offs, t.Elem(), at+uintptr(i)*t.Elem().Size())
		}
	case reflect.Struct:
		for f := range t.Fields() {
			offs = bools(offs, f.Type, at+f.Offset)
		}
	}
	return offs
}

// Normalise makes every bool in b, which holds values of size bytes with bools at
// offs, a 0 or a 1.
func Normalise(b []byte, size uintptr, offs []uintptr) {
	for ; uintptr(len(b)) >= size && len(offs) > 0; b = b[size:] {
		for _, off := range offs {
			if b[off] > 1 {
				b[off] = 1
			}
		}
	}
}

// Fingerprint is equal for two types exactly if a value written as one can be
// read as the other: it covers kinds, sizes, offsets, field names, the word size and
// the byte order. Names of types do not matter.
func Fingerprint(t reflect.Type) uint64 {
	var s strings.Builder
	fmt.Fprintf(&s, "word %d order %x ", unsafe.Sizeof(uintptr(0)), binary.NativeEndian.Uint16([]byte{1, 2}))
	describe(&s, t, map[reflect.Type]int{})
	h := fnv.New64a()
	h.Write([]byte(s.String()))
	return h.Sum64()
}

// describe writes t's structure; a type that contains itself is named by how many
// named types, itself included, it was met inside of. Only types that are still being
// described count: two fields of one type read like two of equal types.
func describe(s *strings.Builder, t reflect.Type, open map[reflect.Type]int) {
	if n, ok := open[t]; ok {
		fmt.Fprintf(s, "#%d", len(open)-n)
		return
	}
	if t.Name() != "" && t.PkgPath() != "" {
		open[t] = len(open)
		defer delete(open, t)
	}
	fmt.Fprintf(s, "%s:%d", t.Kind(), t.Size())
	switch t.Kind() {
	case reflect.Array:
		fmt.Fprintf(s, "[%d]", t.Len())
		describe(s, t.Elem(), open)
	case reflect.Slice, reflect.Pointer:
		describe(s, t.Elem(), open)
	case reflect.Map:
		describe(s, t.Key(), open)
		s.WriteByte('>')
		describe(s, t.Elem(), open)
	case reflect.Struct:
		s.WriteByte('{')
		for f := range t.Fields() {
			fmt.Fprintf(s, "%s@%d ", f.Name, f.Offset)
			describe(s, f.Type, open)
			s.WriteByte(';')
		}
		s.WriteByte('}')
	}
}

package codec

import (
	"fmt"
	"reflect"

	"github.com/shmkit/shmkit/internal/layout"
)

// plain reports whether values of type t are exactly their bytes.
func plain(t reflect.Type) bool {
	return layout.PointerFree(t) == nil && lockIn(t, "") == nil
}

// lockIn returns an error if a value of type t is or contains, in its own memory, a
// value of sync or sync/atomic. Such a value means something at one address only, whether
// or not it holds a pointer: a copy of it locks or counts nothing.
func lockIn(t reflect.Type, path string) error {
	switch t.PkgPath() {
	case "sync", "sync/atomic":
		return fmt.Errorf("%s is a %v, which must not be copied", path, t)
	}
	switch t.Kind() {
	case reflect.Array:
		return lockIn(t.Elem(), path+"[]")
	case reflect.Struct:
		for f := range t.Fields() {
			if err := lockIn(f.Type, path+"."+f.Name); err != nil {
				return err
			}
		}
	}
	return nil
}

// Fixed is what a plain plan knows of its values, for those who do not know their type.
type Fixed struct {
	size  int
	bools []uintptr
}

// Exact reports whether any bytes of the right length are values as they are.
func (f *Fixed) Exact() bool { return len(f.bools) == 0 }

// Accept sets the values whose memory dst is from src, which holds as many and may be
// written by another process at the same time: any bytes become values.
func (f *Fixed) Accept(dst, src []byte) error {
	if len(src) != len(dst) {
		return fmt.Errorf("%d bytes, want %d", len(src), len(dst))
	}
	copy(dst, src)
	if len(f.bools) > 0 {
		layout.Normalise(dst, uintptr(f.size), f.bools)
	}
	return nil
}

package shm

import (
	"reflect"

	"github.com/shmkit/shmkit/internal/layout"
)

// View returns n values of type T that lie off bytes into mem, which is a segment's
// or file's memory or any other. They are that memory, not a copy, and valid as
// long as it is.
//
// It fails, with an error that says why, if they do not lie within mem, if they are
// not aligned in memory as T must be, or if T cannot be shared: because it contains a
// pointer, string, slice or the like, a lock of package sync, or a bool. The error
// names the field. Of a bool that another process sets to neither true nor false,
// compiled Go code makes wild accesses; a uint8 does as well.
//
// The values may change at any time as long as another process may write them. Use
// atomic types in T where that matters.
func View[T any](mem []byte, off int64, n int) ([]T, error) {
	if err := viewable[T](off); err != nil {
		return nil, err
	}
	return layout.Slice[T](mem, off, n)
}

// At returns the one value of type T that lies off bytes into mem. All that is said of
// [View] holds for it.
func At[T any](mem []byte, off int64) (*T, error) {
	if err := viewable[T](off); err != nil {
		return nil, err
	}
	return layout.At[T](mem, off)
}

func viewable[T any](off int64) error {
	typ := reflect.TypeFor[T]()
	if err := layout.Viewable(typ); err != nil {
		return &layout.AccessError{Type: typ.String(), Off: off, Reason: err.Error()}
	}
	return nil
}

// Package layout turns bytes of shared memory into typed values and back, with
// every check done before a pointer exists: bounds, alignment, and that the type
// holds nothing that means something in one process only.
//
// Together with internal/sys it is the only place that imports unsafe.
//
// # Shared structs
//
// A struct that lies in shared memory is marked with [structs.HostLayout], has its
// size asserted at compile time beside its declaration, and holds no pointer:
// other places are named by their offset from the start of the memory, 0 being nil.
// docs/LAYOUT.md lists them byte for byte.
package layout

import "fmt"

// Line is the distance that keeps the words of different writers from disturbing
// each other: two 64-byte cache lines, because processors fetch them in pairs.
const Line = 128

// Align rounds n up to a multiple of to, a power of two.
func Align[N ~int | ~int64 | ~uint64](n, to N) N { return (n + to - 1) &^ (to - 1) }

// An AccessError says why bytes cannot be seen as a value.
type AccessError struct {
	Type   string // the type asked for
	Off    int64  // where, in bytes from the start of the memory
	Reason string
}

func (e *AccessError) Error() string {
	return fmt.Sprintf("view %s at offset %d: %s", e.Type, e.Off, e.Reason)
}

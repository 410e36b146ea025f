// Package atomic stands in for sync/atomic in files of the module that are built for an exploration: its types have the same methods, the
// same size and the same alignment, and each operation on shared memory is a point where other processes may run.
package atomic

import (
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/explore"
)

// Types of which nothing lies in shared memory.
type (
	Bool           = atomic.Bool
	Pointer[T any] = atomic.Pointer[T]
)

// A Uint32 is an atomic.Uint32.
type Uint32 struct{ v atomic.Uint32 }

func (x *Uint32) Load() uint32 {
	a := explore.Enter(x, false)
	v := x.v.Load()
	if a != nil {
		a.Leave("Load", uint64(v), false)
	}
	return v
}

func (x *Uint32) Store(v uint32) {
	a := explore.Enter(x, true)
	x.v.Store(v)
	if a != nil {
		a.Leave("Store", uint64(v), true)
	}
}

func (x *Uint32) Swap(v uint32) uint32 {
	a := explore.Enter(x, true)
	was := x.v.Swap(v)
	if a != nil {
		a.Leave("Swap", uint64(was), true)
	}
	return was
}

func (x *Uint32) CompareAndSwap(old, v uint32) bool {
	a := explore.Enter(x, true)
	ok := x.v.CompareAndSwap(old, v)
	if a != nil {
		a.Leave("CompareAndSwap", truth(ok), ok)
	}
	return ok
}

func (x *Uint32) Add(d uint32) uint32 {
	a := explore.Enter(x, true)
	v := x.v.Add(d)
	if a != nil {
		a.Leave("Add", uint64(v), true)
	}
	return v
}

// At loads the word as a futex does: for the explored system calls.
func (x *Uint32) At() uint32 { return x.v.Load() }

// An Int32 is an atomic.Int32.
type Int32 = atomic.Int32

// A Uint64 is an atomic.Uint64.
type Uint64 struct{ v atomic.Uint64 }

func (x *Uint64) Load() uint64 {
	a := explore.Enter(x, false)
	if a == nil {
		return x.v.Load()
	}
	v, ok := a.Buffered()
	if !ok {
		v = x.v.Load()
	}
	a.Leave("Load", v, false)
	return v
}

func (x *Uint64) Store(v uint64) {
	a := explore.Enter(x, true)
	x.v.Store(v)
	if a != nil {
		a.Leave("Store", v, true)
	}
}

// Release is a store that is no fence: others may see it later than what the process itself does afterwards, though not later than what
// it stores afterwards by atomics.
func (x *Uint64) Release(v uint64) {
	a := explore.Enter(x, false)
	if a == nil {
		x.v.Store(v)
		return
	}
	a.Buffer(v, func() { x.v.Store(v) })
	a.Leave("Release", v, true)
}

func (x *Uint64) Swap(v uint64) uint64 {
	a := explore.Enter(x, true)
	was := x.v.Swap(v)
	if a != nil {
		a.Leave("Swap", was, true)
	}
	return was
}

func (x *Uint64) CompareAndSwap(old, v uint64) bool {
	a := explore.Enter(x, true)
	ok := x.v.CompareAndSwap(old, v)
	if a != nil {
		a.Leave("CompareAndSwap", truth(ok), ok)
	}
	return ok
}

func (x *Uint64) Add(d uint64) uint64 {
	a := explore.Enter(x, true)
	v := x.v.Add(d)
	if a != nil {
		a.Leave("Add", v, true)
	}
	return v
}

func (x *Uint64) And(mask uint64) uint64 {
	a := explore.Enter(x, true)
	was := x.v.And(mask)
	if a != nil {
		a.Leave("And", was, was&mask != was)
	}
	return was
}

func (x *Uint64) Or(mask uint64) uint64 {
	a := explore.Enter(x, true)
	was := x.v.Or(mask)
	if a != nil {
		a.Leave("Or", was, was|mask != was)
	}
	return was
}

// An Int64 is an atomic.Int64.
type Int64 struct{ v atomic.Int64 }

func (x *Int64) Load() int64 {
	a := explore.Enter(x, false)
	v := x.v.Load()
	if a != nil {
		a.Leave("Load", uint64(v), false)
	}
	return v
}

func (x *Int64) Store(v int64) {
	a := explore.Enter(x, true)
	x.v.Store(v)
	if a != nil {
		a.Leave("Store", uint64(v), true)
	}
}

func (x *Int64) CompareAndSwap(old, v int64) bool {
	a := explore.Enter(x, true)
	ok := x.v.CompareAndSwap(old, v)
	if a != nil {
		a.Leave("CompareAndSwap", truth(ok), ok)
	}
	return ok
}

func (x *Int64) Add(d int64) int64 {
	a := explore.Enter(x, true)
	v := x.v.Add(d)
	if a != nil {
		a.Leave("Add", uint64(v), true)
	}
	return v
}

func truth(ok bool) uint64 {
	if ok {
		return 1
	}
	return 0
}

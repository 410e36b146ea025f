package pool

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/shm"
)

// A Block is an array of pointer-free values in a pool's memory. As an argument, as a result, or as a field of either,
// a *Block moves: nothing is copied, whatever its size, and the one who gave it away can no longer use it.
//
// A block is held by one process at a time. It is handed to a task when the task is accepted; a call that fails before that
// leaves it with the caller, and so does the end of a task that has not begun: it comes back. When a task
// has run, its blocks are freed, those aside that it returns: the caller gets a new handle for these. If a
// worker dies, the blocks of the task that it ran are freed; [WorkerDiedError] says how many. [Block.Held] tells.
//
// A block that is neither handed over nor released stays until its pool is closed, and keeps the pool's memory mapped
// after that. A task's blocks end with the task.
//
// Slice, Len and Held may be called by several goroutines at once; nobody may use a block's values while it is handed
// over or released.
type Block[T any] struct{ core *core }

// NewBlock returns a block of n values, all zero, in p's memory. It waits while there is no room, until ctx ends. In a task
// p is nil: the block is in the memory of the pool that runs it, ctx is the task's context or one derived from it, and the block
// ends with the task unless it is returned.
//
// The error wraps [ErrTooLarge] if p's memory could never hold it, and [shm.ErrNoMemory] if the machine has none for it.
// It panics if values of type T cannot lie in shared memory: those with pointers, bools or locks.
func NewBlock[T any](ctx context.Context, p *Pool, n int) (*Block[T], error) {
	size := blockBytes[T](n)
	if n < 0 || size < 0 {
		return nil, fmt.Errorf("new block of %d values of %d bytes: %w", n, reflect.TypeFor[T]().Size(), errBadLength)
	}
	c, err := newCore(ctx, p, size)
	if err != nil {
		return nil, fmt.Errorf("new block of %d bytes: %w", size, err)
	}
	return &Block[T]{c}, nil
}

var errBadLength = errors.New("there can be no such block: the length is negative or too large")

func newCore(ctx context.Context, p *Pool, size int64) (*core, error) {
	if p != nil {
		return p.newCore(ctx, size)
	}
	w, task, err := runningTask(ctx)
	if err != nil {
		return nil, err
	}
	return w.hold.newCore(ctx, task, size)
}

// TryNewBlock is NewBlock without waiting, outside of tasks. It reports whether there was room.
func TryNewBlock[T any](p *Pool, n int) (*Block[T], bool) {
	size := blockBytes[T](n)
	if size < 0 || !p.tryEnter() {
		return nil, false
	}
	b, zero, err := p.store.Alloc(size)
	if err != nil {
		p.exit(1)
		return nil, false
	}
	return &Block[T]{p.keep(b, size, zero)}, true
}

// blockBytes returns the size of n values, -1 if there is none.
func blockBytes[T any](n int) int64 {
	t := reflect.TypeFor[T]()
	if err := viewable(t); err != nil {
		panic(fmt.Sprintf("pool: block of %v: %v", t, err))
	}
	size := int64(t.Size())
	if n < 0 || int64(n) > math.MaxInt64/size {
		return -1
	}
	return int64(n) * size
}

func viewable(t reflect.Type) error {
	if t.Size() == 0 {
		return fmt.Errorf("%v has no bytes", t)
	}
	return layout.Viewable(t)
}

// Slice returns the values. They are the block's memory: valid, and the caller's alone, until the block is handed over or
// released, or its task ends. It panics then.
func (b *Block[T]) Slice() []T { return sliceOf[T](b.held("Slice")) }

// Len returns the number of values. It panics as Slice does.
func (b *Block[T]) Len() int { return lenOf[T](b.held("Len")) }

// Held reports whether this process holds the block through this handle: after a call that failed, whether it has come back.
func (b *Block[T]) Held() bool { return b != nil && b.core != nil && b.core.state.Load() == coreHeld }

// Release frees the block. Slices of it must no longer be used. It panics if the block is not held.
func (b *Block[T]) Release() {
	c := b.held("Release")
	c.become("Release", "block", coreReleased)
	c.keeper.release(c)
}

// Freeze ends all writing: the values may be read by any number of tasks at the same time, through the handle that it returns.
// This handle, and slices of it, must no longer be used. It panics if the block is not held.
func (b *Block[T]) Freeze() *Frozen[T] {
	c := b.held("Freeze")
	c.become("Freeze", "block", coreFrozen)
	return &Frozen[T]{c.keeper.freeze(c)}
}

func (b *Block[T]) held(what string) *core {
	if b == nil || b.core == nil {
		panic("pool: " + what + " of a Block that was not made by NewBlock")
	}
	b.core.check(what, "block")
	return b.core
}

// A Frozen is an array of values in a pool's memory that does not change any more. As an argument, or as a field of one, a
// *Frozen is lent: any number of tasks read it at the same time. In workers its memory cannot be written: who tries
// dies. A task may return one that it was given or made.
//
// It is freed when its handle is released and the last task that reads it has ended.
type Frozen[T any] struct{ core *core }

// Slice returns the values, which must not be written. They are valid until the handle is released, or its task ends. It
// panics then.
func (f *Frozen[T]) Slice() []T { return sliceOf[T](f.held("Slice")) }

// Len returns the number of values. It panics as Slice does.
func (f *Frozen[T]) Len() int { return lenOf[T](f.held("Len")) }

// Held reports whether this process may still use the values through this handle.
func (f *Frozen[T]) Held() bool { return f != nil && f.core != nil && f.core.state.Load() == coreHeld }

// Release gives this handle up; tasks that read the values go on. It panics if it was given up before.
func (f *Frozen[T]) Release() {
	c := f.held("Release")
	c.become("Release", "frozen block", coreReleased)
	c.keeper.release(c)
}

func (f *Frozen[T]) held(what string) *core {
	if f == nil || f.core == nil {
		panic("pool: " + what + " of a Frozen that was not made by Freeze")
	}
	f.core.check(what, "frozen block")
	return f.core
}

func sliceOf[T any](c *core) []T {
	b, err := c.keeper.view(c)
	if err != nil {
		panic(fmt.Sprintf("pool: Slice: %v", err))
	}
	return layout.MustSlice[T](b, 0, lenOf[T](c))
}

func lenOf[T any](c *core) int { return int(c.size / int64(reflect.TypeFor[T]().Size())) }

// A handle is a *Block or a *Frozen of any type.
type handle interface {
	inner() *core
	adopt(c *core)
	frozen() bool
	elem() reflect.Type
	Release()
}

func (b *Block[T]) inner() *core       { return b.core }
func (b *Block[T]) adopt(c *core)      { b.core = c }
func (b *Block[T]) frozen() bool       { return false }
func (b *Block[T]) elem() reflect.Type { return reflect.TypeFor[T]() }

func (f *Frozen[T]) inner() *core       { return f.core }
func (f *Frozen[T]) adopt(c *core)      { f.core = c }
func (f *Frozen[T]) frozen() bool       { return true }
func (f *Frozen[T]) elem() reflect.Type { return reflect.TypeFor[T]() }

var (
	typeHandle = reflect.TypeFor[handle]()
	typeFile   = reflect.TypeFor[*shm.File]()
)

// argumentRefers says which arguments cross by reference, resultRefers which results do: see codec.Refers.
func argumentRefers(t reflect.Type) (bool, error) {
	if t == typeFile {
		return true, nil
	}
	return resultRefers(t)
}

func resultRefers(t reflect.Type) (bool, error) {
	if t == typeFile {
		return false, errors.New("a file can be an argument only")
	}
	if !t.Implements(typeHandle) {
		return false, nil
	}
	elem := newHandle(t).elem()
	if err := viewable(elem); err != nil {
		return false, err
	}
	return true, nil
}

// newHandle returns a handle of type t that has no block yet.
func newHandle(t reflect.Type) handle { return reflect.New(t.Elem()).Interface().(handle) }

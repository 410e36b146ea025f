package pool

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/shmkit/shmkit/internal/codec"
	"github.com/shmkit/shmkit/internal/objects"
)

// An Init is a function that prepares a worker: see [InitFunc].
type Init[A any] struct {
	name string
	fn   func(context.Context, A) error
	plan *codec.Plan[A]
}

// InitFunc registers fn under name as something that can run in each worker before
// its first task. Use it for package-level variables: it panics after Main, for a
// name that is taken, and for a type A that cannot cross between processes. Fields of a type that is [process.Shared] are the same
// object in parent and workers.
func InitFunc[A any](name string, fn func(context.Context, A) error) *Init[A] {
	plan, err := codec.For[A](nil, objects.Refers)
	if err != nil {
		panic(fmt.Sprintf("pool: InitFunc %q: argument: %v", name, err))
	}
	in := &Init[A]{name: name, fn: fn, plan: plan}
	registry.Lock()
	defer registry.Unlock()
	mustRegister("InitFunc", name, registry.inits[name] != nil)
	if registry.inits == nil {
		registry.inits = map[string]initialiser{}
	}
	registry.inits[name] = in
	return in
}

// An Initialiser is an Init with its argument. The zero value does nothing.
type Initialiser struct {
	name    string
	arg     []byte
	objects *objects.List // that the argument refers to
	err     error
}

// With binds the argument, which is encoded at once. If that fails, New fails. What it shares must stay open in
// this process until the pool is closed.
func (in *Init[A]) With(arg A) Initialiser {
	i := Initialiser{name: in.name, objects: new(objects.List)}
	enc, err := in.plan.Prepare(&arg, i.objects)
	if err != nil {
		i.err = fmt.Errorf("encode argument of %s: %w", in.name, err)
		return i
	}
	i.arg = make([]byte, enc.Size())
	enc.CopyTo(i.arg)
	return i
}

// initialiser is an Init of any type.
type initialiser interface {
	run(ctx context.Context, arg []byte, shared *objects.Arrivals) error
}

func (in *Init[A]) run(ctx context.Context, arg []byte, shared *objects.Arrivals) error {
	var a A
	if err := in.plan.Decode(arg, &a, false, shared); err != nil {
		return fmt.Errorf("decode argument of %s: %w", in.name, err)
	}
	return in.fn(ctx, a)
}

// encodeBoth writes what runs at a worker's start and at its end: the length of the first, both.
func encodeBoth(init, exit Initialiser) []byte {
	first, second := init.encode(), exit.encode()
	if first == nil && second == nil {
		return nil
	}
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(first)))
	return slices.Concat(b, first, second)
}

// decodeBoth is the reverse.
func decodeBoth(b []byte) (init, exit []byte, err error) {
	if len(b) == 0 {
		return nil, nil, nil
	}
	if len(b) < 4 || uint64(len(b)-4) < uint64(binary.LittleEndian.Uint32(b)) {
		return nil, nil, errors.New("read initialisers: cut short")
	}
	n := binary.LittleEndian.Uint32(b)
	return b[4 : 4+n], b[4+n:], nil
}

// encode writes the name's length, the name and the argument.
func (i Initialiser) encode() []byte {
	if i.name == "" {
		return nil
	}
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(i.name)))
	b = append(b, i.name...)
	return append(b, i.arg...)
}

// runInit runs the initialiser that the parent encoded. A panic in it is an error.
func runInit(ctx context.Context, b []byte, shared *objects.Arrivals) (err error) {
	if len(b) == 0 {
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("initialiser panicked: %s\n\n%s", panicText(v), debug.Stack())
		}
	}()
	if len(b) < 4 || uint64(len(b)-4) < uint64(binary.LittleEndian.Uint32(b)) {
		return fmt.Errorf("read initialiser: cut short")
	}
	n := binary.LittleEndian.Uint32(b)
	name := string(b[4 : 4+n])
	registry.Lock()
	in := registry.inits[name]
	registry.Unlock()
	if in == nil {
		return fmt.Errorf("initialiser %q is not registered in the worker", name)
	}
	return in.run(ctx, append([]byte(nil), b[4+n:]...), shared)
}

// prepareWorker runs the initialiser in a goroutine of its own, so that one that ends it
// by runtime.Goexit does not end the worker's main goroutine.
func prepareWorker(b []byte, shared *objects.Arrivals) error {
	result := make(chan error, 1)
	go func() {
		err := errors.New("initialiser called runtime.Goexit")
		defer func() { result <- err }()
		err = runInit(context.Background(), b, shared)
	}()
	return <-result
}

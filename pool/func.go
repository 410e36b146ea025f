package pool

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shmkit/shmkit/internal/codec"
	"github.com/shmkit/shmkit/internal/layout"
)

// A Function is a function that runs in the workers of a pool: see [Func]. It is safe
// for concurrent use, by any number of pools.
type Function[In, Out any] struct {
	def   *definition
	fn    func(context.Context, In) (Out, error)
	in    *codec.Plan[In]
	out   *codec.Plan[Out]
	small bool      // In is pointer-free and fits a slot
	plain bool      // In and Out are pointer-free
	calls sync.Pool // of *Future[Out], for Call

	timeout time.Duration // of its tasks; 0: the pool's
	retries int           // of its tasks, plus 1; 0: the pool's

	inSize, outSize atomic.Int64 // of the last value that was encoded as CBOR

	arg In  // in a worker: the argument of its only task
	res Out // in a worker: the result of its only task
}

// A Codec turns values into bytes and back, for types that the built-in ways refuse
// or serve badly. Both methods may be called from several goroutines.
type Codec interface {
	Marshal(v any) ([]byte, error)
	Unmarshal(data []byte, v any) error
}

// A FuncOption changes how a function's values cross between processes.
type FuncOption func(*funcConfig)

type funcConfig struct{ codec codec.Codec }

// WithCodec encodes arguments and results with c.
func WithCodec(c Codec) FuncOption { return func(f *funcConfig) { f.codec = c } }

// Func registers fn under name as a function that runs in workers. Declare it as a
// package-level variable: parent and workers, which are the same program, then
// register the same. Func panics after Main, for a name that is taken, and for a
// type that cannot cross between processes exactly, naming its field.
//
// Values without pointers are copied as they are. Strings are copied. A slice of such
// values is, in the worker, a view of shared memory: valid, and its own to change,
// until fn returns (a copy, if the task has [Retries]); [MakeResult] is for large results. A *[Block], a *[Frozen] and, in arguments, a *shm.File cross by
// reference. Structs of these are taken apart; everything else goes through CBOR:
// maps, pointers (the graph becomes a tree), nested slices, types that marshal
// themselves. Channels, functions, interfaces and unexported fields are refused.
//
// fn's context ends when the caller's does. A panic in fn fails the task with a
// [*TaskError] and leaves the worker alive.
func Func[In, Out any](name string, fn func(context.Context, In) (Out, error), opts ...FuncOption) *Function[In, Out] {
	var c funcConfig
	for _, o := range opts {
		o(&c)
	}
	in, err := codec.For[In](c.codec, argumentRefers)
	if err != nil {
		panic(fmt.Sprintf("pool: Func %q: argument: %v; with WithCodec it may be any type", name, err))
	}
	out, err := codec.For[Out](c.codec, resultRefers)
	if err != nil {
		panic(fmt.Sprintf("pool: Func %q: result: %v; with WithCodec it may be any type", name, err))
	}
	f := &Function[In, Out]{fn: fn, in: in, out: out}
	f.small = in.Plain() && reflect.TypeFor[In]().Size() <= nearBytes
	f.plain = in.Plain() && out.Plain()
	f.calls.New = func() any {
		return &Future[Out]{promise: promise{more: &more{wake: make(chan struct{}, 1)}}}
	}
	f.def = register(&definition{name: name, fingerprint: in.Fingerprint()*31 + out.Fingerprint(),
		handler: f, out: out, result: out.Fixed(), lends: out.Lends(),
		itemArg: uint64(reflect.TypeFor[In]().Size()), itemResult: uint64(reflect.TypeFor[Out]().Size())})
	return f
}

// Name returns the name under which the function was registered.
func (f *Function[In, Out]) Name() string { return f.def.name }

// Call runs the function in a worker of p and waits for its result. When ctx ends, Call
// returns its error at once: a task that waits in the queue is then not run; one
// that runs has its own context ended, and its result is dropped.
func (f *Function[In, Out]) Call(ctx context.Context, p *Pool, in In) (Out, error) {
	fut := f.calls.Get().(*Future[Out])
	fut.origin = &p.origins[f.def.id]
	_, err := f.submit(ctx, p, fut, in)
	if err == nil {
		err = p.await(ctx, &fut.promise)
	}
	if err != nil {
		p.abandon(&fut.promise, err)
		if f.out.Handles() {
			p.mu.Lock()
			fut.discard() // it may have come at the last moment
			p.mu.Unlock()
		}
		var zero Out
		return zero, err
	}
	out, err := fut.result()
	fut.recycle()
	f.calls.Put(fut)
	return out, err
}

// Go starts the function in a worker of p and returns a Future. It waits only while
// the pool's queue or memory is full. ctx governs the task, also after Go has returned:
// when it ends, so does the task, as with Call.
func (f *Function[In, Out]) Go(ctx context.Context, p *Pool, in In) (*Future[Out], error) {
	return f.submit(ctx, p, nil, in)
}

// submit hands the task to the pool. It returns fut or, if that is nil, a new future.
func (f *Function[In, Out]) submit(ctx context.Context, p *Pool, fut *Future[Out], in In) (*Future[Out], error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !f.small {
		return f.submitEncoded(ctx, p, fut, in)
	}
	p.mu.Lock()
	i, err := p.slot(ctx)
	if err != nil {
		p.mu.Unlock()
		return nil, err
	}
	fut = f.place(ctx, p, i, fut, in)
	p.mu.Unlock()
	return fut, nil
}

// place is submit once there is a slot, for a small argument. The caller holds mu.
func (f *Function[In, Out]) place(ctx context.Context, p *Pool, i uint32, fut *Future[Out], in In) *Future[Out] {
	s := &p.mem.slots[i]
	b := layout.Bytes(&in)
	s.argLen = uint64(len(b))
	if len(b) <= inlineBytes {
		s.argKind = inline
		copy(s.arg[:], b)
	} else {
		s.argKind = near
		copy(p.mem.argNear(i), b)
	}
	if fut == nil {
		fut = newFuture[Out](&p.origins[f.def.id])
	}
	p.entries[i].limit, p.entries[i].retries = p.limit(f.timeout), p.tries(f.retries)
	p.accept(ctx, &fut.promise, i, f.destination(fut))
	return fut
}

// destination is where a pointer-free result goes: the memory of the future's value.
func (f *Function[In, Out]) destination(fut *Future[Out]) []byte {
	if f.def.result == nil {
		return nil
	}
	return layout.Bytes(&fut.out)
}

// submitEncoded is submit for values whose size is known only when they are encoded.
//
//go:noinline
func (f *Function[In, Out]) submitEncoded(ctx context.Context, p *Pool, fut *Future[Out], in In) (*Future[Out], error) {
	if fut == nil {
		fut = &Future[Out]{promise: promise{origin: &p.origins[f.def.id]}}
	}
	for {
		switch err := f.send(ctx, p, fut, in); err {
		case nil:
			return fut, nil
		case errMoved:
		default:
			return nil, err
		}
		p.mu.Lock()
		err := p.awaitMove(ctx)
		p.mu.Unlock()
		if err != nil {
			return nil, err
		}
	}
}

// send packs an argument and submits it. At errMoved it has left nothing behind.
func (f *Function[In, Out]) send(ctx context.Context, p *Pool, fut *Future[Out], in In) error {
	a := parcel{limit: p.limit(f.timeout), tries: p.tries(f.retries)}
	err := f.pack(p, &a, in)
	defer func() { p.exit(a.users) }()
	if err != nil {
		return fmt.Errorf("%s: encode argument: %w", f.def.name, err)
	}
	return p.submitParcel(ctx, &fut.promise, f.destination(fut), &a)
}

// pack makes a parcel of an argument.
func (f *Function[In, Out]) pack(p *Pool, a *parcel, in In) (err error) {
	if f.in.Handles() {
		a.refs = &outgoing{p: p}
		a.value, err = f.in.Prepare(&in, a.refs)
		return err
	}
	if !f.in.CBOR() {
		a.value, err = f.in.Prepare(&in, nil)
		return err
	}
	a.value, err = f.in.PrepareIn(&in, nil, p.guess(f.inSize.Load(), a))
	if err != nil || !a.value.InPlace() {
		p.unguess(a)
	}
	f.inSize.Store(int64(a.value.Size()))
	return err
}

// serve implements handler.
func (f *Function[In, Out]) serve(ctx context.Context, arg []byte, out *answer) (err error) {
	if f.in.Handles() {
		if arg, err = out.worker.hold.begin(arg); err != nil {
			return fmt.Errorf("read argument: %w", err)
		}
	}
	if err := f.in.Decode(arg, &f.arg, out.slot.retried == 0, &out.worker.hold); err != nil {
		return fmt.Errorf("decode argument: %w", err)
	}
	f.res, err = f.fn(ctx, f.arg)
	if err == nil {
		err = f.reply(out)
	}
	if !f.plain { // the garbage collector may have them
		var in In
		var res Out
		f.arg, f.res = in, res
	}
	return err
}

// reply places the result.
func (f *Function[In, Out]) reply(out *answer) error {
	if f.out.Plain() {
		b := layout.Bytes(&f.res)
		dst, err := out.room(int64(len(b)))
		copy(dst, b)
		return err
	}
	if f.out.CBOR() {
		return f.replyCBOR(out)
	}
	h := &out.worker.hold
	h.prepare()
	enc, err := f.out.Prepare(&f.res, h)
	if err != nil {
		return fmt.Errorf("encode result: %w", err)
	}
	n := enc.Size()
	if f.def.lends {
		n += tableBytes(len(h.refs))
	}
	dst, err := out.room(int64(n))
	if err != nil {
		return err
	}
	if f.def.lends {
		dst = putTable(dst, h.refs)
	}
	enc.CopyTo(dst)
	return nil
}

// replyCBOR encodes a result that is as large as the last one where it stays.
func (f *Function[In, Out]) replyCBOR(out *answer) error {
	b := out.guess(f.outSize.Load())
	enc, err := f.out.PrepareIn(&f.res, nil, out.worker.store.Bytes(b))
	if err == nil && enc.InPlace() {
		f.outSize.Store(int64(enc.Size()))
		out.place(b, int64(enc.Size()))
		return nil
	}
	if b.Cap > 0 {
		out.worker.free(b)
	}
	if err != nil {
		return fmt.Errorf("encode result: %w", err)
	}
	f.outSize.Store(int64(enc.Size()))
	dst, err := out.room(int64(enc.Size()))
	if err != nil {
		return err
	}
	enc.CopyTo(dst)
	return nil
}

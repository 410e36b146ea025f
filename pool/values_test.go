//go:build linux && (amd64 || arm64)

package pool

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type point struct {
	X, Y  float64
	Label [4]byte
	Ok    bool
}

type flat struct {
	Name   string
	Values []int32
	P      point
}

type tree struct {
	Left, Right *tree
	Tags        map[string][]int
}

type large struct{ Data [32]uint64 }

type none struct{}

func identity[T any](name string) *Function[T, T] {
	return Func(name, func(_ context.Context, v T) (T, error) { return v, nil })
}

var (
	square     = Func("square", func(_ context.Context, x int) (int, error) { return x * x, nil })
	echoInt    = identity[int]("echo int")
	echoBool   = identity[bool]("echo bool")
	echoNone   = identity[none]("echo none")
	echoPoint  = identity[point]("echo point")
	echoLarge  = identity[large]("echo large")
	echoHuge   = identity[[4096]uint64]("echo huge")
	echoString = identity[string]("echo string")
	echoBytes  = identity[[]byte]("echo bytes")
	echoFloats = identity[[]float64]("echo floats")
	echoFlat   = identity[flat]("echo flat")
	echoTree   = identity[*tree]("echo tree")
	echoTime   = identity[time.Time]("echo time")
	grow       = Func("grow", func(_ context.Context, n int) ([]byte, error) { return bytes.Repeat([]byte{7}, n), nil })
	count      = Func("count", func(_ context.Context, b []byte) (int, error) { return len(b), nil })
)

// same sends each value through a worker and back.
func same[T any](t *testing.T, p *Pool, f *Function[T, T], values ...T) {
	t.Helper()
	for _, v := range values {
		got, err := f.Call(t.Context(), p, v)
		require.NoError(t, err, f.Name())
		require.Equal(t, v, got, f.Name())
	}
}

func TestValuesCrossExactly(t *testing.T) {
	p := start(t, Options{Workers: 2, Name: "values"})
	same(t, p, echoInt, 0, -1, 1<<62)
	same(t, p, echoBool, true, false)
	same(t, p, echoNone, none{})
	same(t, p, echoPoint, point{1, -2.5, [4]byte{1, 2, 3, 4}, true})
	same(t, p, echoLarge, large{[32]uint64{0: 1, 31: 2}})
	same(t, p, echoHuge, [4096]uint64{0: 1, 4095: 2})
	same(t, p, echoString, "", "a", strings.Repeat("long ", 10_000), "\xff\x00")
	same(t, p, echoBytes, nil, []byte{}, []byte("abc"))
	same(t, p, echoFloats, nil, []float64{}, []float64{1, 2, 3})
	same(t, p, echoFlat, flat{}, flat{"n", []int32{1, 2}, point{Ok: true}}, flat{Name: "", Values: []int32{}})
	same(t, p, echoTree, nil, &tree{Left: &tree{Tags: map[string][]int{"a": {1}, "b": nil}}})
	now := time.Now().Round(0)
	got, err := echoTime.Call(t.Context(), p, now)
	require.NoError(t, err)
	require.True(t, now.Equal(got))
}

// Sizes around every border: in the slot, beside it, in a region; copied under the lock
// and not.
func TestSizes(t *testing.T) {
	p := start(t, Options{Workers: 2})
	for _, n := range []int{0, 1, 7, 8, 9, inlineBytes, inlineBytes + 1, nearBytes - 8, nearBytes, nearBytes + 1,
		pageBytes, copyHere - 8, copyHere, copyHere + 1, 1 << 20, 17<<20 + 3} {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rand.Uint32())
		}
		got, err := echoBytes.Call(t.Context(), p, b)
		require.NoError(t, err)
		require.True(t, bytes.Equal(b, got), "%d bytes", n)
		m, err := count.Call(t.Context(), p, b)
		require.NoError(t, err)
		require.Equal(t, n, m)
		out, err := grow.Call(t.Context(), p, n)
		require.NoError(t, err)
		require.Len(t, out, n)
	}
}

// Arguments and results of all sizes come and go, and at the end nothing is taken.
func TestMemoryEmptiesItself(t *testing.T) {
	p := start(t, Options{Workers: 2, Memory: 8 << 20})
	var fs []*Future[[]byte]
	for i := range 400 {
		f, err := echoBytes.Go(t.Context(), p, make([]byte, (i*7919)%(1<<20)))
		require.NoError(t, err)
		fs = append(fs, f)
	}
	for i, f := range fs {
		b, err := f.Wait(t.Context())
		require.NoError(t, err)
		require.Len(t, b, (i*7919)%(1<<20))
	}
	requireNoBlocks(t, p)
	p.mu.Lock()
	defer p.mu.Unlock()
	assert.Zero(t, p.outstanding)
	assert.Len(t, p.freeSlots, p.opts.Queue)
}

func TestArgumentTooLarge(t *testing.T) {
	p := start(t, Options{Workers: 1, Memory: 1 << 20})
	_, err := count.Call(t.Context(), p, make([]byte, 2<<20))
	require.ErrorIs(t, err, ErrTooLarge)
	require.ErrorContains(t, err, "the arena has 1048576")
	_, err = grow.Call(t.Context(), p, 2<<20)
	require.ErrorContains(t, err, "place result of 2097168 bytes")
	same(t, p, echoInt, 5)
}

// An argument that does not fit now waits, and gives up with its context.
func TestMemoryFull(t *testing.T) {
	p := start(t, Options{Workers: 1, Memory: 1 << 20})
	release := hold(t, p)
	f, err := count.Go(t.Context(), p, make([]byte, 900<<10))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = count.Go(ctx, p, make([]byte, 900<<10))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	waited := make(chan error, 1)
	go func() {
		_, err := count.Call(context.Background(), p, make([]byte, 900<<10))
		waited <- err
	}()
	release()
	_, err = f.Wait(t.Context())
	require.NoError(t, err)
	require.NoError(t, receive(t, waited))
}

// A view that a function changes is its own affair: the caller's slice stays as it was.
var scribble = Func("scribble", func(_ context.Context, b []byte) (int, error) {
	for i := range b {
		b[i] = 0xee
	}
	return len(b), nil
})

func TestArgumentsAreCopied(t *testing.T) {
	p := start(t, Options{Workers: 1})
	for _, n := range []int{3, 100, 100_000} {
		b := make([]byte, n)
		_, err := scribble.Call(t.Context(), p, b)
		require.NoError(t, err)
		require.Equal(t, make([]byte, n), b)
	}
}

func TestCyclicValue(t *testing.T) {
	p := start(t, Options{Workers: 1})
	loop := &tree{}
	loop.Left = &tree{Right: loop}
	_, err := echoTree.Call(t.Context(), p, loop)
	require.ErrorContains(t, err, "cycl")
	require.ErrorContains(t, err, "echo tree: encode argument")
	require.Zero(t, p.Stats().Accepted)
}

// A codec of the user's own carries what nothing else can.
type upper struct{}

func (upper) Marshal(v any) ([]byte, error) { return fmt.Appendf(nil, "%v", v), nil }
func (upper) Unmarshal(b []byte, v any) error {
	*v.(*any) = strings.ToUpper(string(b))
	return nil
}

var echoAny = Func("echo any", func(_ context.Context, v any) (any, error) { return v, nil }, WithCodec(upper{}))

func TestOwnCodec(t *testing.T) {
	p := start(t, Options{Workers: 1})
	v, err := echoAny.Call(t.Context(), p, "abc")
	require.NoError(t, err)
	require.Equal(t, "ABC", v)
}

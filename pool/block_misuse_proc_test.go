//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// outlived is what a goroutine that outlives its task says, and next is closed by the task after it: a context ends a moment before
// what its task had is let go of, and the next task begins after that. Used in a worker.
var (
	outlived = make(chan string, 1)
	next     = make(chan struct{})
)

func init() {
	hauls["outlive"] = func(ctx context.Context, in freight, out *haulage) error {
		own, spare := makeWords(ctx, 10), makeWords(ctx, 10)
		go func() {
			<-ctx.Done()
			<-next
			var said []string
			for _, use := range []func(){in.Own.B.Release, own.Release, func() { spare.Freeze() }, func() { in.Own.B2.Slice() }} {
				said = append(said, panicOf(use))
			}
			_, err := NewBlock[uint64](ctx, nil, 1)
			said = append(said, fmt.Sprint(err))
			_, err = MakeResult[byte](ctx, 1<<20)
			outlived <- strings.Join(append(said, fmt.Sprint(err)), "\n")
		}()
		return nil
	}
	hauls["listen"] = func(ctx context.Context, in freight, out *haulage) error {
		close(next)
		out.Note = <-outlived
		return nil
	}
}

// panicOf returns what f panics with.
func panicOf(f func()) (text string) {
	defer func() { text = fmt.Sprint(recover()) }()
	f()
	return ""
}

// A handle that is not held says so, and what has become of it.
func TestUseOfLostHandles(t *testing.T) {
	p := start(t, Options{Workers: 1})
	uses := func(b *Block[uint64]) map[string]func() {
		return map[string]func(){"Slice": func() { b.Slice() }, "Len": func() { b.Len() }, "Release": b.Release, "Freeze": func() { b.Freeze() }}
	}
	released, moved, frozen := newWords(t, p, 2), newWords(t, p, 2), newWords(t, p, 2)
	released.Release()
	in := freight{How: "return"}
	in.Own.B = moved
	out, err := haul.Call(t.Context(), p, in)
	require.NoError(t, err)
	f := frozen.Freeze()
	for want, b := range map[string]*Block[uint64]{
		"of a block of 16 bytes that was released":                      released,
		"of a block of 16 bytes that belonged to a task that has ended": moved,
		"of a block of 16 bytes that was frozen":                        frozen,
		"of a Block that was not made by NewBlock":                      {},
	} {
		require.False(t, b.Held())
		for name, use := range uses(b) {
			require.Equal(t, "pool: "+name+" "+want, panicOf(use))
		}
		in.Own.B = b
		_, err := haul.Call(t.Context(), p, in)
		require.Error(t, err)
		require.NotErrorIs(t, err, ErrWorkerDied)
	}
	require.False(t, (*Block[uint64])(nil).Held())
	f.Release()
	require.Equal(t, "pool: Slice of a frozen block of 16 bytes that was released", panicOf(func() { f.Slice() }))
	require.Equal(t, "pool: Release of a frozen block of 16 bytes that was released", panicOf(f.Release))
	require.Equal(t, "pool: Len of a Frozen that was not made by Freeze", panicOf(func() { new(Frozen[int]).Len() }))
	_, err = haul.Call(t.Context(), p, freight{How: "read", F: f})
	require.ErrorContains(t, err, "the block of 16 bytes was released")
	_, err = haul.Call(t.Context(), p, freight{How: "read", F: &Frozen[uint64]{}})
	require.ErrorContains(t, err, "was not made")

	in.Own.B, in.Own.B2 = out.B, out.B
	_, err = haul.Call(t.Context(), p, in)
	require.ErrorContains(t, err, "is there twice")
	require.ErrorContains(t, err, "B2")
	requireWords(t, out.B.Slice(), 2, 5)
	out.B.Release()
	requireNothingHeld(t, p)
	require.Zero(t, p.Stats().Deaths)
}

// One of many who release a block at the same time does, and the others panic.
func TestReleaseAtOnce(t *testing.T) {
	p := start(t, Options{Workers: 1})
	for range 100 {
		b := newWords(t, p, 10)
		var panics sync.Map
		var wg sync.WaitGroup
		for k := range 4 {
			wg.Go(func() {
				if text := panicOf(b.Release); text != "<nil>" {
					panics.Store(k, text)
				}
			})
		}
		wg.Wait()
		n := 0
		panics.Range(func(any, any) bool { n++; return true })
		require.Equal(t, 3, n)
	}
	requireNothingHeld(t, p)
}

// What a goroutine that outlives its task does with the task's blocks harms nobody.
func TestHandlesOutliveTheirTask(t *testing.T) {
	p := start(t, Options{Workers: 1})
	in := laden(t, p, "outlive", 10)
	in.Own.B2 = newWords(t, p, 10)
	_, err := haul.Call(t.Context(), p, in)
	require.NoError(t, err)
	out, err := haul.Call(t.Context(), p, freight{How: "listen"})
	require.NoError(t, err)
	said := strings.Split(out.Note, "\n")
	require.Len(t, said, 6)
	for i, name := range []string{"Release", "Release", "Freeze", "Slice"} {
		require.Equal(t, "pool: "+name+" of a block of 80 bytes that belonged to a task that has ended", said[i])
	}
	require.Equal(t, "new block of 8 bytes: context canceled", said[4])
	require.Equal(t, "make result of 1048576 bytes: context canceled", said[5])
	requireNothingHeld(t, p)
}

type latched struct {
	N  int
	Mu sync.Mutex
}

// Only values that mean the same in every process, whatever their bytes, can be in blocks.
func TestTypesOfBlocks(t *testing.T) {
	p := start(t, Options{Workers: 1})
	for want, make := range map[string]func(){
		"bool":                 func() { NewBlock[bool](t.Context(), p, 1) },
		"*int":                 func() { TryNewBlock[*int](p, 1) },
		"string":               func() { NewBlock[struct{ S string }](t.Context(), p, 1) },
		"[]int":                func() { NewBlock[[]int](t.Context(), p, 1) },
		"latched.Mu is a lock": func() { NewBlock[latched](t.Context(), p, 1) },
		"has no bytes":         func() { NewBlock[struct{}](t.Context(), p, 1) },
		"block of [0]int":      func() { NewBlock[[0]int](t.Context(), p, 1) },
		"map[int]int":          func() { MakeResult[map[int]int](t.Context(), 1) },
	} {
		text := panicOf(make)
		require.Contains(t, text, "pool: block of ")
		require.Contains(t, text, want)
	}
	for _, n := range []int{-1, 1 << 62} {
		_, err := NewBlock[uint64](t.Context(), p, n)
		require.ErrorIs(t, err, errBadLength)
		_, ok := TryNewBlock[uint64](p, n)
		require.False(t, ok)
		_, err = MakeResult[uint64](t.Context(), n)
		require.ErrorIs(t, err, errBadLength)
	}
}

type (
	inSlice  struct{ Many []*Block[int] }
	inMap    struct{ ByName map[string]*Block[int] }
	inNested struct{ Deep struct{ Flags *Frozen[bool] } }
)

// Func refuses blocks where they cannot be found, and those of types that cannot be.
func TestFuncRefusesBlocks(t *testing.T) {
	for want, register := range map[string]func(){
		"Many":                 func() { Func("refused", func(context.Context, inSlice) (int, error) { return 0, nil }) },
		"ByName":               func() { Func("refused", func(context.Context, int) (inMap, error) { return inMap{}, nil }) },
		"Deep.Flags":           func() { Func("refused", func(context.Context, inNested) (int, error) { return 0, nil }) },
		"bool":                 func() { Func("refused", func(context.Context, *Block[bool]) (int, error) { return 0, nil }) },
		"has no bytes":         func() { Func("refused", func(context.Context, int) (*Block[none], error) { return nil, nil }) },
		"latched.Mu is a lock": func() { Func("refused", func(context.Context, int) (*Block[latched], error) { return nil, nil }) },
		"Block[int].core":      func() { Func("refused", func(context.Context, Block[int]) (int, error) { return 0, nil }) },
	} {
		text := panicOf(register)
		require.Contains(t, text, `pool: Func "refused"`)
		require.Contains(t, text, want)
	}
}

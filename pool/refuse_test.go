//go:build linux && (amd64 || arm64)

package pool

//lint:file-ignore U1000 fields that are there for their types

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/shm"
)

type withChannel struct{ Inner struct{ C chan int } }
type withHidden struct {
	Name   string
	hidden string
}
type withLock struct{ Mu sync.Mutex }

func nop[T any](context.Context, T) (int, error)      { return 0, nil }
func give[T any](context.Context, int) (v T, e error) { return }

// Main has run in this process, so these registrations would be refused for that, if
// their types were not refused before.
func TestRefusedTypes(t *testing.T) {
	for name, tt := range map[string]struct {
		register func()
		says     []string
	}{
		"channel":  {func() { Func("x", nop[withChannel]) }, []string{`Func "x": argument`, "pool.withChannel", "Inner.C", "chan", "WithCodec"}},
		"function": {func() { Func("x", give[func()]) }, []string{`Func "x": result`, "func()", "WithCodec"}},
		"hidden":   {func() { Func("x", nop[withHidden]) }, []string{"pool.withHidden", "hidden"}},
		"any":      {func() { Func("x", nop[any]) }, []string{"interface"}},
		"error":    {func() { Func("x", give[map[string]error]) }, []string{"error"}},
		"lock":     {func() { Func("x", nop[withLock]) }, []string{"Mu"}},
		"init":     {func() { InitFunc("x", func(context.Context, chan int) error { return nil }) }, []string{`InitFunc "x"`, "chan"}},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				text := fmt.Sprint(recover())
				for _, part := range tt.says {
					assert.Contains(t, text, part)
				}
			}()
			tt.register()
		})
	}
}

func TestRegisterAfterMain(t *testing.T) {
	require.PanicsWithValue(t, `pool: Func "late" after pool.Main: make it a package-level variable`,
		func() { Func("late", nop[int]) })
	require.PanicsWithValue(t, `pool: InitFunc "late" after pool.Main: make it a package-level variable`,
		func() { InitFunc("late", func(context.Context, int) error { return nil }) })
	require.PanicsWithValue(t, `pool: RegisterError "late" after pool.Main: make it a package-level variable`,
		func() { RegisterError("late", errors.New("x")) })
}

func init() {
	programs["no main"] = func() {
		p, err := New(Options{})
		fmt.Printf("%v %v %v\n", p == nil, errors.Is(err, ErrMain), err)
	}
	programs["name twice"] = func() { Func("square", nop[int]) }
	programs["empty name"] = func() { Func("", nop[int]) }
}

// program runs one of programs in a process of its own.
func program(t *testing.T, name string) (output string, err error) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asProgram+"="+name)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	return out.String(), err
}

func TestNewWithoutMain(t *testing.T) {
	out, err := program(t, "no main")
	require.NoError(t, err, out)
	require.Equal(t, "true true new pool: pool.Main has not run: call pool.Main() first thing in main "+
		"(in tests: in TestMain)\n", strings.TrimPrefix(out, "\n"))
}

func TestNames(t *testing.T) {
	out, err := program(t, "name twice")
	require.Error(t, err)
	require.Contains(t, out, `panic: pool: Func "square" is registered twice`)
	out, err = program(t, "empty name")
	require.Error(t, err)
	require.Contains(t, out, "panic: pool: Func with an empty name")
}

func TestBadOptions(t *testing.T) {
	for want, o := range map[string]Options{
		"option Workers is -1":       {Workers: -1},
		"option Workers is 100000":   {Workers: 100_000},
		"option Queue is -5":         {Queue: -5},
		"option Queue is 1048577":    {Queue: maxSlots + 1},
		"option Memory is -1":        {Memory: -1},
		"option GOMAXPROCS is -2":    {GOMAXPROCS: -2},
		"option GOMEMLIMIT is -2":    {GOMEMLIMIT: -2},
		"no such file or directory":  {Dir: "/does/not/exist"},
		`"novalue" is not key=value`: {Env: []string{"novalue"}},
	} {
		p, err := New(o)
		require.ErrorContains(t, err, want)
		require.Nil(t, p)
	}
}

// More than the machine has is an error, not a SIGBUS, and nothing is allocated.
func TestTooLittleMemory(t *testing.T) {
	p := start(t, Options{Workers: 1, Memory: 1 << 40})
	_, _, err := p.allocate(t.Context(), sys.MemoryFree(math.MaxInt64)+1<<30)
	require.ErrorIs(t, err, shm.ErrNoMemory)
	requireNoBlocks(t, p)
	same(t, p, echoInt, 1)
}

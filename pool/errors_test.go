//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var errOurs = RegisterError("pool_test.errOurs", errors.New("ours"))

type badError struct{}

func (badError) Error() string { panic("no text") }

type badIs struct{}

func (badIs) Error() string { return "bad is" }
func (badIs) Is(error) bool { panic("no answer") }

var misbehave = Func("misbehave", func(_ context.Context, how string) (int, error) {
	switch how {
	case "error":
		return 0, errors.New("plain")
	case "sentinel":
		return 0, fmt.Errorf("open: %w", errors.Join(errOurs, fs.ErrNotExist))
	case "long":
		return 0, errors.New(strings.Repeat("x", 1<<20))
	case "panic":
		panic("boom")
	case "panic error":
		panic(errOurs)
	case "nil map":
		m := map[string]int{"x": 1}
		if how != "" {
			m = nil
		}
		m["x"] = 1
	case "goexit":
		runtime.Goexit()
	case "panic bad error":
		panic(badIs{})
	case "bad error":
		return 0, badError{}
	case "exit 0":
		os.Exit(0)
	}
	return 1, nil
})

func TestTaskErrors(t *testing.T) {
	p := start(t, Options{Workers: 1})
	for how, text := range map[string]string{
		"error":           "misbehave: plain",
		"sentinel":        "misbehave: open: ours\nfile does not exist",
		"long":            "misbehave: " + strings.Repeat("x", 1<<20),
		"panic":           "misbehave: panic: boom",
		"panic error":     "misbehave: panic: ours",
		"nil map":         "misbehave: panic: assignment to entry in nil map",
		"goexit":          "misbehave: the task called runtime.Goexit",
		"panic bad error": "misbehave: panic: bad is",
		"bad error":       "misbehave: (pool.badError, whose Error method panicked: no text)",
	} {
		t.Run(how, func(t *testing.T) {
			_, err := misbehave.Call(t.Context(), p, how)
			require.EqualError(t, err, text)
			var task *TaskError
			require.ErrorAs(t, err, &task)
			require.Equal(t, "misbehave", task.Func)
			panicked := strings.Contains(text, "panic: ")
			require.Equal(t, panicked, task.Panicked)
			require.Equal(t, panicked, strings.Contains(task.Stack, "errors_test.go"), task.Stack)
			require.Equal(t, strings.Contains(text, "ours"), errors.Is(err, errOurs))
			require.Equal(t, how == "sentinel", errors.Is(err, fs.ErrNotExist))
		})
	}
	require.Zero(t, p.Stats().Deaths, "an error or a panic leaves the worker alive")
	same(t, p, echoInt, 1)
}

// Failed tasks share no error.
// Seen in CPython's test_concurrent_futures.
func TestErrorsAreNotShared(t *testing.T) {
	p := start(t, Options{Workers: 1})
	_, first := misbehave.Call(t.Context(), p, "error")
	_, second := misbehave.Call(t.Context(), p, "error")
	require.Equal(t, first, second)
	require.NotSame(t, first, second)
}

// Registered on one side only, or with other types, as a condition in the program's
// start can do it.
var onlyParent, different = func() (a, b *Function[int, int]) {
	same := func(_ context.Context, x int) (int, error) { return x, nil }
	if os.Getenv(workerEnv) != "" {
		Func("different", func(_ context.Context, x string) (int, error) { return len(x), nil })
		return nil, nil
	}
	return Func("only parent", same), Func("different", same)
}()

func TestFunctionUnknownToWorker(t *testing.T) {
	p := start(t, Options{Workers: 1})
	_, err := onlyParent.Call(t.Context(), p, 1)
	require.ErrorContains(t, err, `function "only parent" is not registered in the worker`)
	_, err = different.Call(t.Context(), p, 1)
	require.ErrorContains(t, err, `function "different" has other argument or result types in the worker`)
	same(t, p, echoInt, 1)
}

func TestHeadline(t *testing.T) {
	const frames = "runtime.throw({0xd469ef?, 0x21b0?})\n\t/go/panic.go:1229 +0x48\nruntime.(*mcache).allocLarge(0x13f?, 0x1)\n\t/go/mcache.go:259 +0x18d\n"
	for traceback, want := range map[string]string{
		"": "",
		"panic: boom\n\ngoroutine 1 [running]:\n" + frames:                                                      "panic: boom",
		"goroutine 13 gp=0x2 m=0 [running]:\n" + frames:                                                         "fatal error in runtime.(*mcache).allocLarge",
		"runtime stack:\n" + frames + "main.main()\n":                                                           "fatal error in runtime.(*mcache).allocLarge",
		"goroutine 1 [running]:\ninternal/runtime/maps.fatal({0x1, 0x2})\n\t/go/panic.go:1 +0x1\nmain.f(...)\n": "fatal error in main.f",
		"goroutine 1 [running]:\n" + strings.SplitAfter(frames, "\n")[0]:                                        "goroutine 1 [running]:",
		"goroutine 1 [running]:\nmain.throw(0x1)\n\t/a(b).go:1 +0x1\n\n":                                        "goroutine 1 [running]:",
		"cannot start: attach segment: map 8 bytes of \"x\": no memory":                                         "cannot start: attach segment: map 8 bytes of \"x\": no memory",
	} {
		require.Equal(t, want, headline(traceback))
	}
}

//go:build linux && (amd64 || arm64)

package pool_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/shmkit/shmkit/pool"
)

// Functions are package-level variables: the workers, being the same program, register
// the same. TestMain calls pool.Main, as main does in a program.
var (
	double = pool.Func("example.double", func(_ context.Context, x int) (int, error) { return 2 * x, nil })

	errEmpty = pool.RegisterError("example.errEmpty", errors.New("empty"))

	first = pool.Func("example.first", func(_ context.Context, words []string) (string, error) {
		if len(words) == 0 {
			return "", fmt.Errorf("first word: %w", errEmpty)
		}
		return words[0], nil
	})

	exit = pool.Func("example.exit", func(_ context.Context, code int) (int, error) {
		os.Exit(code)
		return 0, nil
	})

	prefix  = "not set: "
	prepare = pool.InitFunc("example.prepare", func(_ context.Context, p string) error {
		prefix = p
		return nil
	})
	prefixed = pool.Func("example.prefixed", func(_ context.Context, s string) (string, error) { return prefix + s, nil })

	upper = pool.Local(func() (*strings.Replacer, error) { return strings.NewReplacer("a", "A", "b", "B"), nil })
	shout = pool.Func("example.shout", func(_ context.Context, s string) (string, error) {
		r, err := upper.Get()
		if err != nil {
			return "", err
		}
		return r.Replace(s), nil
	})
)

func newPool(o pool.Options) *pool.Pool {
	p, err := pool.New(o)
	if err != nil {
		panic(err)
	}
	return p
}

func ExampleFunction_Call() {
	p := newPool(pool.Options{Workers: 1})
	defer p.Close()
	fmt.Println(double.Call(context.Background(), p, 21))
	// Output: 42 <nil>
}

func ExampleFunction_Go() {
	p := newPool(pool.Options{Workers: 2})
	defer p.Close()
	ctx := context.Background()
	f, err := double.Go(ctx, p, 4)
	if err != nil {
		panic(err)
	}
	<-f.Done() // or in a select
	fmt.Println(f.Wait(ctx))
	// Output: 8 <nil>
}

// A call with settings of its own: it may take a second, and is tried again, twice, if its worker dies.
func ExampleFunction_With() {
	p := newPool(pool.Options{Workers: 1})
	defer p.Close()
	careful := double.With(pool.Timeout(time.Second), pool.Retries(2))
	fmt.Println(careful.Call(context.Background(), p, 21))
	// Output: 42 <nil>
}

func ExampleFunction_Map() {
	p := newPool(pool.Options{Workers: 2})
	defer p.Close()
	for y, err := range double.Map(context.Background(), p, slices.Values([]int{1, 2, 3})) {
		fmt.Println(y, err)
	}
	// Output:
	// 2 <nil>
	// 4 <nil>
	// 6 <nil>
}

func ExampleFunction_MapUnordered() {
	p := newPool(pool.Options{Workers: 2})
	defer p.Close()
	sum := 0
	for r := range double.MapUnordered(context.Background(), p, slices.Values([]int{1, 2, 3})) {
		sum += r.Out
	}
	fmt.Println(sum)
	// Output: 12
}

func ExampleAsCompleted() {
	p := newPool(pool.Options{Workers: 2})
	defer p.Close()
	ctx := context.Background()
	var fs []*pool.Future[int]
	for x := range 3 {
		f, err := double.Go(ctx, p, x)
		if err != nil {
			panic(err)
		}
		fs = append(fs, f)
	}
	sum := 0
	for f := range pool.AsCompleted(ctx, fs...) {
		y, _ := f.Wait(ctx)
		sum += y
	}
	fmt.Println(sum)
	// Output: 6
}

func ExampleRegisterError() {
	p := newPool(pool.Options{Workers: 1})
	defer p.Close()
	_, err := first.Call(context.Background(), p, nil)
	fmt.Println(err)
	fmt.Println(errors.Is(err, errEmpty))
	// Output:
	// example.first: first word: empty
	// true
}

func ExampleWorkerDiedError() {
	p := newPool(pool.Options{Workers: 1})
	defer p.Close()
	_, err := exit.Call(context.Background(), p, 7)
	var died *pool.WorkerDiedError
	fmt.Println(errors.As(err, &died), died.ExitCode, died.Func)
	fmt.Println(double.Call(context.Background(), p, 1)) // by its replacement
	// Output:
	// true 7 example.exit
	// 2 <nil>
}

func ExampleInitFunc() {
	p := newPool(pool.Options{Workers: 1, Init: prepare.With("hello, ")})
	defer p.Close()
	fmt.Println(prefixed.Call(context.Background(), p, "world"))
	// Output: hello, world <nil>
}

func ExampleLocal() {
	p := newPool(pool.Options{Workers: 1})
	defer p.Close()
	fmt.Println(shout.Call(context.Background(), p, "cab"))
	// Output: cAB <nil>
}

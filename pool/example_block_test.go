//go:build linux && (amd64 || arm64)

package pool_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/shmkit/shmkit/pool"
	"github.com/shmkit/shmkit/shm"
)

// A span is an argument with values that cross by reference beside one that is copied.
type span struct {
	Weights *pool.Frozen[float64]
	From    int
	To      int
}

type part struct {
	File     *shm.File
	From, To int
}

var (
	halve = pool.Func("example.halve", func(_ context.Context, b *pool.Block[float64]) (*pool.Block[float64], error) {
		for i := range b.Slice() {
			b.Slice()[i] /= 2
		}
		return b, nil // back to the caller: a block that is not returned is freed
	})

	sum = pool.Func("example.sum", func(_ context.Context, s span) (total float64, err error) {
		for _, w := range s.Weights.Slice()[s.From:s.To] {
			total += w
		}
		return total, nil
	})

	squares = pool.Func("example.squares", func(ctx context.Context, n int) ([]uint64, error) {
		s, err := pool.MakeResult[uint64](ctx, n)
		for i := range s {
			s[i] = uint64(i * i)
		}
		return s, err
	})

	read = pool.Func("example.read", func(_ context.Context, p part) (string, error) {
		return string(p.File.Bytes()[p.From:p.To]), nil
	})
)

// A block is filled, handed to a task and comes back with the result. Nothing is copied.
func ExampleNewBlock() {
	p := newPool(pool.Options{Workers: 1})
	defer p.Close()
	ctx := context.Background()
	b, err := pool.NewBlock[float64](ctx, p, 3)
	if err != nil {
		panic(err)
	}
	copy(b.Slice(), []float64{1, 2, 3})
	out, err := halve.Call(ctx, p, b)
	if err != nil {
		panic(err)
	}
	fmt.Println(b.Held(), out.Slice())
	out.Release()
	// Output: false [0.5 1 1.5]
}

// Many tasks read one block.
func ExampleBlock_Freeze() {
	p := newPool(pool.Options{Workers: 2})
	defer p.Close()
	ctx := context.Background()
	b, err := pool.NewBlock[float64](ctx, p, 100)
	if err != nil {
		panic(err)
	}
	for i := range b.Slice() {
		b.Slice()[i] = float64(i)
	}
	weights := b.Freeze()
	var sums []*pool.Future[float64]
	for from := 0; from < 100; from += 25 {
		f, err := sum.Go(ctx, p, span{Weights: weights, From: from, To: from + 25})
		if err != nil {
			panic(err)
		}
		sums = append(sums, f)
	}
	weights.Release() // the tasks go on reading
	for _, f := range sums {
		fmt.Println(f.Wait(ctx))
	}
	// Output:
	// 300 <nil>
	// 925 <nil>
	// 1550 <nil>
	// 2175 <nil>
}

// A large result is made where it is fetched from.
func ExampleMakeResult() {
	p := newPool(pool.Options{Workers: 1})
	defer p.Close()
	s, err := squares.Call(context.Background(), p, 100_000)
	fmt.Println(len(s), s[99_999], err)
	// Output: 100000 9999800001 <nil>
}

// A file is opened once; the workers read the same pages of it.
func ExampleFunc_file() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "corpus.txt")
	if err := os.WriteFile(path, []byte("in the beginning"), 0o600); err != nil {
		panic(err)
	}
	p := newPool(pool.Options{Workers: 1})
	defer p.Close()
	f, err := shm.OpenFile(path)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	fmt.Println(read.Call(context.Background(), p, part{File: f, From: 7, To: 16}))
	// Output: beginning <nil>
}

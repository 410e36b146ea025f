//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// kept is what a task of this process has kept although it must not.
var kept struct {
	numbers []uint64
	bytes   []byte
}

var (
	keepBlock = Func("keep block", func(_ context.Context, b *Block[uint64]) (int, error) {
		kept.numbers = b.Slice()
		return len(kept.numbers), nil
	})
	keepFrozen = Func("keep frozen", func(_ context.Context, f *Frozen[uint64]) (int, error) {
		kept.numbers = f.Slice()
		return len(kept.numbers), nil
	})
	keepBytes = Func("keep bytes", func(_ context.Context, b []byte) (int, error) {
		kept.bytes = b
		return len(b), nil
	})
	useKept = Func("use kept", func(context.Context, none) (uint64, error) {
		if kept.bytes != nil {
			return uint64(kept.bytes[0]), nil
		}
		return kept.numbers[0], nil
	})
)

// lateUses are programs that use memory when it is no longer theirs. Each gets a pool with one worker.
var lateUses = map[string]func(ctx context.Context, p *Pool){
	"after release": func(ctx context.Context, p *Pool) {
		b := must(NewBlock[uint64](ctx, p, 100))
		s := b.Slice()
		b.Release()
		fmt.Println("late", s[0])
	},
	"after it was handed over": func(ctx context.Context, p *Pool) {
		b := must(NewBlock[uint64](ctx, p, 100))
		s := b.Slice()
		must(keepBlock.Call(ctx, p, b))
		fmt.Println("late", s[0])
	},
	"after the task": func(ctx context.Context, p *Pool) {
		must(keepBlock.Call(ctx, p, must(NewBlock[uint64](ctx, p, 100))))
		_, err := useKept.Call(ctx, p, none{})
		fmt.Println(err)
	},
	"frozen, after the task": func(ctx context.Context, p *Pool) {
		f := must(NewBlock[uint64](ctx, p, 100)).Freeze()
		must(keepFrozen.Call(ctx, p, f))
		_, err := useKept.Call(ctx, p, none{})
		fmt.Println(err)
	},
	"argument, after the task": func(ctx context.Context, p *Pool) {
		must(keepBytes.Call(ctx, p, make([]byte, 1000)))
		_, err := useKept.Call(ctx, p, none{})
		fmt.Println(err)
	},
}

func init() {
	for name, use := range lateUses {
		programs["late use "+name] = func() {
			Main()
			p := must(New(Options{Workers: 1}))
			use(context.Background(), p)
			must(0, p.Close())
		}
	}
	// All that crosses, with the guard.
	programs["guarded"] = func() {
		Main()
		ctx := context.Background()
		p := must(New(Options{Workers: 2}))
		for _, n := range []int{1, 100, 10_000, 100_000} {
			for range 3 {
				b := must(echoBlock.Call(ctx, p, must(NewBlock[float64](ctx, p, n))))
				b.Slice()[n-1]++
				f := b.Freeze()
				two := must(NewBlock[float64](ctx, p, n))
				out := must(scale.Call(ctx, p, operands{A: two, M: f, K: 1}))
				out.Slice()[n-1]++
				out.Release()
				f.Release()
				must(0, wantInt(len(must(inPlace.Call(ctx, p, n))), n))
				must(0, wantInt(len(must(echoBytes.Call(ctx, p, make([]byte, n)))), n))
				must(fresh.Call(ctx, p, n)).Release()
			}
		}
		i := 0
		for y, err := range square.Map(ctx, p, numbers(10_000)) {
			must(0, err)
			must(0, wantInt(y, i*i))
			i++
		}
		must(0, p.Close())
		fmt.Println("all is well")
	}
}

func wantInt(got, want int) error {
	if got != want {
		return fmt.Errorf("got %d, want %d", got, want)
	}
	return nil
}

// runGuarded runs a program with the guard or without it.
func runGuarded(t *testing.T, name, guard string) (output string, err error) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), asProgram+"="+name, guardKey+"="+guard)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// With the guard, a use of memory that comes too late faults at once; without it, it sees whatever is there.
func TestGuardFindsLateUses(t *testing.T) {
	t.Parallel()
	for name := range lateUses {
		t.Run(name, func(t *testing.T) {
			out, err := runGuarded(t, "late use "+name, "1")
			assert.Contains(t, out, "unexpected fault address")
			if name == "after release" || name == "after it was handed over" {
				require.Error(t, err, "the parent's own")
				require.NotContains(t, out, "late 0")
			} else {
				require.NoError(t, err, "only the worker's: %s", out)
				require.Contains(t, out, "while it ran use kept")
			}
			out, err = runGuarded(t, "late use "+name, "")
			require.NoError(t, err, out)
			require.NotContains(t, out, "fault")
		})
	}
}

// What is used in time is not disturbed.
func TestGuarded(t *testing.T) {
	t.Parallel()
	out, err := runGuarded(t, "guarded", "1")
	require.NoError(t, err, out)
	require.Contains(t, out, "all is well")
}

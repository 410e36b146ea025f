//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"fmt"
	"iter"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A dated block cannot be sent if its time has no exact form.
type dated struct {
	B  *Block[int]
	At time.Time
}

var (
	countUp = Func("count up", func(_ context.Context, d dated) (*Block[int], error) {
		d.B.Slice()[0]++
		return d.B, nil
	})

	noForm = time.Date(20_000, 1, 1, 0, 0, 0, 0, time.UTC)
)

// datedBlocks yields n blocks, made as they are asked for, and remembers them; every tenth cannot be sent if spoilt.
func datedBlocks(t *testing.T, p *Pool, n int, spoilt bool, made *[]*Block[int]) iter.Seq[dated] {
	return func(yield func(dated) bool) {
		for i := range n {
			b, err := NewBlock[int](context.Background(), p, 1000)
			if !assert.NoError(t, err) {
				return
			}
			*made = append(*made, b)
			b.Slice()[0] = i
			d := dated{B: b}
			if spoilt && i%10 == 9 {
				d.At = noForm
			}
			if !yield(d) {
				return
			}
		}
	}
}

// requireNothingLeft checks that neither the tasks nor the program have blocks.
func requireNothingLeft(t *testing.T, p *Pool) {
	t.Helper()
	eventually(t, "all blocks are freed", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.home.blocks == 0
	})
	requireNoBlocks(t, p)
}

// What a Map is given and does not hand over is freed, whenever and for whatever reason it ends; so are results that
// nobody sees.
func TestMapFreesItsBlocks(t *testing.T) {
	const n = 300
	for name, end := range map[string]func(i int, cancel func()) (leave bool){
		"complete": func(int, func()) bool { return false },
		"break":    func(i int, _ func()) bool { return i == 20 },
		"at once":  func(int, func()) bool { return true },
		"cancelled": func(i int, cancel func()) bool {
			if i == 20 {
				cancel()
			}
			return false
		},
	} {
		for _, ordered := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/ordered=%t", name, ordered), func(t *testing.T) {
				p := start(t, Options{Workers: 2})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var made []*Block[int]
				xs := datedBlocks(t, p, n, true, &made)
				i, seen := 0, 0
				take := func(out *Block[int], err error) bool {
					if err == nil {
						seen++
						out.Release()
					}
					i++
					return !end(i, cancel)
				}
				if ordered {
					for out, err := range countUp.Map(ctx, p, xs) {
						if !take(out, err) {
							break
						}
					}
				} else {
					for r := range countUp.MapUnordered(ctx, p, xs) {
						if r.Err != nil && r.Index >= 0 {
							require.True(t, r.In.B.Held(), "what never ran is the consumer's")
							r.In.B.Release()
						}
						if !take(r.Out, r.Err) {
							break
						}
					}
				}
				requireNothingLeft(t, p)
				if name == "complete" {
					require.Equal(t, n-n/10, seen)
					for _, b := range made {
						require.False(t, b.Held())
					}
				}
			})
		}
	}
}

// Tasks that wait when their Map ends have not run; their blocks are freed all the same, because nobody else has them.
func TestMapFreesWhatWaits(t *testing.T) {
	p := start(t, Options{Workers: 1})
	release := hold(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	var made []*Block[int]
	left := make(chan struct{})
	go func() {
		defer close(left)
		for range countUp.Map(ctx, p, datedBlocks(t, p, 50, false, &made)) {
		}
	}()
	eventually(t, "tasks wait", func() bool { return slotsThatAre(p, queued) > 10 })
	cancel()
	receive(t, left)
	requireNothingLeft(t, p)
	release()
}

// The blocks of a Map whose worker dies end with their tasks.
func TestMapOfBlocksAndDeaths(t *testing.T) {
	p := start(t, Options{Workers: 2})
	var made []*Block[int]
	lost := 0
	for r := range dieOdd.MapUnordered(t.Context(), p, datedBlocks(t, p, 20, false, &made)) {
		if r.Err != nil {
			var died *WorkerDiedError
			require.ErrorAs(t, r.Err, &died)
			require.Equal(t, 1, died.Blocks)
			require.ErrorContains(t, died, "blocks that it had been given, and that are freed: 1")
			require.False(t, r.In.B.Held())
			lost++
			continue
		}
		r.Out.Release()
	}
	require.Equal(t, 10, lost)
	requireNothingLeft(t, p)
}

var dieOdd = Func("die odd", func(_ context.Context, d dated) (*Block[int], error) {
	if d.B.Slice()[0]%2 == 1 {
		os.Exit(7)
	}
	return d.B, nil
})

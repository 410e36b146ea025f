package history

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
)

// A counter is the simplest object: Add returns what it was before.
var counter = Spec[int64, int64, int64]{Step: func(s, in int64, out *int64) (int64, bool) {
	return s + in, out == nil || *out == s
}}

// count plays a round in which goroutines add to a counter by add.
func count(t *testing.T, processes, operations int, add func(n int64) int64) []Operation[int64, int64] {
	mem := layout.SliceBytes(make([][layout.Line / 8]uint64, Size(processes, operations)/layout.Line))
	b, err := Open[int64, int64](mem, processes, operations)
	require.NoError(t, err)
	require.Equal(t, 1, b.Begin())
	var all sync.WaitGroup
	for i := range processes {
		all.Go(func() {
			for s := b.Scribe(i); !s.Full(0); {
				s.Do(int64(i+1), func() int64 { return add(int64(i + 1)) })
			}
		})
	}
	all.Wait()
	return b.Operations()
}

func TestAtomicCounter(t *testing.T) {
	var n atomic.Int64
	ops := count(t, 3, 10, func(d int64) int64 { return n.Add(d) - d })
	require.Len(t, ops, 30)
	counter.Require(t, ops)
}

// Two who read the same, as they do who load and store, were not one after the other.
func TestBrokenCounter(t *testing.T) {
	counter.Refuse(t, count(t, 2, 2, func(int64) int64 { return 0 }))
}

func operationOf(call, back, in, out int64) Operation[int64, int64] {
	return Operation[int64, int64]{Call: call, Return: back, In: in, Out: &out}
}

// What did not return may have happened at any time after its call, or never; not before.
func TestPending(t *testing.T) {
	lost := Operation[int64, int64]{Process: 1, Call: 3, Return: Never, In: 10}
	for name, tt := range map[string]struct {
		first, second, third int64
		ok                   bool
	}{
		"never":  {0, 1, 2, true},
		"soon":   {0, 11, 12, true},
		"later":  {0, 1, 12, true},
		"before": {10, 11, 12, false},
		"twice":  {0, 11, 22, false},
	} {
		t.Run(name, func(t *testing.T) {
			ops := []Operation[int64, int64]{operationOf(1, 2, 1, tt.first), lost, operationOf(4, 5, 1, tt.second), operationOf(6, 7, 1, tt.third)}
			if tt.ok {
				counter.Require(t, ops)
			} else {
				counter.Refuse(t, ops)
			}
			assert.Equal(t, 2, Overlaps(ops))
			assert.Contains(t, Text(ops), "process 1    3 to ...  10\n")
		})
	}
}

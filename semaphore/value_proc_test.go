//go:build linux && (amd64 || arm64)

package semaphore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/history"
	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/semaphore"
	"github.com/shmkit/shmkit/shm"
)

func init() {
	parts["count"] = countPart
	rehearse("values", semaphore.AttachValue[wide], func(v *semaphore.Value[wide], _ cue, by *history.Scribe[valueCall, int64]) {
		for !by.Full(0) {
			in := valueCall{valueOp(rand.IntN(3)), rand.Int64N(100)}
			by.Do(in, func() int64 { return doValue(v, in) })
		}
	})
}

// A wide value is whole if all of it is equal: it takes several lines, so that who is killed while it writes one often has written a part.
type wide [64]int64

func (w *wide) whole() error {
	for _, n := range w {
		if n != w[0] {
			return fmt.Errorf("torn: %v", *w)
		}
	}
	return nil
}

var countsAt = semaphore.ValueSize[wide]()

// told passes over the news of a death: the value is whole.
func told(err error) error {
	if errors.Is(err, semaphore.ErrOwnerDied) {
		return nil
	}
	return err
}

// countPart adds 1 to the value again and again, and then to a word of its own.
func countPart(f *os.File, process int) error {
	seg, err := shm.Attach(f)
	if err != nil {
		return err
	}
	v, err := semaphore.AttachValue[wide](seg.Bytes())
	if err != nil {
		return err
	}
	own := &layout.MustSlice[atomic.Int64](seg.Bytes(), countsAt, crowdSize)[process]
	for {
		var torn error
		if err := told(v.Update(context.Background(), func(x *wide) {
			torn = x.whole()
			for i := range x {
				x[i]++
			}
		})); err != nil || torn != nil {
			return errors.Join(err, torn)
		}
		own.Add(1)
	}
}

// Processes are killed at random: the value is whole at any time, and what is missing of their own counts is at most one for each death.
func TestValueKilled(t *testing.T) {
	seg := newSegment(t, countsAt+layout.Line)
	v, err := semaphore.NewValueAt(seg.Bytes(), wide{})
	require.NoError(t, err)
	players := make([]*history.Player, crowdSize)
	for i := range players {
		players[i] = history.Start(t, "count", seg.File(), i)
	}
	counts := layout.MustSlice[atomic.Int64](seg.Bytes(), countsAt, crowdSize)
	sum := func() (n int64) {
		for i := range counts {
			n += counts[i].Load()
		}
		return n
	}
	kills := history.Rounds(80)
	for k := range kills {
		was := sum()
		soonTrue(t, "they count", func() bool { return sum() > was+int64(rand.IntN(200)) })
		players[k%crowdSize].Kill()
		x, err := v.Load(t.Context())
		require.NoError(t, told(err))
		require.NoError(t, x.whole())
		players[k%crowdSize] = history.Start(t, "count", seg.File(), k%crowdSize)
	}
	for _, p := range players {
		p.Kill()
	}
	x, err := v.Load(t.Context())
	require.NoError(t, told(err))
	require.NoError(t, x.whole())
	missing := x[0] - sum()
	t.Logf("%d counted, %d of them by who was killed before it said so, %d kills", x[0], missing, kills+crowdSize)
	require.GreaterOrEqual(t, missing, int64(0))
	require.LessOrEqual(t, missing, int64(kills+crowdSize))
	require.NoError(t, v.Close())
}

// What is done with a value. Add returns what it made.
type valueCall struct {
	Op valueOp
	N  int64
}

type valueOp uint8

const (
	valueLoad valueOp = iota
	valueStore
	valueAdd
)

var valueSpec = history.Spec[int64, valueCall, int64]{
	Step: func(x int64, in valueCall, out *int64) (int64, bool) {
		switch in.Op {
		case valueStore:
			return in.N, true
		case valueAdd:
			x += in.N
		}
		return x, out == nil || *out == x
	},
}

func doValue(v *semaphore.Value[wide], in valueCall) (out int64) {
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	var x wide
	var err error
	switch in.Op {
	case valueLoad:
		x, err = v.Load(ctx)
	case valueStore:
		for i := range x {
			x[i] = in.N
		}
		err = v.Store(ctx, x)
	case valueAdd:
		err = v.Update(ctx, func(now *wide) {
			for i := range now {
				now[i] += in.N
			}
			x = *now
		})
	}
	if err := errors.Join(told(err), x.whole()); err != nil {
		panic(err)
	}
	return x[0]
}

func TestValueLinearizable(t *testing.T) { valueLinearizable(t, false, 200) }

// What a process that is killed was about to do is done or not, and never a part of it.
func TestValueLinearizableWithDeaths(t *testing.T) { valueLinearizable(t, true, 50) }

func valueLinearizable(t *testing.T, mortal bool, n int) {
	value := func(mem []byte) (io.Closer, error) { return semaphore.NewValueAt(mem, wide{}) }
	stageDrama[valueCall, int64](t, "values", mortal).linear(t, n, value, func(ops []history.Operation[valueCall, int64], _ int) bool {
		valueSpec.Require(t, ops)
		return true
	})
}

package history

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"
)

// An Operation is one that was called.
type Operation[In, Out any] struct {
	Process      int
	Call, Return int64 // by the book's clock
	In           In
	Out          *Out // nil if it did not return: then Return is as late as can be
}

// Never is the return of an operation that did not.
const Never = math.MaxInt64

// Operations returns what was noted since Begin, in the order of the calls.
func (b *Book[In, Out]) Operations() (all []Operation[In, Out]) {
	for i, page := range b.pages {
		for k := range page {
			l := &page[k]
			if l.call.Load() == 0 { // pairs with the store in Do
				break
			}
			op := Operation[In, Out]{Process: i, Call: int64(l.call.Load()), Return: Never, In: l.in}
			if r := l.returned.Load(); r != 0 { // pairs with the store in Do
				out := l.out
				op.Return, op.Out = int64(r), &out
			}
			all = append(all, op)
		}
	}
	slices.SortFunc(all, func(x, y Operation[In, Out]) int { return cmp.Compare(x.Call, y.Call) })
	return all
}

// A Spec is what an object does when its operations come one after the other, S being the state in which it is. Step returns the
// state after an operation, and whether it can have that outcome in the state before. An operation that did not return has none: Step
// then says what it does if it does anything, and must allow it in every state.
type Spec[S comparable, In, Out any] struct {
	Init S
	Step func(s S, in In, out *Out) (S, bool)
}

// decideWithin bounds the search in one history. Those of tests are short: it takes milliseconds.
const decideWithin = 10 * time.Second

// Check looks for an order of the operations, each at a moment between its call and its return, that the spec allows.
func (m Spec[S, In, Out]) Check(ops []Operation[In, Out]) porcupine.CheckResult {
	model := porcupine.Model{
		Init: func() any { return m.Init },
		Step: func(state, in, out any) (bool, any) {
			next, ok := m.Step(state.(S), in.(In), out.(*Out))
			return ok, next
		},
	}
	all := make([]porcupine.Operation, len(ops))
	for i, op := range ops {
		all[i] = porcupine.Operation{ClientId: op.Process, Input: op.In, Call: op.Call, Output: op.Out, Return: op.Return}
	}
	return porcupine.CheckOperationsTimeout(model, all, decideWithin)
}

// Require fails the test unless the spec is found to allow the operations.
func (m Spec[S, In, Out]) Require(t testing.TB, ops []Operation[In, Out]) {
	t.Helper()
	if got := m.Check(ops); got != porcupine.Ok {
		require.FailNow(t, string(got), "%s", Text(ops))
	}
}

// Refuse fails the test unless the spec is found not to allow the operations.
func (m Spec[S, In, Out]) Refuse(t testing.TB, ops []Operation[In, Out]) {
	t.Helper()
	if got := m.Check(ops); got != porcupine.Illegal {
		require.FailNow(t, string(got), "%s", Text(ops))
	}
}

// Text shows operations, one a line.
func Text[In, Out any](ops []Operation[In, Out]) string {
	var s strings.Builder
	for _, op := range ops {
		fmt.Fprintf(&s, "process %d  %3d to ", op.Process, op.Call)
		if op.Out == nil {
			fmt.Fprintf(&s, "...  %+v\n", op.In)
		} else {
			fmt.Fprintf(&s, "%3d  %+v: %+v\n", op.Return, op.In, *op.Out)
		}
	}
	return s.String()
}

// Overlaps counts the pairs of operations of which neither had returned when the other was called. Without any there is nothing to
// find.
func Overlaps[In, Out any](ops []Operation[In, Out]) (n int) {
	for i, first := range ops {
		for _, second := range ops[i+1:] {
			if second.Call < first.Return && second.Process != first.Process {
				n++
			}
		}
	}
	return n
}

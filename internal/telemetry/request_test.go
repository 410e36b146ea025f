package telemetry

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// What is put into a request comes out of it, and any word can be taken for one.
func TestRequests(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := Act(rapid.Uint64Range(0, 7).Draw(t, "act"))
		number := rapid.Uint64Range(0, 1<<60-1).Draw(t, "number")
		r := AboutTask(a, number)
		require.Equal(t, a, r.Act())
		require.Equal(t, number, r.Task())
		require.False(t, r.IsAnswer())

		incarnation := rapid.Uint32Range(0, 1<<20-1).Draw(t, "incarnation")
		length := time.Duration(rapid.Int64Range(0, int64(LongestProfile/time.Millisecond)).Draw(t, "ms")) * time.Millisecond
		q := AboutWorker(a, incarnation, length, rapid.Uint16().Draw(t, "nonce"))
		require.Equal(t, a, q.Act())
		require.Equal(t, incarnation, q.Incarnation())
		require.Equal(t, length, q.Length())
		require.NotEqual(t, q, AboutWorker(a, incarnation, length, uint16(q>>actBits)+1))

		any := Request(rapid.Uint64().Draw(t, "word"))
		answer := any.Answer(Act(rapid.Uint64Range(8, 15).Draw(t, "answer")))
		require.True(t, answer.IsAnswer())
		require.True(t, answer.Answers(any))
		require.Equal(t, any.Task(), answer.Task())
		require.False(t, answer.Answers(any^1<<actBits), "of another")
	})
	require.Equal(t, LongestProfile, AboutWorker(RecordProfile, 1, 1<<62, 0).Length())
	require.Zero(t, AboutWorker(RecordProfile, 1, -1, 0).Length())
}

// Of several who ask, one is first; an answer is for the request that stood there.
func TestRequestWord(t *testing.T) {
	var w Requests
	r, other := AboutTask(KillTask, 1), AboutTask(KillTask, 2)
	_, ok := w.Pending()
	require.False(t, ok)
	require.True(t, w.Ask(0, r))
	require.False(t, w.Ask(0, other))
	got, ok := w.Pending()
	require.True(t, ok)
	require.Equal(t, r, got)
	w.Reply(other, Done) // too late
	require.Equal(t, r, w.Look())
	w.Reply(r, Missing)
	require.True(t, w.Look().Answers(r))
	_, ok = w.Pending()
	require.False(t, ok)
	require.False(t, w.Fetch(r))
	require.True(t, w.Ask(w.Look(), other))
	require.True(t, w.Fetch(other))
	require.Zero(t, w.Look())
}

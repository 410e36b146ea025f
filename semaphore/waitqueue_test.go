package semaphore

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A server that was woken for a waiter tries for it before that one can leave: if it
// left in between, nobody would know that the wake-up was not used. The test is the
// server here.
func TestWokenServerTriesBeforeAnybodyCanLeave(t *testing.T) {
	var word atomic.Uint32
	q := NewWaitqueue()
	free := false
	w := &waiter{on: EventcountOn(&word), try: func() bool { return free }}
	require.True(t, q.join(w), "it serves itself")
	require.True(t, q.commit(w), "nothing is free: sleep")
	free = true
	assert.False(t, q.awake(w), "the wake-up was used")
	assert.True(t, w.served)
	assert.False(t, q.leave(w), "served, so it cannot leave unserved")
	assert.False(t, q.advance(w))
	q.Drain()
}

// A wake-up for one who left is used by the next who waits for the same, and by
// nobody else.
func TestWakeUpOfOneWhoLeft(t *testing.T) {
	var one, other atomic.Uint32
	for name, tt := range map[string]struct {
		next   []*atomic.Uint32
		unused bool
	}{
		"nobody next":                {nil, true},
		"next waits for the same":    {[]*atomic.Uint32{&one}, false},
		"next waits for another one": {[]*atomic.Uint32{&other, &one}, true},
	} {
		t.Run(name, func(t *testing.T) {
			q := NewWaitqueue()
			never := func() bool { return false }
			gone := &waiter{on: EventcountOn(&one), try: never}
			q.join(gone)
			for _, word := range tt.next {
				q.join(&waiter{on: EventcountOn(word), try: never})
			}
			require.True(t, q.commit(gone))
			require.False(t, q.leave(gone))
			assert.Equal(t, tt.unused, q.awake(gone))
		})
	}
}

// A wait that was served as its context ended says both.
func TestServedAndEnded(t *testing.T) {
	var word atomic.Uint32
	q := NewWaitqueue()
	ctx, cancel := context.WithCancel(t.Context())
	served, err := q.Wait(ctx, EventcountOn(&word), func() bool { cancel(); return true })
	assert.True(t, served)
	assert.ErrorIs(t, err, context.Canceled)
	q.Drain()
}

// A condition that panics does so in the call whose server asks it. The next who waits has the service then, and is served; or it ends.
func TestConditionThatPanics(t *testing.T) {
	var word atomic.Uint32
	for _, others := range []int{0, 1, 2} {
		q := NewWaitqueue()
		bad := &waiter{on: EventcountOn(&word), try: func() bool { panic("no") }}
		require.True(t, q.join(bad), "it serves itself")
		var all []<-chan error
		for i := range others {
			all = append(all, beginWait(t.Context(), func(ctx context.Context) error {
				_, err := q.Wait(ctx, EventcountOn(&word), func() bool { return true })
				return err
			}))
			requireQueued(t, q, i+2)
		}
		assert.PanicsWithValue(t, "no", func() { q.serve(t.Context(), bad) })
		for _, done := range all {
			require.NoError(t, endWait(t, done))
		}
		require.True(t, q.Idle())
		q.Drain()
	}
}

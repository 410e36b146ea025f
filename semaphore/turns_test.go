package semaphore_test

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/semaphore"
)

// bothKinds runs a test with handles on a plain and on a robust semaphore, which sleep until they are told and respect each other's turns for ever.
func bothKinds(t *testing.T, test func(t *testing.T, handlesOn func(permits int64, handles int) []*semaphore.Semaphore)) {
	for name, make := range map[string]func(t testing.TB, permits int64, handles int) []*semaphore.Semaphore{"plain": newSemaphore, "robust": newRobust} {
		t.Run(name, func(t *testing.T) {
			test(t, func(permits int64, handles int) []*semaphore.Semaphore {
				all := make(t, permits, handles)
				for _, s := range all {
					s.Unbounded()
					s.Patient()
				}
				return all
			})
		})
	}
}

// asleepFor starts an Acquire and waits until it sleeps.
func asleepFor(t testing.TB, s *semaphore.Semaphore, n int64) <-chan error {
	done := acquire(watched(t), s, n)
	until(t, "asleep", s.Asleep)
	require.True(t, s.Claims(), "who sleeps has claimed")
	return done
}

// One takes single permits again and again, and never gives all back but when it is refused. Others sleep that want one, or all: each has what
// it wants after so many uses, however seldom it gets to run.
func TestSemaphoreFairness(t *testing.T) {
	bothKinds(t, func(t *testing.T, handlesOn func(int64, int) []*semaphore.Semaphore) {
		for _, others := range []int{1, 3, semaphore.Claims} {
			for _, tt := range []struct{ permits, wants int64 }{{1, 1}, {3, 3}, {3, 2}} {
				t.Run(fmt.Sprintf("%d others, %d of %d permits", others, tt.wants, tt.permits), func(t *testing.T) {
					requireFair(t, handlesOn(tt.permits, others+1), tt.permits, tt.wants)
				})
			}
		}
	})
}

func requireFair(t *testing.T, h []*semaphore.Semaphore, permits, wants int64) {
	greedy, others := h[0], h[1:]
	require.True(t, greedy.TryAcquire(permits))
	held, uses, served := permits, 0, 0
	var waits []<-chan error
	for _, s := range others {
		waits = append(waits, asleepFor(t, s, wants))
	}
	for served < len(others) {
		if greedy.TryAcquire(1) {
			held++
			uses++
			require.LessOrEqual(t, uses, len(others)*(semaphore.MaxPassed+1), "%d of %d were served", served, len(others))
		}
		if held == permits || held > 0 && greedy.Value() == permits-held { // it has all, or is refused
			greedy.Release(1)
			held--
		}
		for i, done := range waits {
			select {
			case err := <-done:
				require.NoError(t, err)
				served++
				others[i].Release(wants)
			default:
			}
		}
		runtime.Gosched()
	}
	t.Logf("all of %d were served after %d uses by one", len(others), uses)
	greedy.Release(held)
	assert.EqualValues(t, permits, greedy.Value())
	assert.Zero(t, greedy.Turn().Load()&semaphore.Claimed, "nobody claims anything any more")
}

// While it is another's turn nobody takes permits, though they are free; when it has had them, those who were refused are told.
func TestTurnIsRespected(t *testing.T) {
	bothKinds(t, func(t *testing.T, handlesOn func(int64, int) []*semaphore.Semaphore) {
		h := handlesOn(2, 4)
		require.True(t, h[0].TryAcquire(2))
		all := asleepFor(t, h[1], 2)
		h[0].Turn().Store(semaphore.NoTurn(semaphore.MaxPassed - 1))
		h[0].Release(1)
		require.True(t, h[0].TryAcquire(1), "it is the last to overtake")
		require.True(t, h[1].HasTurn())
		h[0].Release(1)
		assert.False(t, h[0].TryAcquire(1))
		one := asleepFor(t, h[2], 1)
		another := asleepFor(t, h[3], 2)
		assert.EqualValues(t, 1, h[0].Value(), "which is free, and nobody takes it")
		h[0].Release(1)
		require.NoError(t, recv(t, all, "both permits"))
		h[1].Release(1)
		require.NoError(t, recv(t, one, "a permit"))
		h[1].Release(1)
		h[2].Release(1)
		require.NoError(t, recv(t, another, "both permits"))
		h[3].Release(2)
		assert.Zero(t, h[0].Turn().Load()&semaphore.Claimed)
	})
}

// Who has the turn and waits for more than is free says again and again that it does.
func TestTurnOfOneWhoWaits(t *testing.T) {
	h := newSemaphore(t, 2, 2)
	require.True(t, h[0].TryAcquire(1))
	waits := asleepFor(t, h[1], 2)
	was := semaphore.TurnOf(0)
	h[0].Turn().Store(was)
	for range 3 {
		until(t, "it has looked", func() bool { return h[0].Turn().Load() != was })
		was = h[0].Turn().Load()
		require.True(t, h[1].HasTurn())
	}
	h[0].Release(1)
	require.NoError(t, recv(t, waits, "both permits"))
	require.False(t, h[1].HasTurn())
}

// Who cannot wait for its turn any more, or is in it, passes it on.
func TestTurnOfOneWhoLeaves(t *testing.T) {
	bothKinds(t, func(t *testing.T, handlesOn func(int64, int) []*semaphore.Semaphore) {
		for _, in := range []bool{false, true} {
			h := handlesOn(2, 3)
			require.True(t, h[0].TryAcquire(2))
			ctx, leave := context.WithCancel(context.Background())
			leaves := acquire(ctx, h[1], 2)
			until(t, "asleep", h[1].Asleep)
			stays := asleepFor(t, h[2], 1)
			if in {
				h[0].Turn().Store(semaphore.TurnOf(0))
				h[0].Release(1)
				require.False(t, h[0].TryAcquire(1))
			}
			leave()
			require.Equal(t, context.Canceled, recv(t, leaves, "its end"))
			require.False(t, h[1].Claims())
			if !in {
				h[0].Release(1)
			}
			require.NoError(t, recv(t, stays, "the permit"))
			h[2].Release(1)
			h[0].Release(1)
			require.Zero(t, h[0].Turn().Load()&semaphore.Claimed)
		}
	})
}

// A claim of a dead process, or of one that has the pid of a living one, has a turn that nobody respects, asleep or not; it is told of by nobody.
func TestTurnOfTheDead(t *testing.T) {
	for name, id := range map[string]owner.ID{"dead": endedID(t), "pid reused": reusedID(t), "nobody": 0, "no process": math.MaxUint64, "no pid": 1 << 22} {
		t.Run(name, func(t *testing.T) {
			bothKinds(t, func(t *testing.T, handlesOn func(int64, int) []*semaphore.Semaphore) {
				for _, claim := range []int{0, semaphore.Claims - 1} {
					s := handlesOn(1, 1)[0]
					for _, take := range []func() bool{
						func() bool { return s.TryAcquire(1) },
						func() bool { return s.Acquire(watched(t), 1) == nil },
					} {
						s.Claim(claim).Store(uint64(id))
						s.Turn().Store(semaphore.TurnOf(claim))
						require.True(t, take())
						require.Zero(t, s.Claim(claim).Load())
						require.Zero(t, s.Turn().Load()&semaphore.Claimed)
						s.Release(1)
					}
				}
			})
		})
	}
}

// A process whose turn it is does not look any more, since it is stopped. Others, who look for themselves, wait for two Steps and no longer.
func TestTurnOfTheStopped(t *testing.T) {
	stopped, err := owner.Of(1)
	require.NoError(t, err)
	for name, get := range map[string]func(s *semaphore.Semaphore){
		"Acquire":    func(s *semaphore.Semaphore) { require.NoError(t, s.Acquire(watched(t), 1)) },
		"TryAcquire": func(s *semaphore.Semaphore) { until(t, "taken", func() bool { return s.TryAcquire(1) }) },
	} {
		s := newSemaphore(t, 1, 1)[0]
		s.Claim(7).Store(uint64(stopped))
		s.Turn().Store(semaphore.TurnOf(7))
		require.False(t, s.TryAcquire(1), name)
		get(s)
		require.Zero(t, s.Claim(7).Load(), name)
		require.NoError(t, s.Close())
	}
}

// Whatever stands in the words, who waits is served; only the order is another's.
func TestTurnHostileWords(t *testing.T) {
	for _, w := range []uint64{math.MaxUint64, semaphore.Claimed, semaphore.Claimed | 17, semaphore.Claimed | 255, 255, semaphore.Claimed | 0xFFFFFF00} {
		s := newSemaphore(t, 1, 1)[0]
		for i := range semaphore.Claims {
			s.Claim(i).Store(w)
		}
		s.Turn().Store(w)
		for range 2 * semaphore.MaxPassed {
			require.NoError(t, s.Acquire(watched(t), 1), "%#x", w)
			s.Release(1)
		}
		require.NoError(t, s.Close())
	}
}

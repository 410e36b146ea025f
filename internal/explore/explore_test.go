package explore_test

import (
	"errors"
	"flag"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/explore"
	"github.com/shmkit/shmkit/internal/explore/atomic"
	"github.com/shmkit/shmkit/internal/explore/sync"
	"github.com/shmkit/shmkit/internal/layout"
)

// words are what the small programs here share.
type words struct {
	a, b atomic.Uint64
	f, g atomic.Uint32
	c    atomic.Int64
	raw  [8]byte
}

func newWords(w *explore.World) *words {
	m := new(words)
	mem := layout.Bytes(m)
	w.Share("words", mem[:32])
	w.SharePlain("raw", mem[32:])
	return m
}

// A recorder is a test that may fail.
type recorder struct {
	testing.TB
	text   strings.Builder
	failed bool
}

func (r *recorder) Helper()      {}
func (r *recorder) Name() string { return "Test" }

func (r *recorder) Logf(format string, args ...any) { fmt.Fprintf(&r.text, format+"\n", args...) }
func (r *recorder) Log(args ...any)                 { fmt.Fprintln(&r.text, args...) }

func (r *recorder) Errorf(format string, args ...any) {
	r.failed = true
	r.Logf(format, args...)
}

// found explores a scenario and returns what it prints, and whether it has found anything.
func found(t *testing.T, s explore.Scenario) (text string, failed bool) {
	r := &recorder{TB: t}
	s.Name = "test"
	explore.Run(r, s)
	return r.text.String(), r.failed
}

func requireFound(t *testing.T, kind string, s explore.Scenario) string {
	t.Helper()
	text, failed := found(t, s)
	require.True(t, failed, text)
	require.Contains(t, text, "FOUND "+kind)
	return text
}

func requireNothing(t *testing.T, s explore.Scenario) string {
	t.Helper()
	text, failed := found(t, s)
	require.False(t, failed, text)
	return text
}

// count makes two processes that raise the same word.
func count(raise func(m *words)) func(*explore.World) {
	return func(w *explore.World) {
		m := newWords(w)
		w.Go("one", func() { raise(m) })
		w.Go("other", func() { raise(m) })
		w.Check(func() error {
			if v := m.a.Load(); v != 2 {
				return fmt.Errorf("counted %d", v)
			}
			return nil
		})
	}
}

func TestLostUpdate(t *testing.T) {
	for _, delays := range []int{0, 1} {
		requireFound(t, explore.Wrong, explore.Scenario{Delays: delays, New: count(func(m *words) { m.a.Store(m.a.Load() + 1) })})
	}
	text := requireNothing(t, explore.Scenario{Walks: 10, New: count(func(m *words) { m.a.Add(1) })})
	assert.Contains(t, text, "exhaustive")
	assert.Contains(t, text, "10 random walks")
}

// All orders of two times three operations are seen.
func TestExhaustive(t *testing.T) {
	orders := map[string]bool{}
	requireNothing(t, explore.Scenario{New: func(w *explore.World) {
		m, order := newWords(w), ""
		for _, name := range []string{"x", "y"} {
			w.Go(name, func() {
				for range 3 {
					explore.Observe(m.a.Swap(uint64(name[0])))
					order += name
					m.c.Store(m.c.Load()*2 + int64(name[0]-'x')) // so that no two orders lead to the same state
				}
			})
		}
		w.Check(func() error { orders[order] = true; return nil })
	}})
	assert.Len(t, orders, 20, "6 over 3")
}

// Each of two announces itself and looks for the other: with a store that is no fence both may miss it.
func TestStoresAreHeldBack(t *testing.T) {
	both := func(store func(x *atomic.Uint64)) func(*explore.World) {
		return func(w *explore.World) {
			m := newWords(w)
			missed := 0
			w.Go("one", func() {
				if store(&m.a); m.b.Load() == 0 {
					missed++
				}
			})
			w.Go("other", func() {
				if store(&m.b); m.a.Load() == 0 {
					missed++
				}
			})
			w.Check(func() error {
				if missed == 2 {
					return errors.New("both")
				}
				return nil
			})
		}
	}
	requireFound(t, explore.Wrong, explore.Scenario{New: both(func(x *atomic.Uint64) { x.Release(1) })})
	requireFound(t, explore.Wrong, explore.Scenario{Delays: 2, New: both(func(x *atomic.Uint64) { x.Release(1) })})
	requireNothing(t, explore.Scenario{New: both(func(x *atomic.Uint64) { x.Store(1) })})
	requireNothing(t, explore.Scenario{New: both(func(x *atomic.Uint64) {
		x.Release(1)
		if x.Load() != 1 {
			explore.Fail("not seen", "a process does not see what it has stored")
		}
		x.Add(0)
	})})
}

func TestCrash(t *testing.T) {
	torn := func(crashes int) explore.Scenario {
		return explore.Scenario{Crashes: crashes, New: func(w *explore.World) {
			m := newWords(w)
			mortal := w.GoMortal("mortal", func() {
				defer m.a.Store(7) // which a process that has crashed does not
				m.a.Store(1)
				m.b.Store(1)
				m.a.Store(0)
			})
			w.Go("heir", func() {
				explore.Until(mortal.Gone)
				if mortal.Crashed() && m.a.Load() == 1 && m.b.Load() == 0 {
					explore.Fail("torn", "between the two")
				}
				if mortal.Crashed() && m.a.Load() == 7 && m.b.Load() == 0 {
					explore.Fail("undead", "it went on")
				}
			})
		}}
	}
	requireFound(t, "torn", torn(1))
	assert.Contains(t, requireNothing(t, torn(0)), " 0 with a crash")
}

// Plain bytes are seen before the next atomic, and left behind by a crash.
func TestPlainBytes(t *testing.T) {
	requireFound(t, "half", explore.Scenario{New: func(w *explore.World) {
		m := newWords(w)
		w.Go("writer", func() { m.raw[0] = 1; m.a.Store(1) })
		w.Go("reader", func() {
			seen := m.raw[0]
			explore.Observe(uint64(seen))
			if m.a.Load() == 0 && seen == 1 {
				explore.Fail("half", "the bytes without the word")
			}
		})
	}})
}

// sleepers is one who sleeps until a word is raised, and one who raises it, and wakes the sleeper if wakes says so.
func sleepers(bound explore.Bound, announced, mortal bool) func(*explore.World) {
	return func(w *explore.World) {
		m := newWords(w)
		w.Go("sleeper", func() {
			for m.a.Load() == 0 {
				v := m.f.Load()
				if !announced || m.a.Load() == 0 {
					explore.Wait(bound, 1, explore.Futex{Word: &m.f, Load: m.f.At, Val: v})
				}
			}
		})
		wake := func() {
			m.a.Store(1)
			m.f.Add(1)
			explore.Wake(&m.f, 1, 1)
		}
		if !mortal {
			w.Go("waker", wake)
			return
		}
		waker := w.GoMortal("waker", wake)
		w.Go("heir", func() { explore.Until(waker.Gone); m.a.Store(1) })
	}
}

// Of two who sleep on a word one sleeps on another one, too. It may be woken by both, and a wake-up is lost with it, unless it looks at
// both words.
func TestSleepOnTwo(t *testing.T) {
	scenario := func(passOn bool) explore.Scenario {
		return explore.Scenario{New: func(w *explore.World) {
			m := newWords(w)
			f, g := explore.Futex{Word: &m.f, Load: m.f.At}, explore.Futex{Word: &m.g, Load: m.g.At}
			w.Go("on both", func() {
				explore.Wait(explore.Unbounded, 1, g, f)
				if passOn || m.g.Load() == 0 {
					explore.Wake(&m.f, 1, 1)
				}
			})
			w.Go("on one", func() { explore.Wait(explore.Unbounded, 1, f) })
			w.Go("waker", func() {
				m.g.Store(1)
				explore.Wake(&m.g, 1, 1)
				m.f.Store(1)
				explore.Wake(&m.f, 1, 1)
			})
		}}
	}
	requireFound(t, explore.LostWakeup, scenario(false))
	requireNothing(t, scenario(true))
}

func TestSleep(t *testing.T) {
	requireFound(t, explore.LostWakeup, explore.Scenario{New: sleepers(explore.Unbounded, false, false)})
	requireNothing(t, explore.Scenario{New: sleepers(explore.Unbounded, true, false)})
	requireFound(t, explore.LostWakeup, explore.Scenario{New: sleepers(explore.Bounded, false, false)})
	requireNothing(t, explore.Scenario{Timeouts: explore.WhenIdle, New: sleepers(explore.Bounded, false, false)})
	requireNothing(t, explore.Scenario{New: sleepers(explore.Nap, false, false)})
	requireNothing(t, explore.Scenario{Crashes: 1, New: sleepers(explore.Bounded, true, true)})
	requireFound(t, explore.LostWakeup, explore.Scenario{Crashes: 1, Timeouts: explore.Never, New: sleepers(explore.Bounded, true, true)})
	requireFound(t, explore.LostWakeup, explore.Scenario{Crashes: 1, New: sleepers(explore.Unbounded, true, true)})
}

func TestLocks(t *testing.T) {
	locked := func(lock bool) func(*explore.World) {
		return func(w *explore.World) {
			var mu sync.Mutex
			count(func(m *words) {
				if lock {
					mu.Lock()
					defer mu.Unlock()
				}
				m.a.Store(m.a.Load() + 1)
			})(w)
		}
	}
	requireFound(t, explore.Wrong, explore.Scenario{New: locked(false)})
	requireNothing(t, explore.Scenario{New: locked(true)})
	requireFound(t, explore.LostWakeup, explore.Scenario{New: func(w *explore.World) { // each waits for the other
		var a, b sync.Mutex
		m := newWords(w)
		w.Go("one", func() { a.Lock(); b.Lock(); m.a.Load(); b.Unlock(); a.Unlock() })
		w.Go("other", func() { b.Lock(); a.Lock(); m.a.Load(); a.Unlock(); b.Unlock() })
	}})
}

func TestEndlessAndPanic(t *testing.T) {
	requireFound(t, explore.Livelock, explore.Scenario{New: func(w *explore.World) {
		m := newWords(w)
		w.Go("spins", func() {
			for m.a.Load() == 0 {
			}
		})
	}})
	requireFound(t, explore.Panicked, explore.Scenario{New: func(w *explore.World) {
		m := newWords(w)
		w.Go("panics", func() { m.a.Load(); panic("oh") })
	}})
}

// What a process forgets tells no two executions apart.
func TestForget(t *testing.T) {
	poll := func(forget bool) string {
		return requireNothing(t, explore.Scenario{New: func(w *explore.World) {
			m := newWords(w)
			w.Go("polls", func() {
				for i := range 6 {
					if forget {
						explore.Forget(uint64(i))
					}
					m.a.Load()
				}
			})
			w.Go("stores", func() {
				for i := range uint64(6) {
					m.a.Store(i + 1)
				}
			})
		}})
	}
	states := func(text string) (n int) {
		_, err := fmt.Sscanf(text, "explore: test: %d states", &n)
		require.NoError(t, err, text)
		return n
	}
	assert.Less(t, 2*states(poll(true)), states(poll(false)))
}

// What was found is found again, by its schedule and by its seed.
func TestAgain(t *testing.T) {
	s := explore.Scenario{New: count(func(m *words) { m.a.Store(m.a.Load() + 1) })}
	again := func(name, text, want string) {
		value := regexp.MustCompile("-explore." + name + `=(\S+)`).FindStringSubmatch(text)
		require.NotNil(t, value, text)
		require.NoError(t, flag.Set("explore."+name, value[1]))
		defer func() { require.NoError(t, flag.Set("explore."+name, flag.Lookup("explore."+name).DefValue)) }()
		again, failed := found(t, s)
		require.True(t, failed, again)
		assert.Contains(t, again, want)
	}
	again("schedule", requireFound(t, explore.Wrong, s), "one Load words+0x0: 0x0")

	// What takes three delays is found by a walk alone.
	s = explore.Scenario{Delays: 1, Walks: 50_000, New: func(w *explore.World) {
		m := newWords(w)
		w.Go("one", func() { m.a.Store(1); m.a.Store(2) })
		w.Go("other", func() {
			if m.a.Load() == 0 && m.a.Load() == 1 && m.a.Load() == 2 {
				explore.Fail("all three", "seen")
			}
		})
	}}
	text := requireFound(t, "all three", s)
	again("schedule", text, "FOUND all three")
	again("seed", text, "FOUND all three")
}

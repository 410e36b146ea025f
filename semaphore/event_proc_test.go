//go:build linux && (amd64 || arm64)

package semaphore_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/history"
	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/semaphore"
	"github.com/shmkit/shmkit/shm"
)

// long bounds what must happen on a machine that may be busy with other things for seconds.
const long = 60 * time.Second

func init() {
	parts["gates"] = gatesPart
	rehearse("events", semaphore.AttachEvent, func(e *semaphore.Event, _ cue, by *history.Scribe[eventCall, bool]) {
		for !by.Full(0) {
			in := eventCall(rand.IntN(4))
			by.Do(in, func() bool { return doEvent(e, in) })
		}
	})
}

// soonTrue waits for something in shared memory that nobody announces.
func soonTrue(t testing.TB, what string, cond func() bool) {
	t.Helper()
	require.Eventually(t, cond, long, time.Millisecond, what)
}

const crowdSize = 4 // processes of a test

// Gates are two events that are open by turns. Each process goes through both, again and again, and counts that in a word of its own.
type gates struct {
	events [2]*semaphore.Event
	passed []atomic.Uint64
}

const gatesSize = 3 * layout.Line

func openGates(mem []byte, open func([]byte) (*semaphore.Event, error)) (g gates, err error) {
	for i := range g.events {
		if g.events[i], err = open(mem[i*layout.Line:]); err != nil {
			return g, err
		}
	}
	g.passed = layout.MustSlice[atomic.Uint64](mem, 2*layout.Line, crowdSize)
	return g, nil
}

func gatesPart(f *os.File, process int) error {
	seg, err := shm.Attach(f)
	if err != nil {
		return err
	}
	g, err := openGates(seg.Bytes(), semaphore.AttachEvent)
	if err != nil {
		return err
	}
	own := &g.passed[process]
	for {
		n := own.Load()
		if err := g.events[n%2].Wait(context.Background()); err != nil {
			return err
		}
		own.Store(n + 1) // killed before: the successor passes in its place
	}
}

// All pass each gate that is opened, and nobody one that is not, though processes are killed all the time, or stopped, or interrupted by
// signals. How often the gates were opened is known to the test alone.
func TestEventGatesProcesses(t *testing.T) {
	for name, disturb := range map[string]func(t *testing.T, players []*history.Player, seg *shm.Segment){
		"undisturbed": func(*testing.T, []*history.Player, *shm.Segment) {},
		"killed": func(t *testing.T, players []*history.Player, seg *shm.Segment) {
			if i := rand.IntN(4 * crowdSize); i < crowdSize {
				players[i].Kill()
				players[i] = history.Start(t, "gates", seg.File(), i)
			}
		},
		"interrupted": func(t *testing.T, players []*history.Player, _ *shm.Segment) {
			for range 20 {
				for _, p := range players {
					require.NoError(t, p.Signal(syscall.SIGURG))
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			seg := newSegment(t, gatesSize)
			g, err := openGates(seg.Bytes(), semaphore.NewEventAt)
			require.NoError(t, err)
			players := make([]*history.Player, crowdSize)
			for i := range players {
				players[i] = history.Start(t, "gates", seg.File(), i)
			}
			for opened := range uint64(history.Rounds(300)) {
				for i := range g.passed {
					require.LessOrEqual(t, g.passed[i].Load(), opened, "process %d passed what was closed", i)
				}
				g.events[opened%2].Set()
				disturb(t, players, seg)
				soonTrue(t, "all pass", func() bool {
					for i := range g.passed {
						if g.passed[i].Load() <= opened {
							return false
						}
					}
					return true
				})
				g.events[opened%2].Clear()
			}
			for _, e := range g.events {
				require.NoError(t, e.Close())
			}
		})
	}
}

// One who is stopped while the gate is opened passes when it goes on, though the gate is closed again by then.
func TestEventStoppedWaiterPasses(t *testing.T) {
	seg := newSegment(t, gatesSize)
	g, err := openGates(seg.Bytes(), semaphore.NewEventAt)
	require.NoError(t, err)
	player := history.Start(t, "gates", seg.File(), 0)
	g.events[0].Set()
	soonTrue(t, "it passes", func() bool { return g.passed[0].Load() == 1 })
	asleep := layout.MustAt[atomic.Uint32](seg.Bytes(), layout.Line+72)
	soonTrue(t, "it sleeps at the second", func() bool { return asleep.Load()&1 != 0 })
	require.NoError(t, player.Signal(syscall.SIGSTOP))
	g.events[0].Clear()
	g.events[1].Set()
	g.events[1].Clear()
	require.NoError(t, player.Signal(syscall.SIGCONT))
	soonTrue(t, "it passes", func() bool { return g.passed[0].Load() == 2 })
	for _, e := range g.events {
		require.NoError(t, e.Close())
	}
}

// What is done with an event, and what comes of it.
type eventCall uint8

const (
	eventSet eventCall = iota
	eventClear
	eventIsSet
	eventWait // with a context that ends soon
)

// eventSpec is a flag. A Wait that returns nil does so when it is set; one that fails says nothing of it.
var eventSpec = history.Spec[bool, eventCall, bool]{
	Step: func(set bool, in eventCall, out *bool) (bool, bool) {
		switch in {
		case eventSet:
			return true, true
		case eventClear:
			return false, true
		case eventWait:
			return set, out == nil || !*out || set
		}
		return set, out == nil || *out == set
	},
}

func doEvent(e *semaphore.Event, in eventCall) bool {
	switch in {
	case eventSet:
		e.Set()
	case eventClear:
		e.Clear()
	case eventIsSet:
		return e.IsSet()
	case eventWait:
		ctx, cancel := context.WithTimeout(context.Background(), rand.N(100*time.Microsecond))
		defer cancel()
		err := e.Wait(ctx)
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			panic(err)
		}
		return err == nil
	}
	return true
}

func TestEventLinearizable(t *testing.T) { eventLinearizable(t, false, 200) }

// What a process that is killed was about to do is done or not.
func TestEventLinearizableWithDeaths(t *testing.T) { eventLinearizable(t, true, 50) }

func eventLinearizable(t *testing.T, mortal bool, n int) {
	event := func(mem []byte) (io.Closer, error) { return semaphore.NewEventAt(mem) }
	stageDrama[eventCall, bool](t, "events", mortal).linear(t, n, event, func(ops []history.Operation[eventCall, bool], _ int) bool {
		eventSpec.Require(t, ops)
		return true
	})
}

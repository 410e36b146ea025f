//go:build linux && (amd64 || arm64)

package semaphore_test

import (
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/semaphore"
)

// Processes want all permits, of which another takes single ones all the time: they have them after so many uses.
func TestSemaphoreFairnessOfProcesses(t *testing.T) {
	const permits, others = 3, 2
	st := newStage(t, permits)
	require.True(t, st.TryAcquire(permits))
	var puppets []*puppetHandle
	for i := range others {
		p := st.puppet(t)
		p.tell("acquire %d", permits)
		until(t, "it has claimed", func() bool { return st.Claim(i).Load() != 0 })
		puppets = append(puppets, p)
	}
	held, uses := int64(permits), 0
	for served := 0; served < others; runtime.Gosched() {
		if st.TryAcquire(1) {
			held++
			uses++
			require.LessOrEqual(t, uses, others*(semaphore.MaxPassed+1))
		}
		if held == permits || held > 0 && st.Value() == permits-held { // it has all, or is refused
			st.Release(1)
			held--
		}
		for _, p := range puppets {
			select {
			case line := <-p.lines:
				require.Equal(t, "acquire", line)
				p.tell("release %d", permits)
				p.expect("release")
				served++
			default:
			}
		}
	}
	st.Release(held)
	assert.EqualValues(t, permits, st.Value())
}

// It is the turn of a process that waits for more than is free. It is killed: those who were refused are told at once. Or it is stopped: they look
// for themselves, and later it is served as if it had just come.
func TestTurnOfAProcessThatIsGone(t *testing.T) {
	for name, sig := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "stopped": syscall.SIGSTOP} {
		t.Run(name, func(t *testing.T) {
			st := newStage(t, 2)
			other, err := semaphore.Attach(st.mem)
			require.NoError(t, err)
			defer func() { require.NoError(t, other.Close()) }()
			if sig == syscall.SIGKILL {
				other.Unbounded()
				other.Patient()
			}
			require.True(t, st.TryAcquire(2))
			p := st.puppet(t)
			p.tell("acquire 2")
			until(t, "it has claimed", func() bool { return st.Claim(0).Load() != 0 })
			st.Turn().Store(semaphore.TurnOf(0))
			st.Release(1)
			waits := acquire(watched(t), other, 1)
			until(t, "it sleeps, refused", other.Asleep)
			require.NoError(t, p.cmd.Process.Signal(sig))
			require.NoError(t, recv(t, waits, "the permit"))
			require.Zero(t, st.Claim(0).Load())
			if sig == syscall.SIGSTOP {
				require.NoError(t, p.cmd.Process.Signal(syscall.SIGCONT))
			}
			other.Release(1)
			st.Release(1)
			if sig == syscall.SIGSTOP {
				p.expect("acquire")
				st.Release(2)
			}
			require.True(t, st.TryAcquire(2))
			st.Release(2)
		})
	}
}

//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// What was found by reading the move to new memory step by step: each of these went wrong once.

// draining waits until somebody's Rebuild waits for tasks.
func draining(t *testing.T, p *Pool) {
	t.Helper()
	eventually(t, "Rebuild waits", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.draining > 0 })
}

// waitersFor waits until somebody waits for a slot.
func waitersFor(t *testing.T, p *Pool) {
	t.Helper()
	eventually(t, "somebody waits for a slot", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.waiters) > 0 })
}

// Who waits for a slot while Rebuild waits for the last task gets none in the old memory.
func TestWaitersMoveToNewMemory(t *testing.T) {
	for name, wait := range map[string]func(p *Pool, b *Block[uint64]) error{
		"call with a block": func(p *Pool, b *Block[uint64]) error {
			_, err := haul.Call(t.Context(), p, freight{How: "keep", Own: struct{ B, B2 *Block[uint64] }{B: b}})
			return err
		},
		"map": func(p *Pool, _ *Block[uint64]) error {
			for _, err := range square.Map(t.Context(), p, numbers(1000)) {
				if err != nil {
					return err
				}
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, Options{Workers: 1})
			b := newWords(t, p, 1000)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			_, err := block.Go(ctx, p, 1)
			require.NoError(t, err)
			rebuilt, ended := make(chan error, 1), make(chan error, 1)
			go func() { rebuilt <- p.Rebuild(context.Background()) }()
			draining(t, p)
			go func() { ended <- wait(p, b) }()
			waitersFor(t, p)
			cancel()
			require.NoError(t, receive(t, rebuilt))
			if err := receive(t, ended); name == "map" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, "copy it to a new one")
			}
			b.Release()
			requireNothingHeld(t, p)
		})
	}
}

// A worker that is just being started belongs to the old memory, too.
func TestRebuildBesideStarts(t *testing.T) {
	p := start(t, Options{Workers: 1})
	for range 10 {
		require.NoError(t, p.Resize(4))
		require.NoError(t, p.Rebuild(t.Context()))
		same(t, p, echoInt, 1)
		require.NoError(t, p.Resize(1))
	}
	requireStaff(t, p, 1)
}

// So does one whose memory is found corrupted while it is on its way.
func TestCorruptionBesideStarts(t *testing.T) {
	p := start(t, Options{Workers: 1})
	for hits := 0; hits < 3; {
		require.NoError(t, p.Resize(2))
		p.mu.Lock()
		for _, m := range p.members {
			if m.spawning && m.proc == nil && p.moving == nil {
				_ = p.corrupted("a test says so")
				hits++
			}
		}
		p.mu.Unlock()
		eventually(t, "the pool works", func() bool { _, err := echoInt.Call(t.Context(), p, 1); return err == nil })
		require.NoError(t, p.Resize(1))
	}
	requireStaff(t, p, 1)
}

// A worker that hangs in OnExit is killed after a while.
func TestRebuildBesideHungExit(t *testing.T) {
	p := start(t, Options{Workers: 1, OnExit: neverLeave.With("/dev/null")})
	before := pids(p)
	require.NoError(t, p.Rebuild(t.Context()))
	same(t, p, echoInt, 1)
	require.NotEqual(t, before, pids(p))
	p.Terminate() // or closing it would wait as long
}

// What kind of argument a task had is not believed: a block of the old memory must not be freed in the new.
func TestKindOfArgumentIsForged(t *testing.T) {
	p := start(t, Options{Workers: 1, Retries: 1})
	g := newGate(t)
	f, err := passLarge.Go(t.Context(), p, gatedBytes{g.path, make([]byte, 70_000)})
	require.NoError(t, err)
	eventually(t, "the task runs", func() bool { return runningSlot(p) >= 0 })
	p.mu.Lock()
	s := &p.mem.slots[runningSlot(p)]
	s.argKind, s.argLen = inline, 8
	_ = p.corrupted("a test says so")
	p.mu.Unlock()
	b := newWords(t, p, 10_000)
	g.open()
	_, err = f.Wait(t.Context())
	require.ErrorIs(t, err, ErrCorrupted)
	other := newWords(t, p, 10_000)
	require.NotEqual(t, b.core.block.Off, other.core.block.Off)
	b.Release()
	other.Release()
	requireNothingHeld(t, p)
	p.mu.Lock()
	defer p.mu.Unlock()
	require.Zero(t, p.arguments)
}

type gatedBytes struct {
	Gate string
	Rest []byte
}

var passLarge = Func("pass large", func(ctx context.Context, l gatedBytes) (int, error) { return pass.fn(ctx, l.Gate) })

// Places that could not start a worker before may do so now.
func TestRebuildForgetsFailures(t *testing.T) {
	p := start(t, Options{Workers: 2})
	p.mu.Lock()
	p.members[1].failures = maxStartFailures
	p.mu.Unlock()
	require.NoError(t, p.Rebuild(t.Context()))
	requireStaff(t, p, 2)
}

// A Map that goes on for long keeps only the memory that its chunks lie in.
func TestMapLetsOldMemoryGo(t *testing.T) {
	p := start(t, Options{Name: "letgo", Workers: 1})
	n := 0
	for _, err := range square.Map(t.Context(), p, numbers(-1)) {
		require.NoError(t, err)
		if n++; n%50_000 == 0 && n < 1_000_000 {
			require.NoError(t, p.Rebuild(t.Context()))
			require.LessOrEqual(t, estates(t, p), 6, "those of chunks that wait for the consumer, and the newest")
		}
		if n == 1_000_000 {
			break
		}
	}
	require.EqualValues(t, 19, p.Stats().Rebuilds)
}

// Hints of the old ring are not taken for hints of the new one.
func TestRebuildForgetsHints(t *testing.T) {
	p := start(t, Options{Workers: 1})
	release := hold(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	for range 20 {
		_, err := square.Go(ctx, p, 1)
		require.NoError(t, err)
	}
	cancel()
	eventually(t, "they are cancelled", func() bool { return p.Stats().Outstanding == 1 })
	release()
	require.NoError(t, p.Rebuild(t.Context()))
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.entries {
		require.False(t, p.entries[i].ahead)
	}
}

// A pool that ends right after it has got new memory leaves the old one to nobody.
func TestEndRightAfterMove(t *testing.T) {
	for range 5 {
		p, err := New(Options{Name: "ended", Workers: 1})
		require.NoError(t, err)
		p.mu.Lock()
		p.beginMove(nil)
		moving := p.moving
		p.mu.Unlock()
		<-moving
		p.Terminate()
		require.Zero(t, estates(t, p))
	}
}

// A death that was only late leaves nothing to report.
func TestLateDeath(t *testing.T) {
	p := start(t, Options{Workers: 1})
	pid := pids(p)[0]
	tr, dying := cling(t, pid)
	p.mu.Lock()
	m := p.members[0]
	p.kill(m)
	p.mu.Unlock()
	receive(t, dying)
	p.mu.Lock()
	p.quarantine(m, m.proc)
	require.Equal(t, 1, p.undead)
	p.mu.Unlock()
	same(t, p, echoInt, 1)
	tr.detach()
	eventually(t, "it is dead", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.undead == 0 })
}

// A worker that was told to go, and hangs on its way, is ended although nothing runs.
func TestResizeBesideHungExit(t *testing.T) {
	p := start(t, Options{Workers: 2, OnExit: neverLeave.With("/dev/null")})
	require.NoError(t, p.Resize(1))
	requireStaff(t, p, 1)
	p.Terminate() // or closing it would wait as long
}

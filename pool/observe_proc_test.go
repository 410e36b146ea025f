//go:build linux && (amd64 || arm64)

package pool

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/telemetry"
)

func init() {
	programs["observed"] = func() {
		Main()
		p := must(New(Options{Name: "observed", Workers: 2}))
		occupy(p, block, func(i int) int { return i })
		fmt.Println("up")
		_, _ = io.Copy(io.Discard, os.Stdin) // until it is killed
	}
}

// observe looks at a pool of this process as another would.
func observe(t testing.TB, p *Pool) *Observer {
	t.Helper()
	return observePath(t, fmt.Sprintf("/proc/self/fd/%d", p.home.seg.File().Fd()))
}

func observePath(t testing.TB, path string) *Observer {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	o, err := Observe(f)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, o.Close()) })
	return o
}

func snapshot(t testing.TB, o *Observer) *Snapshot {
	t.Helper()
	s, err := o.Snapshot()
	require.NoError(t, err)
	return s
}

// requireSound checks that an Observer finds nothing wrong.
func requireSound(t testing.TB, o *Observer) {
	t.Helper()
	broken, err := o.Check()
	require.NoError(t, err)
	require.Empty(t, broken)
}

// What a pool does is seen from outside while it does it.
func TestObserve(t *testing.T) {
	before := time.Now()
	p := start(t, Options{Name: "seen", Workers: 2, Queue: 8, Memory: mib})
	o := observe(t, p)
	requireSound(t, o)
	release := hold(t, p)
	f, err := square.Go(t.Context(), p, 3)
	require.NoError(t, err)
	held := newWords(t, p, 1000)
	s := snapshot(t, o)
	assert.Equal(t, "seen", s.Name)
	assert.Equal(t, PoolOpen, s.State)
	assert.Equal(t, os.Getpid(), s.Parent)
	assert.WithinRange(t, s.Born, before.Add(-time.Millisecond), time.Now())
	assert.WithinRange(t, s.Taken, s.Born, time.Now().Add(time.Millisecond))
	assert.EqualValues(t, 3, s.Outstanding)
	assert.EqualValues(t, 2, s.Wanted)
	assert.Equal(t, Queue{Slots: 8, Free: 5, Waiting: 1, Running: 2, Oldest: s.Queue.Oldest}, s.Queue)
	require.Len(t, s.Workers, 2)
	for i, w := range s.Workers {
		assert.Equal(t, p.Workers()[i].Pid, w.Pid)
		assert.True(t, w.Alive)
		assert.Equal(t, "serving", w.State)
		assert.Equal(t, "running", w.Doing)
		require.NotNil(t, w.Task)
		assert.Equal(t, block.Name(), w.Task.Function)
		assert.WithinRange(t, w.Task.Since, w.Since, s.Taken)
		assert.EqualValues(t, 1, w.Task.Items)
	}
	assert.Equal(t, 1, s.Memory.Count)
	require.Len(t, s.Memory.Classes, 1)
	assert.Equal(t, 1, s.Memory.Classes[0].Held)
	assert.Equal(t, p.Memory(), s.Memory.ArenaStats)
	requireSound(t, o)
	held.Release()
	release()
	_, err = f.Wait(t.Context())
	require.NoError(t, err)
	eventually(t, "they rest", func() bool {
		for _, w := range snapshot(t, o).Workers {
			if w.Doing != "sleeping" || w.Task != nil {
				return false
			}
		}
		return true
	})
	requireSound(t, o)
}

// Who looks at a pool that is closed, or has moved, is told.
func TestObservePoolThatLeaves(t *testing.T) {
	p := start(t, Options{Workers: 1})
	same(t, p, echoInt, 1)
	first := observe(t, p)
	born := snapshot(t, first).Born
	require.NoError(t, p.Rebuild(t.Context()))
	assert.Equal(t, PoolMoved, snapshot(t, first).State)
	second := observe(t, p)
	s := snapshot(t, second)
	assert.Equal(t, PoolOpen, s.State)
	assert.EqualValues(t, 1, s.Counters.Accepted, "they go on")
	assert.EqualValues(t, 1, s.Counters.Rebuilds)
	assert.WithinDuration(t, born, s.Born, 10*time.Second, "the same pool, whatever the clock's steps")
	require.NoError(t, p.Close())
	assert.Equal(t, PoolClosed, snapshot(t, second).State)
	assert.EqualValues(t, 1, snapshot(t, second).Counters.Succeeded, "it is how it was")
}

// memoryOf finds the memory of the pool that a process has.
func memoryOf(t *testing.T, pid int, name string) string {
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	require.NoError(t, err)
	for _, link := range links {
		if target, _ := os.Readlink(link); strings.HasPrefix(target, "/memfd:shmkit:"+name+" ") {
			return link
		}
	}
	require.Fail(t, "no pool's memory")
	return ""
}

// A parent that is killed while somebody looks leaves what there was.
func TestObservePoolThatDies(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), asProgram+"=observed")
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	reaped := false
	defer func() {
		if !reaped {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}()
	_, err = stdout.Read(make([]byte, 2))
	require.NoError(t, err)
	o := observePath(t, memoryOf(t, cmd.Process.Pid, "observed"))
	s := snapshot(t, o)
	require.Equal(t, PoolOpen, s.State)
	require.Equal(t, cmd.Process.Pid, s.Parent)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	reaped = true
	s = snapshot(t, o)
	require.Equal(t, PoolDead, s.State)
	require.EqualValues(t, 2, s.Counters.Accepted)
	require.Equal(t, block.Name(), s.Workers[0].Task.Function)
	eventually(t, "the workers go, too", func() bool {
		s := snapshot(t, o)
		return !s.Workers[0].Alive && !s.Workers[1].Alive
	})
}

// What is not a pool is refused, by name.
func TestObserveSomethingElse(t *testing.T) {
	mem := smallMemory(t)
	for want, make := range map[string]func() []byte{
		"0 bytes":             func() []byte { return nil },
		"not a shmkit":        func() []byte { return bytes.Repeat([]byte{7}, 4096) },
		"version 7, this":     func() []byte { mem[8] = 7; return mem },
		"it is a MPMC ring":   func() []byte { mem[12] = byte(layout.KindMPMC); return mem },
		"memory has 4096":     func() []byte { return mem[:4096] },
		"do not fit memory":   func() []byte { mem[25] = 4; return mem },
		"has not 2 entries":   func() []byte { mem[smallGeometry.offsets().table+8]++; return mem },
		"not an image of a p": func() []byte { return append([]byte("shimg1\xff\x00"), bytes.Repeat([]byte{1}, 100)...) },
	} {
		mem = smallMemory(t)
		name := filepath.Join(t.TempDir(), "memory")
		require.NoError(t, os.WriteFile(name, make(), 0o600))
		f, err := os.Open(name)
		require.NoError(t, err)
		_, err = Observe(f)
		require.ErrorContains(t, err, want, want)
		require.NoError(t, f.Close())
	}
	r, w, err := os.Pipe()
	require.NoError(t, err)
	_, err = Observe(r)
	require.ErrorIs(t, err, os.ErrInvalid)
	require.NoError(t, r.Close())
	require.NoError(t, w.Close())
}

// A file that is cut off while somebody looks is an error.
func TestObserveTruncated(t *testing.T) {
	name := filepath.Join(t.TempDir(), "memory")
	require.NoError(t, os.WriteFile(name, smallMemory(t), 0o600))
	o := observePath(t, name)
	snapshot(t, o)
	require.NoError(t, os.Truncate(name, 5000))
	_, err := o.Snapshot()
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	_, err = o.Check()
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.ErrorIs(t, o.Dump(io.Discard), io.ErrUnexpectedEOF)
}

// A dump shows what the pool showed, whatever has become of that, and none of its values.
func TestDump(t *testing.T) {
	p := start(t, Options{Workers: 2, Queue: 8, Memory: mib})
	secret := []byte("a secret of 30 bytes, or nearly")
	same(t, p, echoBytes, secret, bytes.Repeat(secret, 5), bytes.Repeat(secret, 1000))
	release := hold(t, p)
	o := observe(t, p)
	name := filepath.Join(t.TempDir(), "dump")
	f, err := os.Create(name)
	require.NoError(t, err)
	require.NoError(t, o.Dump(f))
	require.NoError(t, f.Close())
	want := snapshot(t, o)
	release()
	require.NoError(t, p.Close())
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	require.NotContains(t, string(text), "secret")
	dump := observePath(t, name)
	got := snapshot(t, dump)
	require.True(t, got.Taken.Before(want.Taken))
	got.Taken, got.Queue.Oldest = want.Taken, want.Queue.Oldest
	require.Equal(t, want, got)
	require.Nil(t, dump.Death())
	requireSound(t, dump)
	events, _, err := must(dump.ParentEvents()).Next()
	require.NoError(t, err)
	require.Equal(t, EventLaunched, events[0].Kind)
	var again bytes.Buffer
	require.NoError(t, dump.Dump(&again))
	require.Equal(t, text, again.Bytes())
}

// The memory of places that never had a worker, and of the arena that nobody has used, stays untouched by those who look.
func TestObserveTakesNoMemory(t *testing.T) {
	p := start(t, Options{Workers: 1, MaxWorkers: 500, Memory: 256 * mib})
	o := observe(t, p)
	blocks := func() int64 {
		info, err := p.home.seg.File().Stat()
		require.NoError(t, err)
		return info.Sys().(*syscall.Stat_t).Blocks
	}
	before := blocks()
	for range 3 {
		snapshot(t, o)
		requireSound(t, o)
		require.NoError(t, o.Dump(io.Discard))
		for place := range 500 {
			_, _, err := must(o.WorkerEvents(place)).Next()
			require.NoError(t, err)
		}
	}
	require.Equal(t, before, blocks())
}

// Check finds what is wrong, where it is.
func TestObserverCheck(t *testing.T) {
	for want, corrupt := range map[string]func(p *Pool){
		"stop is 9":              func(p *Pool) { p.mem.ctl.stop.Store(9) },
		"spinners: there are":    func(p *Pool) { p.mem.ctl.idle.spinners[0].Or(1 << 60) },
		"ready ring: cell 0":     func(p *Pool) { p.mem.bytes[p.mem.off.ready+layout.Line+3] = 1 },
		"impossible state 15":    func(p *Pool) { p.mem.slots[3].word.Store(15) },
		"function 99 of":         func(p *Pool) { p.mem.slots[3].fn = 99; p.mem.slots[3].word.Store(uint64(makeWord(queued, 0, 1))) },
		"which has no place":     func(p *Pool) { p.mem.slots[3].word.Store(uint64(makeWord(running, 77, 1))) },
		"place 0 is in state 99": func(p *Pool) { p.mem.told.Desks[0].State.Store(99) },
		"workers are wanted":     func(p *Pool) { p.tallies.Set(6, 1<<40) },
		"events of the parent": func(p *Pool) {
			at, _ := telemetry.ParentEvents(2)
			p.mem.bytes[p.mem.off.telemetry+at+9] = 77
		},
		"no arena": func(p *Pool) { p.mem.arena()[9] = 77 },
		"batch":    func(p *Pool) { p.mem.workers[0].batch[3].Store(1 << 50) },
	} {
		t.Run(want, func(t *testing.T) {
			mem := smallMemory(t)
			m, err := view(mem, smallGeometry)
			require.NoError(t, err)
			p := &Pool{mem: m}
			p.tallies.ShowOn(m.told.Board)
			m.slots[1].word.Store(0)
			m.slots[2].word.Store(0)
			if want != "" {
				corrupt(p)
			}
			o, err := observeBytes(mem)
			require.NoError(t, err)
			broken, err := o.Check()
			require.NoError(t, err)
			require.Len(t, broken, 1)
			require.Contains(t, broken[0], want)
		})
	}
}

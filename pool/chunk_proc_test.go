//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// An errand is an item that does not always go well.
type errand struct {
	X   int
	How errandKind
	Yes bool
}

type errandKind int

const (
	well errandKind = iota
	badly
	panicking
	leaving
	dying
)

// An upshot is what came of an errand.
type upshot struct {
	X, Pid int
	Yes    bool
}

var runErrand = Func("errand", func(ctx context.Context, e errand) (upshot, error) {
	switch e.How {
	case badly:
		return upshot{X: -1}, errors.New("it went badly")
	case panicking:
		panic("no")
	case leaving:
		runtime.Goexit()
	case dying:
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			return upshot{}, err
		}
		<-ctx.Done()
	}
	return upshot{X: e.X + 1, Pid: os.Getpid(), Yes: e.Yes}, nil
})

// errands yields n errands, of the kind that how says.
func errands(n int, how func(i int) errandKind) func(func(errand) bool) {
	return func(yield func(errand) bool) {
		for i := range n {
			if !yield(errand{X: i, How: how(i), Yes: i%3 == 0}) {
				return
			}
		}
	}
}

// requireFault checks that an item failed as its errand says.
func requireFault(t *testing.T, how errandKind, err error) {
	var task *TaskError
	switch how {
	case badly:
		require.ErrorContains(t, err, "it went badly")
	case panicking:
		require.ErrorAs(t, err, &task)
		require.True(t, task.Panicked)
	case leaving:
		require.ErrorContains(t, err, "runtime.Goexit")
	case dying:
		require.ErrorIs(t, err, ErrWorkerDied)
	}
}

// Wherever in a chunk an item fails, in whatever way, the others have their results.
func TestChunkFailures(t *testing.T) {
	const n = 20_000
	how := func(i int) errandKind {
		switch {
		case i == 5000 || i == 19_999:
			return dying
		case i%997 == 5:
			return badly
		case i%4999 == 7:
			return panicking
		case i%6007 == 11:
			return leaving
		}
		return well
	}
	p := start(t, Options{Workers: 2})
	t.Run("in order", func(t *testing.T) {
		i := 0
		for got, err := range runErrand.Map(t.Context(), p, errands(n, how)) {
			if how(i) != well {
				requireFault(t, how(i), err)
			} else {
				require.NoError(t, err, "item %d", i)
				require.Equal(t, upshot{X: i + 1, Pid: got.Pid, Yes: i%3 == 0}, got)
			}
			i++
		}
		require.Equal(t, n, i)
	})
	t.Run("unordered", func(t *testing.T) {
		seen := make([]int, n)
		for r := range runErrand.MapUnordered(t.Context(), p, errands(n, how)) {
			seen[r.Index]++
			require.Equal(t, r.Index, r.In.X)
			if how(r.Index) != well {
				requireFault(t, how(r.Index), r.Err)
			} else {
				require.NoError(t, r.Err)
				require.Equal(t, r.Index+1, r.Out.X)
			}
		}
		for i, times := range seen {
			require.Equal(t, 1, times, "item %d", i)
		}
	})
	s := p.Stats()
	require.EqualValues(t, 2*n, s.Accepted)
	require.EqualValues(t, 2*n, s.Succeeded+s.Failed)
	require.Zero(t, s.Outstanding)
	requireNoBlocks(t, p)
}

// requireNoBlocks checks that nothing is left in shared memory.
func requireNoBlocks(t *testing.T, p *Pool) {
	t.Helper()
	eventually(t, "all blocks are free, and arguments counted so", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.reap()
		return p.store.Stats().Count == 0 && p.arguments == 0
	})
}

// long is how an item of TestChunkOfLongItems lasts.
type long int

const (
	brief    long = iota
	untilCut      // until its chunk is to be cut
	untilMet      // until both workers are at such an item, or its chunk is to be cut
)

// meetIn is the directory in which workers leave their names.
var meetIn string

var openMeeting = InitFunc("openMeeting", func(_ context.Context, dir string) error {
	meetIn = dir
	return nil
})

var dawdle = Func("dawdle", func(ctx context.Context, l long) (int, error) {
	if l == untilMet {
		if err := os.WriteFile(filepath.Join(meetIn, strconv.Itoa(os.Getpid())), nil, 0o600); err != nil {
			return 0, err
		}
	}
	w := processContexts.worker
	for l != brief && ctx.Err() == nil && order(w.area.cancel.Load()) != order(processContexts.task.Load()).withReason(reasonYield) {
		if met, err := os.ReadDir(meetIn); err != nil || l == untilMet && len(met) == 2 {
			return os.Getpid(), err
		}
		if s := w.out.slot; l == untilCut && (s.argKind != chunked || s.argLen == 1) {
			break // there is nothing to be cut
		}
		runtime.Gosched()
	}
	return os.Getpid(), ctx.Err()
})

// Chunks whose items turn out to be long are cut, so that all workers have their share.
func TestChunkOfLongItems(t *testing.T) {
	const quick, slow = 20_000, 60
	ctx, cancel := context.WithTimeout(t.Context(), watchdog)
	defer cancel()
	p := start(t, Options{Workers: 2, Init: openMeeting.With(t.TempDir())})
	pids := map[int]int{}
	i := 0
	for pid, err := range dawdle.Map(ctx, p, func(yield func(long) bool) {
		for i := range quick + slow {
			l := brief
			if i == quick {
				l = untilCut
			} else if i > quick {
				l = untilMet
			}
			if !yield(l) {
				return
			}
		}
	}) {
		require.NoError(t, err, "item %d", i)
		if i > quick {
			pids[pid]++
		}
		i++
	}
	require.Equal(t, quick+slow, i)
	require.Len(t, pids, 2, "the long items ran in %v", pids)
}

// What has been fed is run, however few it is, while the sequence waits for a result.
func TestChunkIsNotWaitedFor(t *testing.T) {
	const quick, slowly = 20_000, 20
	p := start(t, Options{Workers: 2})
	results := make(chan int)
	xs := func(yield func(int) bool) {
		for i := range quick {
			if !yield(i) {
				return
			}
		}
		for range quick {
			<-results
		}
		for i := range slowly {
			if !yield(quick + i) {
				return
			}
			<-results
		}
	}
	i := 0
	for y, err := range square.Map(t.Context(), p, xs) {
		require.NoError(t, err)
		require.Equal(t, i*i, y)
		i++
		go func() { results <- 1 }()
	}
	require.Equal(t, quick+slowly, i)
}

// Items that were accepted and come back, and then cannot be sent again, are counted by what they have come to.
func TestChunkThatCannotBeSentAgainIsCounted(t *testing.T) {
	for name, left := range map[string]bool{"the pool has ended": false, "the Map has": true} {
		t.Run(name, func(t *testing.T) {
			p := start(t, Options{Workers: 1})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			m := square.newMapping(ctx, p, true)
			defer m.stop()
			m.chunks = []*chunk[int, int]{{in: []int{1, 2, 3}, part: part{fresh: 1}}}
			if left {
				m.unwatch() // which would stop it first
				cancel()
			}
			m.sendFirst(0, ErrClosed)
			s := p.Stats()
			require.Equal(t, left, s.Cancelled == 2, s)
			require.Equal(t, !left, s.Failed == 2, s)
		})
	}
}

// So are those that a chunk has left over which ended when nobody looked any more.
func TestChunkThatIsLeftOverIsCounted(t *testing.T) {
	p := start(t, Options{Workers: 1})
	m := runErrand.newMapping(t.Context(), p, true)
	m.size.Store(3)
	m.chunks = []*chunk[errand, upshot]{{in: []errand{{How: well}, {How: dying}, {How: well}}, part: part{fresh: 3}}}
	m.send()
	eventually(t, "the chunk has ended", func() bool { return m.endings.Load() == 1 })
	m.stop()
	s := p.Stats()
	require.Equal(t, []uint64{3, 1, 1, 1}, []uint64{s.Accepted, s.Succeeded, s.Failed, s.Cancelled})
	requireNoBlocks(t, p)
}

// Whatever a worker claims of a chunk, each item is counted once.
func TestChunkOfWhichLiesAreTold(t *testing.T) {
	for name, lie := range map[string]struct {
		next    uint64
		isError bool
	}{
		"it has ended without a result": {0, false},
		"more results than items":       {4, false},
		"it has failed with all":        {3, true},
		"all is well":                   {3, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, Options{Workers: 1})
			m := block.newMapping(t.Context(), p, true)
			m.size.Store(3)
			m.chunks = []*chunk[int, int]{{in: []int{1, 2, 3}, part: part{fresh: 3}}}
			m.fed = true
			m.send()
			eventually(t, "the chunk runs", func() bool { return slotsThatAre(p, running) == 1 })
			p.mu.Lock()
			i := m.chunks[0].id().slot()
			p.mem.progress(i).next.Store(lie.next)
			p.mem.slots[i].resKind, p.mem.slots[i].resLen = inline, 0
			p.collect(i, p.members[0], lie.isError)
			p.mu.Unlock()
			m.mu.Lock()
			m.settle()
			m.mu.Unlock()
			m.stop()
			p.Terminate()
			requireBalanced(t, p)
			require.EqualValues(t, 3, p.Stats().Accepted)
		})
	}
}

// Without memory for chunks the items travel in the slots.
func TestChunkWithoutMemory(t *testing.T) {
	p := start(t, Options{Workers: 2, Memory: 1})
	i := 0
	for y, err := range square.Map(t.Context(), p, numbers(10_000)) {
		require.NoError(t, err)
		require.Equal(t, i*i, y)
		i++
	}
	require.Equal(t, 10_000, i)
	requireNoBlocks(t, p)
}

// A Map that is left or whose context ends gives all its memory back, also that of chunks which run.
func TestChunkBreak(t *testing.T) {
	p := start(t, Options{Workers: 2})
	for n := range 30 {
		ctx, cancel := context.WithCancel(t.Context())
		got := 0
		for _, err := range square.Map(ctx, p, numbers(-1)) {
			if err != nil {
				require.ErrorIs(t, err, context.Canceled)
				break
			}
			if got++; got == 1000*(n+1) {
				if n%2 == 0 {
					break
				}
				cancel()
			}
		}
		cancel()
	}
	requireNoBlocks(t, p)
	same(t, p, echoInt, 1)
	require.Zero(t, p.Stats().Deaths)
}

// What a Map that is left was about to send again, because it stood behind an item that failed, counts as cancelled.
func TestChunkBreakIsCounted(t *testing.T) {
	p := start(t, Options{Workers: 2})
	for n := range 10 {
		got := 0
		for range evens.Map(t.Context(), p, numbers(10_000)) {
			if got++; got == 500*n+1 {
				break
			}
		}
	}
	requireNoBlocks(t, p)
	eventually(t, "nothing is outstanding", func() bool { return p.Stats().Outstanding == 0 })
	s := p.Stats()
	require.Equal(t, s.Accepted, s.Succeeded+s.Failed+s.Cancelled, "%v", s)
}

// When the pool ends, a Map says so for each item that has no result.
func TestChunkTerminate(t *testing.T) {
	p, err := New(Options{Workers: 2})
	require.NoError(t, err)
	got, failed := 0, 0
	for y, err := range square.Map(t.Context(), p, numbers(-1)) {
		if err == nil {
			require.Equal(t, got*got, y)
			if got++; got == 50_000 {
				p.Terminate()
			}
			continue
		}
		require.ErrorIs(t, err, ErrClosed)
		if failed++; failed == 100 {
			break
		}
	}
	require.Equal(t, 100, failed)
}

//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	chaosTime   = flag.Duration("chaos.time", 0, "how long TestChaos goes on; 0: 3 s, or 1 s with -short or the race detector")
	chaosDeaths = flag.Uint64("chaos.deaths", 0, "go on until so many workers have died, instead")
	chaosMost   = flag.Int("chaos.workers", 6, "how many workers a pool has at most; at least 4")
	chaosSeed   = flag.Uint64("chaos.seed", 0, "from which TestChaos takes its choices; 0: another each time")
)

// roundTime is how long a pool lives: so short that no process id comes twice, and that books are small.
const roundTime = 4 * time.Second

// Many goroutines give away work of all kinds, in all ways, to a pool of a few workers, while these are killed, stopped and crash,
// by themselves and by others, and the pool is resized and rebuilt. In the end three accounts must agree: what the callers got, what
// the workers have noted in a ledger of their own, and the pool's numbers. Nothing may be lost, done twice or left behind, and
// everything that went wrong must come from what was done.
//
// All choices are made from a seed. What meets what is up to the kernel: the same seed makes the same kind of day, not the same day.
func TestChaos(t *testing.T) {
	seed := *chaosSeed
	if seed == 0 {
		seed = rand.Uint64N(1<<32) + 1
	}
	fmt.Printf("chaos: seed %d\n", seed)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to replay, perhaps a few times: go test ./pool -run '^TestChaos$' -v -chaos.seed=%d -chaos.time=%v -chaos.deaths=%d -chaos.workers=%d",
				seed, chaosLength(), *chaosDeaths, *chaosMost)
		}
	})
	var total tally
	for began, n := time.Now(), uint64(0); !t.Failed(); n++ {
		length := min(chaosLength()-time.Since(began), roundTime)
		if *chaosDeaths > 0 {
			length = roundTime
		}
		if length <= 0 || *chaosDeaths > 0 && total.deaths >= *chaosDeaths {
			break
		}
		total.add(runRound(t, seed, n, length))
	}
	fmt.Printf("chaos: %v\n", total)
}

func chaosLength() time.Duration {
	switch {
	case *chaosTime > 0:
		return *chaosTime
	case testing.Short() || detectsRaces:
		return time.Second
	}
	return 3 * time.Second
}

// A tally is the sum of some rounds.
type tally struct{ accepted, results, errors, deaths, lost, doubled, leaked uint64 }

func (a *tally) add(b tally) {
	a.accepted += b.accepted
	a.results += b.results
	a.errors += b.errors
	a.deaths += b.deaths
	a.lost += b.lost
	a.doubled += b.doubled
	a.leaked += b.leaked
}

func (a tally) String() string {
	return fmt.Sprintf("%d accepted, %d results, %d errors, %d deaths, %d lost, %d doubled, %d leaked",
		a.accepted, a.results, a.errors, a.deaths, a.lost, a.doubled, a.leaked)
}

// A round is the life of one pool.
type round struct {
	t      *testing.T
	p      *Pool
	ledger *ledger
	ticks  []uint32
	seed   uint64
	number uint64
	tally  tally

	mu     sync.Mutex // guards what follows
	faults int
}

// mostFaults is how many faults of a round are told.
const mostFaults = 20

func (r *round) wrong(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault(format, args...)
}

func (r *round) lose(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tally.lost++
	r.fault(format, args...)
}

func (r *round) double(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tally.doubled++
	r.fault(format, args...)
}

func (r *round) fault(format string, args ...any) {
	if r.faults++; r.faults <= mostFaults {
		r.t.Errorf("round %d, %+v: "+format, append([]any{r.number, r.p.Stats()}, args...)...)
	}
}

// random is a source of choices for one goroutine of a round.
func (r *round) random(stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(r.seed, r.number<<16|stream))
}

// options are those of the round's pool.
func (r *round) options(stderr *os.File) Options {
	rng := r.random(0)
	o := Options{
		Name: "chaos", Workers: 2 + rng.IntN(*chaosMost-3), MaxWorkers: *chaosMost, Queue: 8 << rng.IntN(5), Memory: 128 * mib, Grace: 30 * time.Millisecond,
		Init: chaosOpen.With(filepath.Dir(r.ledger.file.Name())), OnExit: chaosLeave.With(none{}), Stderr: stderr, GOMAXPROCS: 1 + rng.IntN(2),
		Retries: rng.IntN(2) * rng.IntN(3),
	}
	if rng.IntN(3) == 0 {
		o.MaxTasksPerWorker = 8 + rng.IntN(1<<rng.IntN(8))
	}
	return o
}

// runRound runs one pool from its start to its end, and looks at what is left.
func runRound(t *testing.T, seed, number uint64, length time.Duration) tally {
	effects := takeStock(t)
	r := &round{t: t, seed: seed, number: number}
	dir := t.TempDir()
	var err error
	r.ledger, err = openLedger(dir)
	require.NoError(t, err)
	ticks, err := mapTicks(dir)
	require.NoError(t, err)
	r.ticks = sliceTicks(ticks)
	stderr, err := os.Create(filepath.Join(dir, "stderr"))
	require.NoError(t, err)
	r.p, err = New(r.options(stderr))
	require.NoError(t, err)

	fates := r.run(length)
	r.settle()
	if err := r.p.Close(); err != nil {
		r.wrong("%v", err)
	}
	r.sum()
	r.audit(r.ledger.read(t), fates)
	r.lastWords(stderr.Name())
	require.NoError(t, stderr.Close())
	require.NoError(t, r.ledger.file.Close())
	require.NoError(t, syscall.Munmap(ticks))
	for _, what := range effects.left() {
		r.leak("%s", what)
	}
	return r.tally
}

// sum takes the pool's numbers over.
func (r *round) sum() {
	s := r.p.Stats()
	r.tally.accepted, r.tally.results, r.tally.errors, r.tally.deaths = s.Accepted, s.Succeeded, s.Failed+s.Cancelled, s.Deaths
}

// callers is how many give away work at the same time.
const callers = 8

// run has everything happen at once, and returns what became of all chores.
func (r *round) run(length time.Duration) (fates []*fate) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var wg sync.WaitGroup
	for k, torment := range []func(context.Context, *rand.Rand){r.kill, r.stop, r.resize, r.rebuild} {
		wg.Go(func() { torment(ctx, r.random(1+uint64(k))) })
	}
	customers := make([]*customer, callers)
	for k := range customers {
		c := newCustomer(r, k)
		customers[k] = c
		wg.Go(func() {
			defer c.release()
			for ctx.Err() == nil {
				c.step()
			}
		})
	}
	linger(ctx, length)
	eventually(r.t, "a worker has died and a task has succeeded", func() bool { s := r.p.Stats(); return s.Deaths > 0 && s.Succeeded > 0 })
	stop()
	ended := make(chan struct{})
	go func() { defer close(ended); wg.Wait() }()
	select {
	case <-ended:
	case <-time.After(watchdog):
		r.lose("somebody still waits")
		r.sum()
		stacks := make([]byte, 1<<18)
		r.t.Fatalf("chaos: %v\n%s", r.tally, stacks[:runtime.Stack(stacks, true)])
	}
	for _, c := range customers {
		fates = append(fates, c.fates...)
	}
	return fates
}

// settle waits until nothing is left in the pool's memory.
func (r *round) settle() {
	end := time.Now().Add(watchdog)
	for what := r.unsettled(); len(what) > 0; what = r.unsettled() {
		if time.Now().After(end) {
			r.leak("in the pool: %s", strings.Join(what, ", "))
			return
		}
		runtime.GC() // of dropped futures
		linger(context.Background(), 5*time.Millisecond)
	}
}

// unsettled lists what is there although nobody wants it any more.
func (r *round) unsettled() (what []string) {
	p := r.p
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reap()
	m, used := p.store.Stats(), 0
	for i := range p.entries {
		if w := word(p.mem.slots[i].word.Load()); p.entries[i].live || w.state() != free {
			used++
		}
	}
	for name, n := range map[string]int{
		"tasks outstanding": p.outstanding, "slots in use": used, "slots missing": len(p.entries) - len(p.freeSlots),
		"blocks": m.Count, "blocks of the program": p.home.blocks, "bytes of arguments": int(p.arguments), "users": p.inside,
		"waiting for slots": len(p.waiters), "waiting for memory": p.starving, "copies": p.copying, "forgettable results": int(p.forgettable.Load()),
	} {
		if n != 0 {
			what = append(what, fmt.Sprintf("%d %s", n, name))
		}
	}
	if err := p.store.Check(); err != nil {
		what = append(what, err.Error())
	}
	return what
}

func (r *round) leak(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tally.leaked++
	r.fault(format, args...)
}

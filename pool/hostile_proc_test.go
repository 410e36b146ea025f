//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
)

// A crime is what a hostile worker writes, and where. It begins once the file is there.
type crime struct {
	How  string
	Seed uint64
	When string
}

// crimes are all ways of writing.
var crimes = []string{"books", "edges", "bits", "swaps", "slots", "arena", "everything"}

// vandalise writes over all that it can reach, at full speed, until it is killed.
var vandalise = Func("vandalise", func(_ context.Context, c crime) (int, error) {
	rng, m := rand.New(rand.NewPCG(c.Seed, 0)), processContexts.worker.mem
	if err := os.WriteFile(c.When, nil, 0o600); err != nil {
		return 0, err
	}
	words := layout.MustSlice[uint64](m.bytes, 0, len(m.bytes)/8)
	books := int(m.off.books / 8)
	values := []uint64{0, 1, 2, 1 << 31, 1 << 32, 1 << 62, 1<<63 - 1, 1 << 63, 1<<64 - 1}
	for {
		switch c.How {
		case "books":
			words[rng.IntN(books)] = rng.Uint64()
		case "edges": // values that comparisons get wrong
			words[rng.IntN(books)] = values[rng.IntN(len(values))]
		case "bits":
			words[rng.IntN(books)] ^= 1 << rng.IntN(64)
		case "swaps": // what was valid elsewhere
			words[rng.IntN(books)] = words[rng.IntN(books)]
		case "slots":
			s := &m.slots[rng.IntN(len(m.slots))]
			was := word(s.word.Load())
			s.resKind, s.resLen = place(rng.IntN(5)), values[rng.IntN(len(values))]>>rng.IntN(64)
			s.argKind, s.argLen = place(rng.IntN(5)), values[rng.IntN(len(values))]>>rng.IntN(64)
			s.word.Store(uint64(makeWord(state(rng.IntN(7)), was.worker(), was.gen())))
		case "arena":
			words[books+rng.IntN(min(len(words)-books, 1<<16))] = rng.Uint64()
		case "everything":
			words[rng.IntN(min(len(words), 1<<20))] = rng.Uint64()
		}
	}
})

// A worker that writes random bytes over all that it can reach, while others work: the parent does not crash, hang or leak, and
// every call ends. What its tasks return while that goes on is anybody's guess; afterwards it is right again.
func TestHostileWorker(t *testing.T) {
	for _, how := range crimes {
		t.Run(how, func(t *testing.T) {
			p := start(t, besideVandals)
			ended := suffering(t, p, func() {
				for seed := range uint64(5) {
					commit(t, p, how, seed)
				}
			})
			t.Logf("%v; %v", ended, p.Stats())
			requireRecovers(t, p)
			requireBalanced(t, p)
		})
	}
}

// requireBalanced checks that what was accepted has ended once, as a pool counts that has nothing to do.
func requireBalanced(t *testing.T, p *Pool) {
	t.Helper()
	s := p.Stats()
	require.Zero(t, s.Outstanding, s)
	require.Equal(t, s.Accepted, s.Succeeded+s.Failed+s.Cancelled, s)
}

// besideVandals are the options of a pool that is to be written over.
var besideVandals = Options{Name: "hostile", Workers: 3, Queue: 32, Memory: 16 * mib, Grace: soon}

// commit has a worker of the pool commit one crime, until it is killed for it.
func commit(t *testing.T, p *Pool, how string, seed uint64) {
	began := filepath.Join(t.TempDir(), "began")
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	_, err := vandalise.Call(ctx, p, crime{how, seed, began})
	assert.Error(t, err)
}

// suffering has others work while that runs, and returns how many calls of each kind have ended, and how.
func suffering(t *testing.T, p *Pool, meanwhile func()) (ended map[string]int) {
	ctx, cancel := context.WithCancel(t.Context())
	ended = map[string]int{}
	var mu sync.Mutex
	note := func(what string, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			what += " failed"
		}
		ended[what]++
	}
	var victims sync.WaitGroup
	for _, suffer := range sufferings {
		victims.Go(func() {
			for ctx.Err() == nil {
				suffer(ctx, p, note)
			}
		})
	}
	meanwhile()
	cancel()
	done := make(chan struct{})
	go func() { victims.Wait(); close(done) }()
	receive(t, done)
	return ended
}

// requireRecovers waits until a pool whose vandals are dead works as it should. What they have left behind may take a while to be found.
func requireRecovers(t *testing.T, p *Pool) {
	t.Helper()
	eventually(t, "no vandal is left", func() bool { p.mu.Lock(); defer p.mu.Unlock(); p.reap(); return p.outstanding == 0 })
	require.NoError(t, p.Rebuild(t.Context()))
	same(t, p, echoInt, 1, 2, 3)
	same(t, p, echoBytes, make([]byte, 100_000))
	b := newWords(t, p, 1000)
	out, err := haul.Call(t.Context(), p, freight{How: "return", Own: struct{ B, B2 *Block[uint64] }{B: b}})
	require.NoError(t, err)
	out.B.Release()
	requireNothingHeld(t, p)
	requireStaff(t, p, 3)
}

// sufferings are what others do beside a vandal. What they get may be wrong, but must be theirs to look at.
var sufferings = []func(ctx context.Context, p *Pool, note func(string, error)){
	func(ctx context.Context, p *Pool, note func(string, error)) {
		_, err := square.Call(ctx, p, 3)
		note("call", err)
	},
	func(ctx context.Context, p *Pool, note func(string, error)) {
		got, err := echoBytes.Call(ctx, p, make([]byte, 10_000))
		for i := range got { // wherever it lies, it can be read and written
			got[i]++
		}
		note("bytes", err)
	},
	func(ctx context.Context, p *Pool, note func(string, error)) {
		for _, err := range square.Map(ctx, p, numbers(300)) {
			note("item", err)
		}
	},
	func(ctx context.Context, p *Pool, note func(string, error)) {
		b, err := NewBlock[uint64](ctx, p, 2000)
		note("block", err)
		if err != nil {
			return
		}
		b.Slice()[1999] = 1
		out, err := haul.Call(ctx, p, freight{How: "return", Own: struct{ B, B2 *Block[uint64] }{B: b}})
		note("haul", err)
		if err != nil {
			if b.Held() { // the task had not begun
				b.Release()
			}
			return
		}
		if out.B != nil {
			for i := range out.B.Slice() { // as many as it says
				out.B.Slice()[i]++
			}
			out.B.Release()
		}
	},
	func(ctx context.Context, p *Pool, note func(string, error)) {
		_, err := echoAny.Call(ctx, p, map[string]any{"a": []any{"b", 1.5}})
		note("CBOR", err)
	},
}

package bench

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"structs"
	"sync/atomic"
	"testing"

	"github.com/edsrzf/mmap-go"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/ring"
)

// boardItems is how many items lie between the two sides of a stream at most.
const boardItems = 4096

// A board is the memory that the two processes of a limit share. Each of its words
// has a line to itself.
type board struct {
	_     structs.HostLayout
	ready atomic.Uint64 // 1 once the child runs; pairs with the load in duel
	_     [layout.Line - 8]byte
	ping  atomic.Uint64 // stored by the parent, loaded by the child
	_     [layout.Line - 8]byte
	pong  atomic.Uint64 // stored by the child, loaded by the parent
	_     [layout.Line - 8]byte
	bell  atomic.Uint32 // futex word, the parent's ping to a sleeping child
	_     [layout.Line - 4]byte
	reply atomic.Uint32 // futex word, the child's pong to a sleeping parent
	_     [layout.Line - 4]byte
	// items are plain: the producer hands them over by ping, the consumer back by pong.
	items [boardItems]uint64
	// rings are empty ones when a duel begins.
	rings [2][ringBytes]byte
}

const (
	// ringBytes are for a ring in which as many items lie, each of which is published alone:
	// a header and a word, behind what ring.SPSCSize adds.
	ringBytes  = 2*layout.Line + 16*boardItems
	boardBytes = 5*layout.Line + 8*boardItems + 2*ringBytes
)

func (s *board) producer(i int) *ring.Producer {
	p, err := ring.AttachProducer(s.rings[i][:])
	must(err)
	return p
}

func (s *board) consumer(i int) *ring.Consumer {
	c, err := ring.AttachConsumer(s.rings[i][:])
	must(err)
	return c
}

func mapBoard(f *os.File) (*board, mmap.MMap, error) {
	mem, err := mmap.Map(f, mmap.RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	s, err := layout.At[board](mem, 0)
	return s, mem, err
}

// sideEnv makes the test binary the child of a limit: the name of its side.
const sideEnv = "SHMKIT_BENCH_SIDE"

// sides are what the children do n times.
var sides = map[string]func(s *board, n uint64){
	"pong": pong, "sleepy pong": sleepyPong, "burn half": burnHalf,
	"take each": func(s *board, n uint64) { take(s, n, 1) },
	"take 64":   func(s *board, n uint64) { take(s, n, 64) },
}

// runSide is the main function of such a child. Its standard input ends when the
// parent does.
func runSide(name string) {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1)
	}()
	n, err := strconv.ParseUint(os.Args[1], 10, 64)
	must(err)
	s, _, err := mapBoard(os.NewFile(3, "board"))
	must(err)
	s.ready.Store(1)
	sides[name](s, n)
	os.Exit(0)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// duel times b.N turns of one side here, against the other side in a bare process.
func duel(b *testing.B, side string, turns func(s *board, n uint64)) {
	f, err := sys.Memfd("shmkit:bench", boardBytes)
	must(err)
	defer f.Close()
	must(sys.Allocate(f, 0, boardBytes))
	s, mem, err := mapBoard(f)
	must(err)
	defer func() { must(mem.Unmap()) }()
	for i := range s.rings {
		must(ring.InitSPSC(s.rings[i][:]))
	}

	wait := startSide(side, uint64(b.N), f)
	for s.ready.Load() == 0 {
		sys.Pause(1)
	}
	b.ReportAllocs()
	b.ResetTimer()
	turns(s, uint64(b.N))
	b.StopTimer()
	wait()
}

// startSide starts a child and returns what waits for its end. A child that fails
// takes the benchmark with it: the parent would spin for ever.
func startSide(side string, n uint64, f *os.File) (wait func()) {
	cmd := exec.Command("/proc/self/exe", strconv.FormatUint(n, 10))
	cmd.Env = append(os.Environ(), sideEnv+"="+side, "GOMAXPROCS=1")
	cmd.ExtraFiles = []*os.File{f}
	cmd.Stderr = os.Stderr
	lifeline, err := cmd.StdinPipe()
	must(err)
	must(cmd.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := cmd.Wait(); err != nil {
			panic(errors.Join(errors.New("the other side of the benchmark failed"), err))
		}
	}()
	return func() {
		<-ended
		_ = lifeline.Close() // Wait has closed it
	}
}

package ring

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/history"
	"github.com/shmkit/shmkit/shm"
)

// parts are what the processes of these tests play.
var parts = map[string]history.Part{
	"push":           withScene(pushHints),
	"push or die":    doomed(3, pushHints),
	"pop":            withScene(popHints),
	"pop or die":     doomed(3, popHints),
	"next":           withScene(nextHints),
	"produce":        withScene(produceRecords),
	"produce or die": doomed(2, produceRecords),
	"consume":        withScene(consumeRecords),
	"consume or die": doomed(2, consumeRecords),
	"put and take":   withScene(putAndTake),
}

// What an operation is called with, and what it returns. The nth value that is put into a ring is always the same, so that
// specifications only count.
type (
	call struct {
		Op   op
		N    int64  // how many values at most; of opPush and opPut, which is the first
		Pos  uint64 // of opTake
		Many int64  // of opPut
	}
	result struct {
		OK    bool
		Pos   uint64
		Found int64
		Vals  [3]uint32
	}
	scribe    = history.Scribe[call, result]
	operation = history.Operation[call, result]
)

type op uint8

const (
	opPush  op = iota // Hints, TryPush
	opPop             // TryPop
	opHead            // Head, and the load of head in Peek
	opCells           // the rest of Peek
	opTake            // Take
	opEmpty           // Empty
	opNext            // HintsConsumer.Next
	opDrop            // Drop

	opPut     // SPSC: Reserve as often as it takes, and Commit
	opPeek    // Peek
	opPeekRun // PeekRun
	opRelease // Release
	opMayDrop // Release of one record, by one who was killed in it
	opAttach  // AttachConsumer, and a Peek

	opMPut     // MPMC: Reserve and Commit
	opMTake    // Take and Release
	opMReserve // the halves of both
	opMCommit
	opMClaim
	opMRelease
)

func value(n int64) uint32 { return uint32(n)*2654435761 + 1 }

// A scene is what the processes of a test share: a ring and the book in which they note what they do with it.
type scene struct {
	seg  *shm.Segment
	ring []byte
	book *history.Book[call, result]

	mortals int // how many processes die in turns, one in each round; 0: none
}

const (
	ringBytes = 4096
	cast      = 5  // processes at most, the test among them
	script    = 18 // operations of each in a round
)

func openScene(seg *shm.Segment) (*scene, error) {
	mem := seg.Bytes()
	b, err := history.Open[call, result](mem[ringBytes:], cast, script)
	return &scene{seg: seg, ring: mem[:ringBytes], book: b}, err
}

func newScene(t testing.TB) *scene {
	size := ringBytes + history.Size(cast, script)
	seg, err := shm.New("linear", size)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, seg.Close()) })
	require.NoError(t, seg.Reserve(0, size))
	s, err := openScene(seg)
	require.NoError(t, err)
	return s
}

func withScene(play func(s *scene, process int)) history.Part {
	return func(f *os.File, process int) error {
		seg, err := shm.Attach(f)
		if err != nil {
			return err
		}
		s, err := openScene(seg)
		if err != nil {
			return err
		}
		play(s, process)
		return nil
	}
}

// doomed makes a part one of so many of which one is killed in each round.
func doomed(mortals int, play func(s *scene, process int)) history.Part {
	return withScene(func(s *scene, process int) {
		s.mortals = mortals
		play(s, process)
	})
}

// dieWithin is about as long as a round takes.
const dieWithin = 300 * time.Microsecond

// rounds plays a process's part, and kills it when its turn has come.
func (s *scene) rounds(process int, play func(round int, by *scribe)) {
	s.book.Rounds(process, func(round int, by *scribe) {
		if s.mortals > 0 && round%s.mortals == process {
			history.KillSelf(dieWithin)
		}
		play(round, by)
	})
}

// values returns n values from the one with number first.
func values(first, n int64) (vals [3]uint32) {
	for k := range n {
		vals[k] = value(first + k)
	}
	return vals
}

// A play is a test: what its processes do, round for round.
type play struct {
	*scene
	parts   []string
	players []*history.Player
}

func (s *scene) play(t testing.TB, parts ...string) *play {
	p := &play{scene: s, parts: parts}
	for i, part := range parts {
		p.players = append(p.players, history.Start(t, part, s.seg.File(), i))
	}
	return p
}

// round plays one, and returns what happened.
func (p *play) round() []operation {
	p.book.Begin()
	for i := range p.players {
		p.book.Await(i)
	}
	return p.book.Operations()
}

// fatalRound plays a round in which one process is killed, puts another in its place, and returns who it was.
func (p *play) fatalRound(t testing.TB) (victim int) {
	round := p.book.Begin()
	victim = round % len(p.players)
	for i := range p.players {
		if i != victim {
			p.book.Await(i)
		}
	}
	p.players[victim].Wait()
	p.book.Killed(victim)
	p.players[victim] = history.Start(t, p.parts[victim], p.seg.File(), victim)
	return victim
}

// test is the number of the test itself among the processes.
const test = cast - 1

// pending counts the operations that did not return.
func pending(ops []operation) (n int) {
	for _, o := range ops {
		if o.Out == nil {
			n++
		}
	}
	return n
}

// requireContended fails a test whose processes have not been at the ring at the same time.
func requireContended(t testing.TB, overlaps, rounds int) {
	t.Logf("%d operations overlapped in each of %d histories", overlaps/rounds, rounds)
	require.Greater(t, overlaps, rounds, "what does not overlap shows nothing")
}

// refused reports whether one of the operations failed.
func refused(ops []operation, kind op) bool {
	for _, o := range ops {
		if o.In.Op == kind && !o.Out.OK {
			return true
		}
	}
	return false
}

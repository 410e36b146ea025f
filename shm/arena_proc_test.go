package shm_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/leak"
	"github.com/shmkit/shmkit/shm"
)

const (
	arenaBytes = 32 << 20
	lanes      = 4

	mailHolder shm.Holder = 2 // of blocks that are on their way
	firstChild shm.Holder = 3

	arenaEnv = "SHMKIT_SHM_ARENA" // of a child: its holder, its lane and how much it does
)

// A mailbox is where the process of a lane offers a block to the others, behind the arena.
type mailbox struct {
	seq            atomic.Uint64 // odd while there is something; grows with each change
	off, cap, word atomic.Uint64
	_              [32]byte
}

// post offers a block, held by mailHolder, if the box is empty. The box is this process's own.
func (m *mailbox) post(b shm.Block) bool {
	seq := m.seq.Load()
	if seq%2 == 1 {
		return false
	}
	m.off.Store(uint64(b.Off))
	m.cap.Store(uint64(b.Cap))
	m.word.Store(b.Word)
	m.seq.Store(seq + 1) // pairs with the load in fetch
	return true
}

// fetch takes what is in the box, unless another does.
func (m *mailbox) fetch(a *shm.Arena, self shm.Holder) (b shm.Block, ok bool) {
	seq := m.seq.Load()
	if seq%2 == 0 {
		return b, false
	}
	off, n, word := m.off.Load(), m.cap.Load(), m.word.Load()
	if m.seq.Load() != seq {
		return b, false
	}
	b, err := a.Find(int64(off), int64(n), word)
	if err == nil {
		b, ok = a.Give(b, self)
	}
	m.seq.CompareAndSwap(seq, seq+1) // also for one who has taken it, and died before this
	return b, ok
}

// sign writes a pattern that contains all that is needed to check it.
func sign(mem []byte, seed uint64) {
	paint(mem[8:], seed)
	binary.LittleEndian.PutUint64(mem, seed)
}

func forged(mem []byte) error {
	if i := unpainted(mem[8:], binary.LittleEndian.Uint64(mem)); i >= 0 {
		return fmt.Errorf("byte %d of %d was overwritten", i+8, len(mem))
	}
	return nil
}

// openArena attaches to the arena and the mailboxes that the segment holds.
func openArena(s *shm.Segment, self shm.Holder) (*shm.Arena, []*mailbox, error) {
	size := shm.ArenaSize(arenaBytes, page)
	var boxes []*mailbox
	for i := range lanes {
		m, err := shm.At[mailbox](s.Bytes(), size+64*int64(i))
		if err != nil {
			return nil, nil, err
		}
		boxes = append(boxes, m)
	}
	var a *shm.Arena
	var err error
	if self == parentHolder {
		a, err = shm.NewArena(s.Bytes()[:size], arenaBytes, page, self, s)
	} else {
		a, err = shm.OpenArena(s.Bytes()[:size], self, s)
	}
	return a, boxes, err
}

// An arenaHouse is the parent of children that use an arena.
type arenaHouse struct {
	t     *testing.T
	s     *shm.Segment
	a     *shm.Arena
	boxes []*mailbox
	last  atomic.Uint32 // holder
	said  *os.File      // what children write when something is wrong

	mu   sync.Mutex
	kept []shm.Block
}

func newArenaHouse(t *testing.T) *arenaHouse {
	h := &arenaHouse{t: t, s: newSegment(t, shm.ArenaSize(arenaBytes, page)+lanes*64)}
	var err error
	h.a, h.boxes, err = openArena(h.s, parentHolder)
	require.NoError(t, err)
	h.last.Store(uint32(firstChild) - 1)
	h.said, err = os.CreateTemp(t.TempDir(), "said")
	require.NoError(t, err)
	t.Cleanup(func() { h.said.Close() })
	return h
}

// run has a child do some operations in a lane, or kills it a while after it has begun if delay is not negative.
func (h *arenaHouse) run(lane, ops int, delay time.Duration) error {
	self := shm.Holder(h.last.Add(1))
	begun, tell, err := os.Pipe()
	if err != nil {
		return err
	}
	defer begun.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"=arena", "GOGC=off", "GORACE=atexit_sleep_ms=0", fmt.Sprintf("%s=%d %d %d", arenaEnv, self, lane, ops))
	cmd.ExtraFiles = []*os.File{h.s.File(), tell}
	cmd.Stderr = h.said
	err = cmd.Start()
	tell.Close()
	if err != nil {
		return err
	}
	timer := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
	defer timer.Stop()
	if _, err = begun.Read(make([]byte, 1)); err == nil && delay >= 0 {
		<-time.After(delay) // which moment it is should be chance
		cmd.Process.Kill()
	}
	err = cmd.Wait()
	if delay >= 0 && cmd.ProcessState.ExitCode() == -1 { // killed, as it should be
		err = nil
	}
	if freed := h.a.Reclaim(self); err == nil && delay < 0 && freed > 0 {
		err = fmt.Errorf("holder %d has left %d blocks", self, freed)
	}
	if err != nil {
		said, _ := os.ReadFile(h.said.Name())
		return fmt.Errorf("%w: %s", err, said)
	}
	return h.look(lane)
}

// look counts, and takes what is in a lane's mailbox.
func (h *arenaHouse) look(lane int) error {
	if st := h.a.Stats(); st.Blocks+st.Slack+st.Free != st.Size {
		return fmt.Errorf("it does not add up: %+v", st)
	}
	b, ok := h.boxes[lane].fetch(h.a, parentHolder)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, k := range h.kept {
		if err := forged(h.a.Bytes(k)); err != nil {
			return fmt.Errorf("%+v of the parent: %w", k, err)
		}
	}
	if ok {
		if err := forged(h.a.Bytes(b)); err != nil {
			return fmt.Errorf("%+v from a dead child: %w", b, err)
		}
		h.kept = append(h.kept, b)
	}
	if len(h.kept) > 12 {
		if b = h.kept[0]; !h.a.Free(b) {
			return fmt.Errorf("%+v of the parent cannot be freed", b)
		}
		h.kept = h.kept[1:]
	}
	return nil
}

// all runs n children, as many at once as there are lanes.
func (h *arenaHouse) all(n int, run func(i, lane int) error) {
	var g sync.WaitGroup
	var next atomic.Int64
	errs := make([]error, lanes)
	for lane := range lanes {
		g.Go(func() {
			for i := int(next.Add(1)); i <= n && errs[lane] == nil; i = int(next.Add(1)) {
				if errs[lane] = run(i, lane); errs[lane] != nil {
					next.Store(int64(n))
				}
			}
		})
	}
	g.Wait()
	require.NoError(h.t, errors.Join(errs...))
}

// end expects that nothing is lost once all is freed: in the mailboxes, or by those who died before they had posted it.
func (h *arenaHouse) end(died bool) {
	require.NoError(h.t, h.a.Check())
	for _, b := range h.kept {
		require.NoError(h.t, forged(h.a.Bytes(b)))
		require.True(h.t, h.a.Free(b))
	}
	for _, box := range h.boxes {
		if b, ok := box.fetch(h.a, parentHolder); ok {
			require.NoError(h.t, forged(h.a.Bytes(b)))
			require.True(h.t, h.a.Free(b))
		}
	}
	lost := h.a.Reclaim(mailHolder)
	require.True(h.t, died || lost == 0, lost)
	requireEmpty(h.t, h.a)
	h.a.TrimAll()
	assert.Zero(h.t, h.a.Stats().Backed)
	_, _, data := shm.ArenaParts(arenaBytes, page)
	assert.LessOrEqual(h.t, backed(h.t, h.s), data+page, "header, words and mailboxes, and at most a record for each span")
}

func TestArenaBetweenProcesses(t *testing.T) {
	leak.Check(t)
	h := newArenaHouse(t)
	h.all(2*lanes, func(_, lane int) error { return h.run(lane, 5000, -1) })
	h.end(false)
}

// underRace reports whether the race detector slows everything down.
func underRace() bool {
	info, _ := debug.ReadBuildInfo()
	return info != nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// Children are killed at any moment, and nothing is lost.
func TestArenaChildrenAreKilled(t *testing.T) {
	leak.Check(t)
	kills := 2000
	if testing.Short() || underRace() {
		kills = 300
	}
	h := newArenaHouse(t)
	h.all(kills, func(i, lane int) error {
		rnd := rand.New(rand.NewPCG(4, uint64(i)))
		return h.run(lane, 1<<62, time.Duration(rnd.Int64N(int64(3*time.Millisecond))))
	})
	require.NotEmpty(t, h.kept)
	h.end(true)
}

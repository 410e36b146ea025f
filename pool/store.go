package pool

import (
	"sync"

	"github.com/shmkit/shmkit/shm"
)

// A store is the pool's arena as one process uses it.
type store struct {
	*shm.Arena
	seg  *shm.Segment
	mem  []byte
	base int64 // of mem, in the segment

	mu       sync.Mutex
	readOnly []byte // mem at other addresses, where writing faults; nil until it is needed. Guarded by mu
}

// region is the part of a segment in which an arena lies.
type region struct {
	seg  *shm.Segment
	base int64
}

func (r region) Reserve(off, n int64) error { return r.seg.Reserve(r.base+off, n) }
func (r region) Punch(off, n int64) error   { return r.seg.Punch(r.base+off, n) }

func makeStore(seg *shm.Segment, m *memory) (*store, error) {
	a, err := shm.NewArena(m.arena(), m.geo.memory, m.geo.page, parentHolder, region{seg, m.off.arena})
	return &store{Arena: a, seg: seg, mem: m.arena(), base: m.off.arena}, err
}

func openStore(seg *shm.Segment, m *memory, h shm.Holder) (*store, error) {
	a, err := shm.OpenArena(m.arena(), h, region{seg, m.off.arena})
	return &store{Arena: a, seg: seg, mem: m.arena(), base: m.off.arena}, err
}

// view returns n bytes of a block: a frozen one at addresses where writing faults, if protect says so.
func (s *store) view(b shm.Block, n int64, protect bool) ([]byte, error) {
	mem := s.mem
	if protect {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.readOnly == nil {
			whole, err := s.seg.ReadOnly()
			if err != nil {
				return nil, err
			}
			s.readOnly = whole[s.base:][:len(s.mem)]
		}
		mem = s.readOnly
	}
	return mem[b.Off : b.Off+n : b.Off+n], nil
}

// The holders of blocks: the parent, the workers by their incarnation, and tasks, from being accepted to their end, by
// their slots.
const (
	parentHolder shm.Holder = 1
	taskHolders  shm.Holder = 1 << 21
)

func workerHolder(incarnation uint32) shm.Holder { return parentHolder + shm.Holder(incarnation) }
func taskHolder(slot uint32) shm.Holder          { return taskHolders | shm.Holder(slot) }

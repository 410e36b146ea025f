package pool

import (
	"fmt"
	"time"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/shm"
)

// A Part is a part of a pool's memory, as docs/LAYOUT.md has it.
type Part struct {
	Name      string
	Off, Size int64
}

// Parts lists the parts of the memory, in its order.
func (o *Observer) Parts() []Part {
	x, g := o.off, o.geo
	parts := []Part{{"header", 0, layout.HeaderSize}, {"control", x.control, ctlBytes}, {"ready ring", x.ready, x.workers - x.ready},
		{"workers", x.workers, int64(g.workers) * workerBytes}, {"slots", x.slots, int64(g.slots) * slotBytes}, {"near space", x.near, int64(g.slots) * 2 * nearBytes},
		{"function table", x.table, int64(g.table)}, {"initialiser", x.init, int64(g.init)}, {"stamps", x.stamps, int64(g.slots) * 8},
		{"what the parent tells", x.telemetry, x.completions - x.telemetry}, {"completion rings", x.completions, x.boot - x.completions},
		{"boot pages", x.boot, x.records - x.boot}, {"what workers tell", x.records, x.arena - x.records}, {"arena", x.arena, shm.ArenaSize(g.memory, g.page)}}
	return parts
}

// ReadAt reads the memory as it is. What an image does not have is zero.
func (o *Observer) ReadAt(b []byte, off int64) (int, error) { return o.file.ReadAt(b, off) }

// A SlotSnapshot is a slot that is not free: a task.
type SlotSnapshot struct {
	Slot     int
	Off      int64  // where it lies in the memory
	State    string // "queued", "running", "done", "failed", "doomed"
	Task     uint64 // as in events
	Function string
	Worker   uint32    // incarnation of who has it, 0: nobody yet
	Argument string    // where it lies: "slot", "near", "block", "chunk"
	ArgBytes uint64    // of the argument; of a chunk, its items
	Result   string    // where it lies, once it has ended
	ResBytes uint64    // of the result
	Retry    bool      // it may begin again
	Accepted time.Time // zero if that is not known
}

// mostSlots bounds how many are returned.
const mostSlots = 1 << 16

// Slots lists the slots that are not free.
func (o *Observer) Slots() (all []SlotSnapshot, err error) {
	c, err := o.common()
	if err == nil {
		err = o.eachSlot(func(i uint32, s *slot, stamp int64) error {
			w := word(s.word.Load())
			if w.state() == free || len(all) == mostSlots {
				return nil
			}
			one := SlotSnapshot{Slot: int(i), Off: o.off.slots + int64(i)*slotBytes, State: w.state().String(), Task: uint64(makeTaskID(i, w.gen())),
				Function: o.function(s.fn), Worker: w.worker(), Argument: placeName(s.argKind), ArgBytes: s.argLen, Retry: s.retried == 1}
			if w.state() == done || w.state() == failed {
				one.Result, one.ResBytes = placeName(s.resKind), s.resLen
			}
			if s.stamped == 1 {
				one.Accepted = clock(c.Board, stamp)
			}
			all = append(all, one)
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("observe slots: %w", err)
	}
	return all, nil
}

// placeName says where a value lies.
func placeName(kind place) string {
	names := [...]string{inline: "slot", near: "near", distant: "block", chunked: "chunk"}
	if int(kind) < len(names) {
		return names[kind]
	}
	return fmt.Sprintf("place %d", kind)
}

package pool

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/internal/telemetry"
)

// A Death is how a worker has ended that should have gone on, and what it was doing.
type Death struct {
	Place       int
	Incarnation uint32
	Pid         int
	At          time.Time
	Reason      string // as in [WorkerSnapshot].Ends
	Text        string // how it ended, in a line, or its beginning

	Task     uint64    // that it ran, as in events; 0: none
	Function string    // the task's
	Began    time.Time // the task, not earlier

	// In a [Snapshot]: the last events of the worker, the oldest first. In an image they are where all events are.
	Last []Event `json:",omitempty"`

	// In an image.

	ExitCode  int // -1 if a signal ended it
	Signal    string
	Traceback string // what the Go runtime has said, if it has
}

// mostCrashFiles bounds how many a pool leaves: its workers may die again and again.
const mostCrashFiles = 100

// A crashReport is what will be in a crash file: an image of what there is once in the memory, and of the dead worker's part.
type crashReport struct {
	note  imageNote
	parts []extent
	mem   [][]byte
}

// reportCrash copies what will be in the crash file of m's worker, which has died and left things as they are; nil if there is to be none. The
// caller holds mu.
func (p *Pool) reportCrash(m *member, d *demise, died *WorkerDiedError) *crashReport {
	if p.opts.CrashDir == "" || p.crashes == mostCrashFiles || m.limbo || d == nil {
		return nil
	}
	p.crashes++
	r := &crashReport{note: imageNote{Taken: sys.Nanotime(), Death: d.death(died)}}
	if id, err := owner.Self(); err == nil {
		r.note.Living = append(r.note.Living, id)
	}
	for i := range p.members {
		if id := owner.ID(p.mem.told.Desks[i].Process.Load()); i != m.index && id != 0 {
			r.note.Living = append(r.note.Living, id)
		}
	}
	o := p.mem.off
	for _, part := range append([]extent{{0, o.near}, {o.table, o.init - o.table}, {o.stamps, o.completions - o.stamps}}, p.mem.geo.own(m.index)...) {
		mem := bytes.Clone(p.mem.bytes[part.off:][:part.n])
		blank(mem, part.off, p.mem.geo)
		r.parts, r.mem = append(r.parts, part), append(r.mem, mem)
	}
	return r
}

// leaveReport has r written, unless it is nil: of a death for that reason. The caller holds mu.
func (p *Pool) leaveReport(r *crashReport, why telemetry.End) {
	if r == nil {
		return
	}
	r.note.Death.Reason = why.String()
	dir, name, size := p.opts.CrashDir, p.opts.Name, p.mem.off.total
	p.watchers.Go(func() { r.write(dir, name, size) }) // not under the lock
}

// write makes the crash file. One that cannot be written is missing: nobody is there to be told.
func (r *crashReport) write(dir, name string, size int64) {
	f, err := os.CreateTemp(dir, ".shmkit-*")
	if err != nil {
		return
	}
	defer os.Remove(f.Name()) // unless it has its name
	w := newImageWriter(f, size, r.note)
	for i, part := range r.parts {
		w.extent(part.off, r.mem[i])
	}
	if f.Close() == nil && w.err == nil {
		_ = os.Rename(f.Name(), filepath.Join(dir, fmt.Sprintf("%s-%d-%d.crash", filepath.Base(name), os.Getpid(), r.note.Death.Pid)))
	}
}

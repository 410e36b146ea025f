package pool

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/internal/telemetry"
)

// A Death is how a worker has ended.
type Death struct {
	Place       int
	Incarnation uint32
	Pid         int
	Reason      string // as in [WorkerSnapshot].Ends
	ExitCode    int    // -1 if a signal ended it
	Signal      string
	Traceback   string // what the Go runtime has said, if it has
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
func (p *Pool) reportCrash(m *member, died *WorkerDiedError) *crashReport {
	if p.opts.CrashDir == "" || p.crashes == mostCrashFiles || m.limbo || p.ending() || p.moving != nil ||
		bootStatus(p.mem.workers[m.index].status.Load()) == retired { // pairs with the store in worker.retire
		return nil
	}
	p.crashes++
	r := &crashReport{note: imageNote{Taken: sys.Nanotime(), Death: &Death{Place: m.index, Incarnation: m.incarnation, Pid: died.Pid,
		ExitCode: died.ExitCode, Signal: died.Signal, Traceback: died.Traceback}}}
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

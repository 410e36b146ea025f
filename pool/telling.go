package pool

import (
	"errors"
	"time"

	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/internal/telemetry"
)

// Whoever looks on is told by telemetry: the numbers as they are, times and events of each task that takes long, and of some of those
// that do not, so that telling stays a small part of what the tasks take.

// A sampler says which tasks are told of.
type sampler struct{ skip uint32 }

const (
	// tellEach is how long what is told must have taken for each to be told.
	tellEach = 10 * time.Microsecond

	// tellEvery is the least time, on average, between two of those that are shorter.
	tellEvery = 32 * time.Microsecond

	// mostSkips bounds how many in a row are not told.
	mostSkips = 255
)

// due reports whether this one is to be told.
func (s *sampler) due() bool {
	if s.skip > 0 {
		s.skip--
		return false
	}
	return true
}

// took says how long one took that was told.
func (s *sampler) took(d time.Duration) {
	s.skip = 0
	if d < tellEach {
		s.skip = uint32(min(tellEvery/max(d, 1), mostSkips))
	}
}

// telling is what the parent tells besides its numbers. Guarded by Pool.mu.
type telling struct {
	wall    int64 // nanoseconds from the monotonic clock to the time since 1970
	born    int64 // when the pool was made, by the monotonic clock
	faults  telemetry.FaultLog
	deaths  telemetry.DeathLog
	events  telemetry.Recorder
	sampler sampler
	stamped int64  // when the last stamp was made
	before  uint64 // how many tasks had been accepted then
}

// showIn has the pool tell in m from now on, which nobody else uses yet.
func (p *Pool) showIn(m *memory) {
	id, _ := owner.Self() // 0 if that cannot be known
	now := sys.Nanotime()
	p.telling.wall = time.Now().UnixNano() - now
	if p.telling.born == 0 {
		p.telling.born = now
	}
	b := m.told.Board
	b.Parent, b.Born, b.Wall = uint64(id), p.telling.born, p.telling.born+p.telling.wall
	b.SetName(p.opts.Name)
	p.telling.events = m.told.Record()
	p.tallies.ShowOn(b)
	p.telling.faults.ShowIn(m.told.Faults)
	p.telling.deaths.ShowIn(m.told.Deaths)
}

// showNowhere has the pool, whose memory goes away, keep to itself what there is still to tell.
func (p *Pool) showNowhere() {
	p.mem.told.Board.Leave(telemetry.Closed)
	p.tallies.ShowOn(new(telemetry.Board))
	p.telling.faults.ShowIn(new(telemetry.Faults))
	p.telling.deaths.ShowIn(new(telemetry.Obituaries))
	p.telling.events = telemetry.Recorder{}
}

// stamp notes when the task in slot i is accepted, if it is one that is told of.
func (p *Pool) stamp(i uint32) {
	e, s := &p.entries[i], &p.mem.slots[i]
	e.stamp, s.stamped = 0, 0
	if !tells || !p.telling.sampler.due() {
		return
	}
	now, accepted := sys.Nanotime(), p.tallies.Value(telemetry.Accepted)
	p.telling.sampler.took(time.Duration(now-p.telling.stamped) / time.Duration(max(accepted-p.telling.before, 1)))
	p.telling.stamped, p.telling.before = now, accepted
	e.stamp, s.stamped = now, 1
	sys.ReleaseStore64(&p.mem.stamps[i], uint64(now)) // handed over with the slot
}

// arrived tells of a task that was stamped, and has ended.
func (p *Pool) arrived(i uint32) {
	e := &p.entries[i]
	if e.stamp == 0 {
		return
	}
	now := sys.Nanotime()
	p.telling.events.Write(&telemetry.Event{Kind: telemetry.Journey, At: now, For: now - e.stamp, Wait: -1,
		Task: uint64(makeTaskID(i, e.gen)), Func: e.def.id})
	e.stamp = 0
}

// event keeps what has happened to a worker, or to all if it is 0.
func (p *Pool) event(k telemetry.Kind, worker, n uint32) {
	if tells {
		p.telling.events.Write(&telemetry.Event{Kind: k, At: sys.Nanotime(), Wait: -1, Worker: worker, N: n})
	}
}

// owe changes how many tasks are outstanding.
func (p *Pool) owe(n int) {
	p.outstanding += n
	p.tallies.Set(telemetry.Outstanding, uint64(p.outstanding))
}

// failed counts a task of the function that has ended with an error.
func (p *Pool) failed(d *definition, err error) {
	p.tallies.Add(telemetry.Failed, 1)
	p.telling.faults.Add(d.id, faultText(err), time.Now().UnixNano())
}

// timedOut counts a task whose time was up.
func (p *Pool) timedOut() {
	p.tallies.Add(telemetry.Cancelled, 1)
	p.tallies.Add(telemetry.Timeouts, 1)
}

// faultText is an error's text without what makes each one different.
func faultText(err error) string {
	if died := (*WorkerDiedError)(nil); errors.As(err, &died) {
		return died.kind()
	}
	if failed := (*TaskError)(nil); errors.As(err, &failed) {
		return failed.Message
	}
	return err.Error()
}

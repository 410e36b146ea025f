package pool

import (
	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/internal/telemetry"
)

// What the parent says of each place. The caller of all holds mu.

func (p *Pool) desk(m *member) *telemetry.Desk { return &p.mem.told.Desks[m.index] }

// clearDesk is for the next worker of m's place, which is not started yet.
func (p *Pool) clearDesk(m *member) {
	d := p.desk(m)
	d.Clear()
	d.Incarnation.Store(uint64(m.incarnation))
	d.Since.Store(sys.Nanotime())
	telemetry.Raise(&d.Starts, 1)
	p.showState(m)
}

// openRecords makes the place's records ready for its next worker.
func (p *Pool) openRecords(m *member) error {
	own := p.mem.records(m.index)
	return own.Prepare()
}

// sitDown says which process it is, if it was started.
func (p *Pool) sitDown(m *member) {
	if m.proc == nil {
		return
	}
	id, err := owner.Of(m.proc.Pid())
	if err != nil { // it has ended already
		id = owner.ID(m.proc.Pid())
	}
	p.desk(m).Process.Store(uint64(id))
	p.event(telemetry.Launched, m.incarnation, 0)
}

// standUp says why the worker has ended, before the place is vacant.
func (p *Pool) standUp(m *member) telemetry.End {
	why := m.why
	switch {
	case p.ending() || p.moving != nil:
		why = telemetry.Dismissed
	case bootStatus(p.mem.workers[m.index].status.Load()) == retired: // pairs with the store in worker.retire
		why = telemetry.Retired
	case !m.isReady:
		why = telemetry.NotStarted
	}
	telemetry.Raise(&p.desk(m).Ends[why], 1)
	p.event(telemetry.Died, m.incarnation, uint32(why))
	return why
}

// showState says where the place stands.
func (p *Pool) showState(m *member) {
	state := telemetry.Starting
	switch {
	case m.limbo:
		state = telemetry.Undead
	case m.vacant:
		state = telemetry.Vacant
		p.desk(m).Process.Store(0)
	case m.doomed:
		state = telemetry.Doomed
	case m.retiring || m.leaving:
		state = telemetry.Leaving
	case m.isReady:
		state = telemetry.Serving
	}
	p.desk(m).State.Store(uint64(state))
}

package telemetry

import (
	"fmt"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/ring"
)

// Common is what there is once in a pool.
type Common struct {
	Board  *Board
	Faults *Faults
	Deaths *Obituaries
	Desks  []Desk
	events []byte
}

// CommonSize is how many bytes that is with so many workers.
func CommonSize(workers int) int64 {
	return boardBytes + faultsBytes + deathsBytes + int64(workers)*deskBytes + ring.BroadcastSize(parentEvents, eventBytes)
}

// ParentEvents is where in it the parent's events lie, and how many bytes they take; WorkerEvents is the same in a worker's part.
func ParentEvents(workers int) (off, n int64) {
	return boardBytes + faultsBytes + deathsBytes + int64(workers)*deskBytes, ring.BroadcastSize(parentEvents, eventBytes)
}

// WorkerEvents see ParentEvents.
func WorkerEvents(functions int) (off, n int64) {
	return int64(2*functions) * histogramBytes, ring.BroadcastSize(workerEvents, eventBytes)
}

// ViewCommon sees mem, of that size, as the common part for so many workers. It writes nothing.
func ViewCommon(mem []byte, workers int) (c Common, err error) {
	if c.Board, err = layout.At[Board](mem, 0); err != nil {
		return c, err
	}
	if c.Faults, err = layout.At[Faults](mem, boardBytes); err != nil {
		return c, err
	}
	if c.Deaths, err = layout.At[Obituaries](mem, boardBytes+faultsBytes); err != nil {
		return c, err
	}
	if c.Desks, err = layout.Slice[Desk](mem, boardBytes+faultsBytes+deathsBytes, workers); err != nil {
		return c, err
	}
	c.events = mem[boardBytes+faultsBytes+deathsBytes+int64(workers)*deskBytes : CommonSize(workers)]
	return c, nil
}

// Record begins the parent's events anew. It panics if the memory is not as ViewCommon wants it.
func (c *Common) Record() Recorder {
	if err := ring.InitBroadcast(c.events, parentEvents, eventBytes); err != nil {
		panic(err)
	}
	w, err := ring.AttachBroadcastWriter(c.events)
	if err != nil {
		panic(err)
	}
	return Recorder{w}
}

// Play reads the parent's events.
func (c *Common) Play() (Player, error) { return play(c.events) }

// Own is what each worker has.
type Own struct {
	Runs, Waits []Histogram // by function: of the tasks themselves, and from being accepted until they began
	events      []byte
}

// OwnSize is how many bytes that is with so many functions.
func OwnSize(functions int) int64 {
	return int64(2*functions)*histogramBytes + ring.BroadcastSize(workerEvents, eventBytes)
}

// ViewOwn sees mem, of that size, as a worker's part. It writes nothing.
func ViewOwn(mem []byte, functions int) (o Own, err error) {
	all, err := layout.Slice[Histogram](mem, 0, 2*functions)
	if err != nil {
		return o, err
	}
	o.Runs, o.Waits = all[:functions], all[functions:]
	o.events = mem[int64(2*functions)*histogramBytes : OwnSize(functions)]
	return o, nil
}

// Prepare makes the part ready for a worker: its parent does, when nobody has the place. The events of earlier workers stay, unless
// somebody has written where nobody should.
func (o *Own) Prepare() error {
	if w, err := ring.AttachBroadcastWriter(o.events); err == nil && w.RecordSize() == eventBytes {
		return nil
	}
	if err := ring.InitBroadcast(o.events, workerEvents, eventBytes); err != nil {
		return fmt.Errorf("prepare telemetry: %w", err)
	}
	return nil
}

// Record goes on with the place's events, behind those of earlier workers.
func (o *Own) Record() (Recorder, error) {
	w, err := ring.AttachBroadcastWriter(o.events)
	if err != nil {
		return Recorder{}, fmt.Errorf("record events: %w", err)
	}
	return Recorder{w}, nil
}

// Play reads a worker's events.
func (o *Own) Play() (Player, error) { return play(o.events) }

func play(mem []byte) (Player, error) {
	r, err := ring.AttachBroadcastReader(mem)
	if err == nil && r.RecordSize() != eventBytes {
		err = fmt.Errorf("records of %d bytes: %w", r.RecordSize(), layout.ErrParams)
	}
	if err != nil {
		return Player{}, fmt.Errorf("play events: %w", err)
	}
	return Player{r}, nil
}

package ring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/shm"
)

// pipeData is how many bytes follow those of the piece in what Share returns: a ticket, and which end it is for.
const pipeData = 9

// Share gives the end away: package process calls it for an end in the arguments of a child. From then on every call on this handle
// fails with [ErrMoved], and after ended with an [os.ErrClosed]; the other end works on, and what it sends waits for the child. ended
// settles it when the child has ended or could not be started: an end that was not adopted is closed then, so that the other one gets
// io.EOF. It does not come back.
//
// Share fails if a call on this handle is in progress, or if a part of a large message was received, or all of it by a Poll: it would be
// lost.
func (e *PipeEnd) Share() (f *os.File, data []byte, ended func(), err error) {
	if f, data, ended, err = e.share(); err != nil {
		return nil, nil, nil, fmt.Errorf("give pipe end away: %w", err)
	}
	return f, data, ended, nil
}

func (e *PipeEnd) share() (f *os.File, data []byte, ended func(), err error) {
	if err := e.usable(); err != nil {
		return nil, nil, nil, err
	}
	for _, t := range []*turn{&e.tx.turn, &e.rx.turn} {
		if !t.tryTake() {
			return nil, nil, nil, errors.New("a call on it is in progress")
		}
		defer t.give()
	}
	if err := e.usable(); err != nil {
		return nil, nil, nil, err
	}
	if e.rx.want > 0 || e.rx.ready && !e.rx.inRing {
		return nil, nil, nil, fmt.Errorf("%d bytes of a large message were received, which would be lost: receive it first", len(e.rx.parts))
	}
	if !e.rx.ready {
		e.release() // or it would come again
	}
	if f, data, err = e.piece.Share(); err != nil {
		return nil, nil, nil, err
	}
	ticket, err := e.offer()
	if err != nil {
		return nil, nil, nil, err
	}
	data = append(binary.LittleEndian.AppendUint64(data, uint64(ticket)), byte(e.me))
	return f, data, sync.OnceFunc(func() { e.settle(ticket) }), nil
}

// offer puts the end on its way. The caller has both turns.
func (e *PipeEnd) offer() (ticket holding, err error) {
	if !e.state.CompareAndSwap(open, given) {
		return 0, e.usable()
	}
	e.mine.giver.Store(uint64(e.self)) // pairs with the load in meet
	ticket = ticketOf(e.mine.tickets.Add(1))
	// Pairs with the loads in gone and Adopt. Killed before it: the end dies with this process. After it: likewise, because
	// the other end watches the giver.
	e.mine.holder.CompareAndSwap(uint64(e.self), uint64(ticket))
	e.ringAll() // who sleeps without a bound because it watches this process looks who it is now
	return ticket, nil
}

// settle closes the end if nobody has adopted it, and lets go of the memory.
func (e *PipeEnd) settle(ticket holding) {
	e.mine.holder.CompareAndSwap(uint64(ticket), uint64(closedEnd)) // pairs with the CAS in Adopt: one of them succeeds
	e.ringAll()                                                     // also of a child that was killed between its Adopt and its own call
	e.state.Store(closed)
	defer e.quiesce()()
	_ = e.free() // unmapping what is mapped does not fail
}

// Adopt makes e, which is new(PipeEnd), the end that was given away. It can be adopted once; the error is [ErrTaken] otherwise. f stays
// the caller's. Whatever the memory holds, the error says what is wrong with it, and nothing was changed.
func (e *PipeEnd) Adopt(f *os.File, data []byte) error {
	if err := e.adopt(f, data); err != nil {
		return fmt.Errorf("adopt pipe end: %w", err)
	}
	return nil
}

func (e *PipeEnd) adopt(f *os.File, data []byte) error {
	if e.state.Load() != unmade {
		return fmt.Errorf("the handle is in use: take a new one: %w", os.ErrInvalid)
	}
	n := len(data) - pipeData
	if n < 0 || data[n+8] > 1 {
		return fmt.Errorf("%d bytes that no end of a pipe has given: %w", len(data), os.ErrInvalid)
	}
	ticket, me := holding(binary.LittleEndian.Uint64(data[n:])), int(data[n+8])
	if !ticket.isTicket() || ticket == 0 {
		return fmt.Errorf("ticket %#x is none: %w", uint64(ticket), os.ErrInvalid)
	}
	if err := sys.CheckFutex(); err != nil {
		return err
	}
	self, err := owner.Self()
	if err != nil {
		return err
	}
	piece := new(shm.Piece)
	if err := piece.Adopt(f, data[:n]); err != nil {
		return err
	}
	if err := e.redeem(piece.Bytes(), me, self, ticket); err != nil {
		return errors.Join(err, piece.Close())
	}
	e.piece = piece
	e.state.Store(open)
	return nil
}

// redeem makes e the handle of the end for which the ticket is, in mem.
func (e *PipeEnd) redeem(mem []byte, me int, self owner.ID, ticket holding) error {
	m, err := openPipe(mem)
	if err != nil {
		return err
	}
	holder := &m.control.ends[me].holder
	if h := holding(holder.Load()); h != ticket {
		return fmt.Errorf("its holder is %#x, the ticket %#x: %w", uint64(h), uint64(ticket), ErrTaken)
	}
	// While the ticket is there nobody else uses this end of the rings. It does not come again: if it is there before and after,
	// it was so in between.
	if err := e.attach(mem, me, self); err != nil {
		return err
	}
	// Pairs with the CASes in settle and mourn. Killed before it: settle closes the end. After it: the other end sees so when
	// it looks, which it does within semaphore.Step as long as it knows of a ticket only.
	if !holder.CompareAndSwap(uint64(ticket), uint64(self)) {
		return fmt.Errorf("the ticket %#x was redeemed meanwhile: %w", uint64(ticket), ErrTaken)
	}
	e.ringAll() // the other end has somebody else to watch
	return nil
}

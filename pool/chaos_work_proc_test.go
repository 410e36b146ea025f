//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync/atomic"
	"syscall"
)

// A deed is what a chore does between its two entries in the ledger.
type deed uint32

const (
	toil     deed = iota // as it should
	complain             // returns an error
	throw                // panics
	listen               // until its context ends
	hang                 // whatever its context says
	// From here on it ends its worker, and never returns.
	quit
	suicide
	segfault
	crash // a panic where nobody recovers it
)

// quitCode is how a worker exits whose task does.
const quitCode = 7

// A chore is what every task of the chaos is given: 16 bytes, which fit into a slot's own line.
type chore struct {
	ID   uint64
	Deed deed
	Work uint32 // iterations
}

// A token is what every task returns: that it was this one, and who ran it.
type token struct {
	ID  uint64 // of the chore, inverted: zeroes and the argument are no answer
	Pid uint64
}

// perform does a chore, and notes in the ledger that it has begun and that it has come to its end.
func (c chore) perform(ctx context.Context) (token, error) {
	if err := theLedger.enter(noteBegun, uint64(os.Getpid()), c.ID); err != nil {
		return token{}, err
	}
	err := c.do(ctx)
	return token{^c.ID, uint64(os.Getpid())}, errors.Join(err, theLedger.enter(noteEnded, uint64(os.Getpid()), c.ID))
}

func (c chore) do(ctx context.Context) error {
	if c.Deed >= quit {
		return c.die()
	}
	for range c.Work {
		workedFor++
	}
	switch c.Deed {
	case complain:
		return errors.New(c.reason())
	case throw:
		_ = theLedger.enter(noteEnded, uint64(os.Getpid()), c.ID) // perform does not come to it
		panic(c.reason())
	case listen:
		<-ctx.Done()
		return ctx.Err()
	case hang:
		for {
			workedFor++
		}
	}
	return nil
}

// workedFor keeps the compiler from leaving the work out.
var workedFor uint64

func (c chore) reason() string { return fmt.Sprintf("chaos: chore %d, on purpose", c.ID) }

// die ends this worker, having said so.
func (c chore) die() error {
	if err := theLedger.enter(noteLast, uint64(os.Getpid()), c.ID); err != nil {
		return err
	}
	switch c.Deed {
	case quit:
		os.Exit(quitCode)
	case suicide:
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case segfault:
		debug.SetPanicOnFault(false)
		_ = syscall.Kill(os.Getpid(), syscall.SIGSEGV)
	case crash:
		go func() { panic(c.reason()) }()
	}
	select {}
}

// The functions: one for each way in which values travel.
var (
	doSmall = Func("chaos small", func(ctx context.Context, c chore) (token, error) { return c.perform(ctx) })

	doTick = Func("chaos tick", func(_ context.Context, c chore) (token, error) { return c.tick() })

	doWide = Func("chaos wide", func(ctx context.Context, in wideChore) (out wideToken, err error) {
		out.Did, err = in.Do.perform(ctx)
		out.Pad = in.Pad
		return out, err
	})

	doBulk = Func("chaos bulk", func(ctx context.Context, in bulkChore) (out bulkToken, err error) {
		if out.Data = in.Data; in.Lent {
			if out.Data, err = MakeResult[byte](ctx, len(in.Data)); err != nil {
				return out, err
			}
		}
		for i, b := range in.Data {
			out.Data[i] = ^b
		}
		out.Did, err = in.Do.perform(ctx)
		return out, err
	})

	doTree = Func("chaos tree", func(ctx context.Context, in treeChore) (out treeToken, err error) {
		out.Did, err = in.Do.perform(ctx)
		out.Tree = in.Tree
		return out, err
	})

	doMove = Func("chaos move", func(ctx context.Context, in moveChore) (out moveToken, err error) {
		if out.Did, err = in.Do.perform(ctx); err != nil {
			return out, err
		}
		if in.Read != nil {
			for _, x := range in.Read.Slice() {
				out.Sum += x
			}
		}
		own := in.Own
		if own == nil {
			if own, err = NewBlock[uint64](ctx, nil, in.Make); err != nil {
				return out, err
			}
			fill(own.Slice(), 0)
		}
		addTo(own, 5)
		switch in.How {
		case giveBack:
			out.Own = own
		case giveFrozen:
			out.Frozen = own.Freeze()
		}
		return out, err
	})
)

type wideChore struct { // beside its slot
	Do  chore
	Pad [25]uint64
}

type wideToken struct {
	Did token
	Pad [25]uint64
}

type bulkChore struct {
	Do   chore
	Lent bool // whether the result is made where it stays
	Data []byte
}

type bulkToken struct {
	Did  token
	Data []byte
}

type treeChore struct { // by CBOR
	Do   chore
	Tree map[string][]string
}

type treeToken struct {
	Did  token
	Tree map[string][]string
}

type moveChore struct {
	Do   chore
	How  custody
	Own  *Block[uint64] // nil: one of so many words is made
	Make int
	Read *Frozen[uint64]
}

type moveToken struct {
	Did    token
	Own    *Block[uint64]
	Frozen *Frozen[uint64]
	Sum    uint64
}

// A custody is what becomes of a task's block.
type custody int

const (
	giveBack custody = iota
	giveFrozen
	giveNothing
	custodies
)

// fill makes words what requireWords wants to see.
func fill(words []uint64, more uint64) {
	for i := range words {
		words[i] = uint64(3*i+1) + more
	}
}

// What a worker writes to.
var (
	theLedger *ledger
	theTicks  []uint32
)

// tick is perform for chores that are to take no time.
func (c chore) tick() (token, error) {
	at := &theTicks[c.ID-firstTick]
	atomic.AddUint32(at, 1)
	if c.Deed >= quit {
		return token{}, c.die()
	}
	atomic.AddUint32(at, tickEnded)
	return token{ID: ^c.ID}, nil
}

// chaosOpen and chaosLeave are the first and the last that a worker says.
var (
	chaosOpen = InitFunc("chaos open", func(_ context.Context, dir string) (err error) {
		if theLedger, err = openLedger(dir); err != nil {
			return err
		}
		mem, err := mapTicks(dir)
		if err != nil {
			return err
		}
		theTicks = sliceTicks(mem)
		return theLedger.enter(noteBorn, uint64(os.Getpid()), 0)
	})
	chaosLeave = InitFunc("chaos leave", func(context.Context, none) error {
		return theLedger.enter(noteLeft, uint64(os.Getpid()), 0)
	})
)

//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// A bound is what ends a chore before its time.
type bound int

const (
	unbound bound = iota
	byDeadline
	byCancel
	byTimeout
	bounds
)

// Terms are how a chore is given away.
type terms struct {
	bound   bound
	limit   time.Duration // after which it ends
	retries int
	options []CallOption
}

// context is what the chore is called with.
func (tm terms) context() (context.Context, context.CancelFunc) {
	switch tm.bound {
	case byDeadline:
		return context.WithTimeout(context.Background(), tm.limit)
	case byCancel:
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(tm.limit, cancel)
		return ctx, cancel
	}
	return context.Background(), func() {}
}

// An issue is how a chore came out for its caller.
type issue int

const (
	gotNothing issue = iota // nobody has looked
	gotRefusal              // it was not accepted
	gotResult
	gotError
	gotDeath
	gotEnd // of its context, or of its time
	issues
)

// A fate is what its caller knows of a chore.
type fate struct {
	chore
	terms
	issue
	item    bool // of a Map
	sent    bool // surely accepted
	carried bool // it was given a block
	held    bool // which came back
	reads   bool // it was lent a frozen one
	pid     uint64
	death   *WorkerDiedError
	since   time.Time // when it was given away; unknown for items of a Map
}

// A customer has chores done, of all kinds and in all ways, one after the other.
type customer struct {
	r      *round
	rng    *rand.Rand
	id     uint64 // of the last chore
	tick   uint64 // of the last tick
	ticks  uint64 // where the next customer's begin
	fates  []*fate
	blocks []holding
	shared *Frozen[uint64] // read by chores
	sum    uint64          // of its words
}

func newCustomer(r *round, k int) *customer {
	const share = mostTicks / callers
	return &customer{r: r, rng: r.random(100 + uint64(k)), id: uint64(k+1) << 32,
		tick: firstTick + uint64(k)*share - 1, ticks: firstTick + uint64(k+1)*share}
}

// chance is true once in n times.
func (c *customer) chance(n int) bool { return c.rng.IntN(n) == 0 }

// some returns a number below 2^bits, small ones as often as large ones.
func (c *customer) some(bits int) int { return c.rng.IntN(1 << c.rng.IntN(bits+1)) }

func (c *customer) terms() terms {
	tm := terms{retries: c.r.p.opts.Retries, limit: time.Duration(c.rng.IntN(1+30*c.some(10))) * time.Microsecond}
	if c.chance(3) {
		tm.retries = c.rng.IntN(3)
		tm.options = append(tm.options, Retries(tm.retries))
	}
	if c.chance(2) {
		tm.bound = bound(c.rng.IntN(int(bounds)))
	}
	if tm.bound == byTimeout {
		tm.limit += time.Millisecond
		tm.options = append(tm.options, Timeout(tm.limit))
	}
	return tm
}

// chore makes up a chore that may be given away on those terms.
func (c *customer) chore(tm terms) *fate {
	c.id++
	do := chore{ID: c.id, Work: uint32(c.some(16))}
	switch roll := c.rng.IntN(200); {
	case roll < 4:
		do.Deed = quit + deed(roll)
	case roll < 8:
		do.Deed = complain
	case roll < 12:
		do.Deed = throw
	case roll < 18 && tm.bound != unbound:
		do.Deed = listen
	case roll < 24 && tm.bound != unbound:
		do.Deed = hang
	}
	f := &fate{chore: do, terms: tm}
	c.fates = append(c.fates, f)
	return f
}

// step has something done.
func (c *customer) step() {
	switch c.rng.IntN(10) {
	case 0, 1, 2:
		f := c.chore(c.terms())
		call(c, f, doSmall, f.chore, func(out token) token { return out })
	case 3:
		c.wide(c.chore(c.terms()))
	case 4:
		c.bulk(c.chore(c.terms()))
	case 5:
		c.tree(c.chore(c.terms()))
	case 6:
		c.move(c.chore(c.terms()))
	case 7:
		c.drop()
	case 8:
		[]func(){c.mapOrdered, c.mapUnordered, c.mapMoves}[c.rng.IntN(3)]()
	case 9:
		if c.r.p.opts.MaxTasksPerWorker == 0 { // or nobody knows how many each has run
			c.burst()
		}
	}
}

// call gives a chore away and waits for what becomes of it.
func call[In, Out any](c *customer, f *fate, fn *Function[In, Out], in In, did func(Out) token) (out Out, ok bool) {
	ctx, cancel := f.context()
	defer cancel()
	if f.since = time.Now(); len(f.options) > 0 {
		fn = fn.With(f.options...)
	}
	var err error
	if c.chance(2) {
		out, err = fn.Call(ctx, c.r.p, in)
	} else {
		var fut *Future[Out]
		if fut, err = fn.Go(ctx, c.r.p, in); err == nil {
			f.sent = true
			out, err = fut.Wait(context.Background())
		} else {
			defer func() { f.issue = gotRefusal }()
		}
	}
	return out, c.conclude(ctx, f, did(out), err)
}

// conclude notes how a chore came out. Whatever cannot come from its deed and its terms is wrong.
func (c *customer) conclude(ctx context.Context, f *fate, did token, err error) (ok bool) {
	var task *TaskError
	switch {
	case err == nil:
		f.issue, f.pid = gotResult, did.Pid
		if did.ID != ^f.ID || f.Deed != toil {
			c.r.wrong("chore %d, deed %d, returned %+v", f.ID, f.Deed, did)
		}
	case errors.As(err, &task):
		f.issue = gotError
		if f.Deed != complain && f.Deed != throw || task.Panicked != (f.Deed == throw) || !strings.Contains(task.Message, f.reason()) {
			c.r.wrong("chore %d, deed %d, failed: %v", f.ID, f.Deed, err)
		}
	case errors.As(err, &f.death):
		f.issue = gotDeath
	case errors.Is(err, errLeft) && (f.carried || f.reads) && c.r.p.Stats().Rebuilds > 0:
		f.issue = gotRefusal
	case f.mayEnd(ctx, err):
		f.issue = gotEnd
	default:
		c.r.wrong("chore %d, deed %d, bound %d after %v, %v after it was given away: %v", f.ID, f.Deed, f.bound, f.limit, time.Since(f.since), err)
	}
	return err == nil
}

// mayEnd reports whether err can come from the end of the chore's context or time.
func (f *fate) mayEnd(ctx context.Context, err error) bool {
	if f.bound == byTimeout {
		return errors.Is(err, context.DeadlineExceeded) && time.Since(f.since) >= f.limit
	}
	return ctx.Err() != nil && errors.Is(err, ctx.Err())
}

// wide has a value sent that lies beside its slot.
func (c *customer) wide(f *fate) {
	in := wideChore{Do: f.chore}
	fill(in.Pad[:], f.ID)
	if out, ok := call(c, f, doWide, in, func(out wideToken) token { return out.Did }); ok && out.Pad != in.Pad {
		c.r.wrong("chore %d: %v has become %v", f.ID, in.Pad, out.Pad)
	}
}

// bulk has bytes inverted, from none to a MiB of them.
func (c *customer) bulk(f *fate) {
	in := bulkChore{Do: f.chore, Lent: c.chance(2), Data: make([]byte, c.some(20))}
	for i := range in.Data {
		in.Data[i] = byte(i) + byte(f.ID)
	}
	out, ok := call(c, f, doBulk, in, func(out bulkToken) token { return out.Did })
	if !ok {
		return
	}
	if len(out.Data) != len(in.Data) {
		c.r.wrong("chore %d: %d bytes have become %d", f.ID, len(in.Data), len(out.Data))
		return
	}
	for i, b := range out.Data {
		if b != ^(byte(i) + byte(f.ID)) {
			c.r.wrong("chore %d: byte %d of %d is %d", f.ID, i, len(out.Data), b)
			return
		}
	}
}

// tree sends what only CBOR can, small or so large that it is encoded where it stays.
func (c *customer) tree(f *fate) {
	in := treeChore{Do: f.chore, Tree: map[string][]string{}}
	for range c.some(6) {
		in.Tree[strings.Repeat("k", 1+c.some(6))] = []string{strings.Repeat("v", c.some(12)), "w"}
	}
	out, ok := call(c, f, doTree, in, func(out treeToken) token { return out.Did })
	if ok && !maps.EqualFunc(in.Tree, out.Tree, slices.Equal) {
		c.r.wrong("chore %d: %v has become %v", f.ID, in.Tree, out.Tree)
	}
}

// drop gives a chore away and forgets it. Only its time, if anything, ends it.
func (c *customer) drop() {
	tm := c.terms()
	if tm.bound != byTimeout {
		tm.bound = unbound
	}
	f := c.chore(tm)
	var err error
	switch c.rng.IntN(3) {
	case 0:
		_, err = doSmall.With(f.options...).Go(context.Background(), c.r.p, f.chore)
	case 1:
		_, err = doBulk.With(f.options...).Go(context.Background(), c.r.p, bulkChore{Do: f.chore, Data: make([]byte, c.some(18))})
	case 2:
		in := moveChore{Do: f.chore, How: custody(c.rng.IntN(int(custodies))), Make: c.some(12)}
		_, err = doMove.With(f.options...).Go(context.Background(), c.r.p, in)
	}
	if f.sent = err == nil; !f.sent {
		c.r.wrong("chore %d was not accepted: %v", f.ID, err)
	}
}

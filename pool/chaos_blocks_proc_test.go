//go:build linux && (amd64 || arm64)

package pool

import "context"

// A holding is a block that a customer has, whose words are as fill has made them, plus more.
type holding struct {
	*Block[uint64]
	more uint64
}

// check looks at words that fill has made.
func (c *customer) check(f *fate, words []uint64, n int, more uint64) {
	if len(words) != n {
		c.r.wrong("chore %d: a block of %d words has become one of %d", f.ID, n, len(words))
		return
	}
	for i, x := range words {
		if x != uint64(3*i+1)+more {
			c.r.wrong("chore %d: word %d of %d is %d, not %d", f.ID, i, n, x, uint64(3*i+1)+more)
			return
		}
	}
}

// block returns a block that is the customer's to give away: a new one, or one that has been around.
func (c *customer) block() (b holding) {
	if n := len(c.blocks); n > 0 && c.chance(2) {
		b = c.blocks[n-1]
		c.blocks = c.blocks[:n-1]
		return b
	}
	return holding{c.newBlock(c.some(14)), 0}
}

func (c *customer) newBlock(n int) *Block[uint64] {
	b, err := NewBlock[uint64](context.Background(), c.r.p, n)
	if err != nil {
		panic(err) // there is room, and the pool is open
	}
	fill(b.Slice(), 0)
	return b
}

// reading returns a frozen block of the customer's.
func (c *customer) reading() *Frozen[uint64] {
	if c.shared == nil {
		b := c.newBlock(100 + c.some(12))
		c.sum = 0
		for _, x := range b.Slice() {
			c.sum += x
		}
		c.shared = b.Freeze()
	}
	return c.shared
}

// release lets go of all blocks.
func (c *customer) release() {
	for _, b := range c.blocks {
		b.Release()
	}
	if c.shared != nil {
		c.shared.Release()
	}
	c.blocks, c.shared = nil, nil
}

// move gives blocks away, to be changed or read.
func (c *customer) move(f *fate) {
	in := moveChore{Do: f.chore, How: custody(c.rng.IntN(int(custodies))), Make: c.some(12)}
	n, b := in.Make, holding{}
	if f.carried = c.chance(2); f.carried {
		b = c.block()
		in.Own, n = b.Block, b.Len()
	}
	if f.reads = c.chance(2); f.reads {
		in.Read = c.reading()
	}
	out, ok := call(c, f, doMove, in, func(out moveToken) token { return out.Did })
	switch f.held = in.Own.Held(); {
	case ok:
		c.receive(f, in, out, n, b.more+5)
	case f.held && f.issue == gotRefusal && c.chance(2): // it may be of a memory that the pool has given up, which nobody takes any more
		b.Release()
	case f.held:
		c.check(f, b.Slice(), n, b.more)
		c.blocks = append(c.blocks, b)
	}
	if f.issue == gotRefusal && f.reads {
		c.shared.Release()
		c.shared = nil
	}
}

// receive takes what a chore has returned.
func (c *customer) receive(f *fate, in moveChore, out moveToken, n int, more uint64) {
	if (out.Own != nil) != (in.How == giveBack) || (out.Frozen != nil) != (in.How == giveFrozen) || f.held {
		c.r.wrong("chore %d, custody %d, returned %+v; held: %v", f.ID, in.How, out, f.held)
		return
	}
	if in.Read != nil && out.Sum != c.sum {
		c.r.wrong("chore %d: the sum of a frozen block is %d, not %d", f.ID, out.Sum, c.sum)
	}
	if out.Own != nil {
		c.check(f, out.Own.Slice(), n, more)
		c.blocks = append(c.blocks, holding{out.Own, more})
	}
	if out.Frozen != nil {
		c.check(f, out.Frozen.Slice(), n, more)
		out.Frozen.Release()
	}
}

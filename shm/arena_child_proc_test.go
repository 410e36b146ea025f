package shm_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"

	"github.com/shmkit/shmkit/shm"
)

func init() { roles["arena"] = useArena }

// useArena is what a child does: it says that it has begun, works on, and gives back what it has, unless it is killed.
func useArena(f *os.File) error {
	var c arenaChild
	var lane, ops int
	if _, err := fmt.Sscan(os.Getenv(arenaEnv), &c.self, &lane, &ops); err != nil {
		return err
	}
	s, err := shm.Attach(f)
	if err != nil {
		return err
	}
	if c.a, c.boxes, err = openArena(s, c.self); err != nil {
		return err
	}
	c.own, c.rnd = c.boxes[lane], rand.New(rand.NewPCG(3, uint64(c.self)))
	if _, err := os.NewFile(4, "begun").Write([]byte{1}); err != nil {
		return err
	}
	for range ops {
		if err := c.step(); err != nil {
			return fmt.Errorf("holder %d: %w", c.self, err)
		}
	}
	for len(c.live) > 0 {
		if err := c.drop(); err != nil {
			return err
		}
	}
	return nil
}

type arenaChild struct {
	a     *shm.Arena
	self  shm.Holder
	rnd   *rand.Rand
	boxes []*mailbox
	own   *mailbox
	live  []shm.Block
}

func (c *arenaChild) step() error {
	switch op := c.rnd.IntN(16); {
	case op < 8 && len(c.live) < 40:
		b, _, err := c.a.Alloc(c.rnd.Int64N([]int64{2000, 40_000, 200_000}[c.rnd.IntN(3)]))
		if errors.Is(err, shm.ErrArenaFull) {
			return nil
		}
		if err != nil {
			return err
		}
		sign(c.a.Bytes(b), c.rnd.Uint64())
		c.live = append(c.live, b)
	case op < 12 && len(c.live) > 0:
		return c.drop()
	case op == 12 && len(c.live) > 0:
		return c.send()
	case op == 13:
		if b, ok := c.boxes[c.rnd.IntN(lanes)].fetch(c.a, c.self); ok {
			c.live = append(c.live, b)
		}
	case op == 14 && c.rnd.IntN(8) == 0:
		c.a.Trim()
	case op == 15 && c.rnd.IntN(8) == 0:
		c.a.Sweep()
	}
	return nil
}

// take removes any block from those that the child knows, and looks at it.
func (c *arenaChild) take() (shm.Block, error) {
	k, last := c.rnd.IntN(len(c.live)), len(c.live)-1
	b := c.live[k]
	c.live[k] = c.live[last]
	c.live = c.live[:last]
	return b, forged(c.a.Bytes(b))
}

func (c *arenaChild) drop() error {
	b, err := c.take()
	if err == nil && (!c.a.Free(b) || c.a.Free(b)) {
		err = fmt.Errorf("%+v cannot be freed, or can twice", b)
	}
	return err
}

func (c *arenaChild) send() error {
	b, err := c.take()
	if err != nil {
		return err
	}
	frozen, ok := c.a.Freeze(b)
	given, ok2 := c.a.Give(frozen, mailHolder)
	if !ok || !ok2 {
		return fmt.Errorf("%+v cannot be frozen and given", b)
	}
	if !c.own.post(given) && !c.a.Free(given) {
		return fmt.Errorf("%+v cannot be freed", given)
	}
	return nil
}

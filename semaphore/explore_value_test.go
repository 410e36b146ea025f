//go:build explore

package semaphore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/shmkit/shmkit/internal/explore"
	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
)

// twins is what the variable of these scenarios holds: two numbers that are always equal.
type twins struct{ A, B uint64 }

// Of a variable that processes update, no update is lost, and none is seen half done, also if one dies within.
func TestExploreValue(t *testing.T) {
	for _, crashes := range []int{0, 1} {
		t.Run(fmt.Sprint(crashes, " crash"), func(t *testing.T) {
			explore.Run(t, explore.Scenario{Name: fmt.Sprint("semaphore.Value, ", crashes), Crashes: crashes, Delays: 2, Walks: 300, New: func(w *explore.World) {
				const n, rounds = 3, 2
				sleeping = &sleepers{alone: math.MaxInt64}
				mem := layout.SliceBytes(make([]uint64, (ValueSize[twins]()+7)/8))
				c, all := newCrypt(w, n), make([]*Value[twins], n)
				for i := range all {
					var err error
					if i == 0 {
						all[i], err = NewValueAt(mem, twins{})
					} else {
						all[i], err = AttachValue[twins](mem)
					}
					if err != nil {
						panic(err)
					}
					l := &all[i].lock.lock
					l.id, l.queue.bits = owner.ID(1000+i), 1<<i
					c.watch(&l.vigil)
				}
				w.Tick(time.Millisecond)
				w.Share("value", mem)
				done := uint64(0) // updates that have returned
				look := func(x twins) {
					explore.Observe(x.A<<32 | x.B)
					switch {
					case x.A != x.B:
						explore.Fail("half an update", "%+v", x)
					case x.A < done || x.A > n*rounds:
						explore.Fail("lost update", "%d are done, and it is %+v", done, x)
					}
				}
				for i, v := range all {
					body := func() {
						for range rounds {
							err := v.Update(context.Background(), func(x *twins) {
								look(*x)
								x.A++
								explore.Step()
								x.B++
							})
							if err != nil && !errors.Is(err, ErrOwnerDied) {
								explore.Fail("corrupted", "%v", err)
							}
							done++
						}
					}
					if i == 1 && crashes > 0 {
						c.procs[i] = w.GoMortal("mortal", body)
					} else {
						c.procs[i] = w.Go(fmt.Sprint("process", i), body)
					}
				}
				if crashes > 0 {
					c.kernel(w, c.procs[1], func() {})
				}
				w.Check(func() error {
					x := all[0].Get()
					if x.A != x.B || x.A < done {
						return fmt.Errorf("%d are done, and it is %+v", done, x)
					}
					return nil
				})
			}})
		})
	}
}

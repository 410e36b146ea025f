package bench

import (
	"context"
	"testing"

	"github.com/shmkit/shmkit/process"
	"github.com/shmkit/shmkit/semaphore"
)

// BenchmarkEvent is one process that lets another go and waits to be let go itself, through two events.
func BenchmarkEvent(b *testing.B) {
	b.Run("roundtrip", func(b *testing.B) {
		withCourt(b, func(c court) {
			for range b.N {
				c.serve()
			}
		})
	})
	b.Run("cold", func(b *testing.B) {
		withCourt(b, func(c court) { afterQuiet(b, func(int) { c.serve() }) })
	})
}

// A court is two events: one lets the other process go, the other this one.
type court struct {
	There, Back *semaphore.Event
	Rounds      int
}

var returns = process.Func("bench event", func(ctx context.Context, c court) error {
	for range c.Rounds {
		must(c.There.Wait(ctx))
		c.There.Clear()
		c.Back.Set()
	}
	return nil
})

// withCourt times b.N rounds with a process that takes part in one more, before.
func withCourt(b *testing.B, rounds func(c court)) {
	c := court{newEvent(), newEvent(), b.N + 1}
	wait := startPeer(returns, c)
	c.serve()
	b.ReportAllocs()
	b.ResetTimer()
	rounds(c)
	b.StopTimer()
	wait()
	must(c.There.Close())
	must(c.Back.Close())
}

func newEvent() *semaphore.Event {
	e, err := semaphore.NewEvent()
	must(err)
	return e
}

// serve is one round.
func (c court) serve() {
	c.There.Set()
	must(c.Back.Wait(context.Background()))
	c.Back.Clear()
}

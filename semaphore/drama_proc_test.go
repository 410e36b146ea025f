package semaphore_test

import (
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/history"
	"github.com/shmkit/shmkit/shm"
)

const (
	users  = 3
	test   = users // its number among the processes
	cast   = users + 1
	script = 16       // operations of each in a round
	bookAt = 40 << 10 // behind the object, of any kind
)

// parts are what the processes of these tests play.
var parts = map[string]history.Part{}

// dieWithin is about as long as a round takes.
const dieWithin = 500 * time.Microsecond

// A cue is what a process knows of a round: its number, and whether somebody dies in it.
type cue struct {
	round, process int
	deadly         bool
}

// rehearse makes a part that processes play in rounds: in each it attaches itself to the object of that round, plays, and
// closes its handle. In the same part with " or die" one of them is killed in each round, by turns.
func rehearse[O io.Closer, In, Out any](part string, attach func(mem []byte) (O, error), play func(o O, c cue, by *history.Scribe[In, Out])) {
	for name, mortal := range map[string]bool{part: false, part + " or die": true} {
		parts[name] = func(f *os.File, process int) error {
			seg, err := shm.Attach(f)
			if err != nil {
				return err
			}
			book, err := history.Open[In, Out](seg.Bytes()[bookAt:], cast, script)
			if err != nil {
				return err
			}
			book.Rounds(process, func(round int, by *history.Scribe[In, Out]) {
				o, err := attach(seg.Bytes())
				must(err)
				if mortal && victimOf(round) == process {
					history.KillSelf(dieWithin)
				}
				play(o, cue{round, process, mortal}, by)
				must(o.Close())
			})
			return nil
		}
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// newSegment makes memory for processes of a test.
func newSegment(t testing.TB, size int64) *shm.Segment {
	seg, err := shm.New("test", size)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, seg.Close()) })
	require.NoError(t, seg.Reserve(0, size))
	return seg
}

// victimOf returns who dies in a round, if somebody does.
func victimOf(round int) int { return round % users }

// linger takes so long that processes are killed in it.
func linger() {
	for since := time.Now(); time.Since(since) < 100*time.Microsecond; {
	}
}

// A drama is processes that play a part, of whose rounds a book is kept.
type drama[In, Out any] struct {
	part    string
	mortal  bool
	seg     *shm.Segment
	book    *history.Book[In, Out]
	players [users]*history.Player
}

// stageDrama starts the processes.
func stageDrama[In, Out any](t testing.TB, part string, mortal bool) *drama[In, Out] {
	d := &drama[In, Out]{part: part, mortal: mortal, seg: newSegment(t, bookAt+history.Size(cast, script))}
	if mortal {
		d.part += " or die"
	}
	var err error
	d.book, err = history.Open[In, Out](d.seg.Bytes()[bookAt:], cast, script)
	require.NoError(t, err)
	for i := range d.players {
		d.start(t, i)
	}
	return d
}

func (d *drama[In, Out]) start(t testing.TB, i int) {
	d.players[i] = history.Start(t, d.part, d.seg.File(), i)
}

// act has all play a round with an object that was made for it, and somebody take the place of who was killed in it.
func (d *drama[In, Out]) act(t testing.TB) {
	victim := victimOf(d.book.Begin())
	for i, p := range d.players {
		if !d.mortal || i != victim {
			d.book.Await(i)
			continue
		}
		p.Wait()
		d.book.Killed(i)
		d.start(t, i)
	}
}

// round makes an object, and has all play a round with it. It returns what happened.
func (d *drama[In, Out]) round(t testing.TB, object func(mem []byte) (io.Closer, error)) []history.Operation[In, Out] {
	o, err := object(d.seg.Bytes())
	require.NoError(t, err)
	d.act(t)
	require.NoError(t, o.Close())
	return d.book.Operations()
}

// linear plays so many rounds, or more until there was enough, and has each checked. Who was not killed in it is -1.
func (d *drama[In, Out]) linear(t testing.TB, n int, object func(mem []byte) (io.Closer, error), check func(ops []history.Operation[In, Out], victim int) (enough bool)) {
	overlaps, rounds, enough := 0, 0, false
	for ; rounds < history.Rounds(n) || !enough; rounds++ {
		require.Less(t, rounds, 20*n, "what is looked for never happens")
		ops := d.round(t, object)
		overlaps += history.Overlaps(ops)
		victim := -1
		if d.mortal {
			victim = victimOf(rounds + 1)
		}
		enough = check(ops, victim) || enough
	}
	t.Logf("%d operations overlapped in each of %d histories", overlaps/rounds, rounds)
	require.Greater(t, overlaps, rounds, "what does not overlap shows nothing")
}

// endOf returns the last moment at which a process was alive.
func endOf[In, Out any](ops []history.Operation[In, Out], process int) (last int64) {
	for _, o := range ops {
		if o.Process != process {
			continue
		}
		last = max(last, o.Call)
		if o.Out != nil {
			last = max(last, o.Return)
		}
	}
	return last
}

// withEnd adds that a process ended, some time after all else that it has done, by an operation in.
func withEnd[In, Out any](ops []history.Operation[In, Out], process int, in In) []history.Operation[In, Out] {
	return append(ops, history.Operation[In, Out]{Process: process, Call: endOf(ops, process) + 1, Return: history.Never, In: in})
}

package ring

import (
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/history"
	"github.com/shmkit/shmkit/internal/owner"
)

// A round of a pipe: two goroutines of one process send, and another process receives without waiting.
const (
	pipeSenders  = 2 // their pages are those of process 0 and of the one behind the receiver's
	pipeMessages = 8 // of each
	secondSender = 2 // page
)

func pipeRound(round int) (capacity int, start uint64) {
	return []int{128, 256, 1024}[round%3], []uint64{0, math.MaxUint64 - 63, math.MaxUint64 - 4095}[round/3%3]
}

func init() {
	parts["send messages"] = withScene(sendMessages)
	parts["receive messages"] = withScene(receiveMessages)
}

// pipeEnd takes end me of the scene's pipe for this process, which has it until done is called.
func (s *scene) pipeEnd(round, me int) (e *PipeEnd, done func()) {
	self, err := owner.Self()
	must(err)
	capacity, _ := pipeRound(round)
	size, _ := pipeSize(capacity, 1)
	e = new(PipeEnd)
	must(e.attach(s.ring[:size], me, self))
	e.mine.holder.Store(uint64(self)) // it was the test's, which lives on: nobody takes the end for closed meanwhile
	e.state.Store(open)
	return e, func() {
		e.state.Store(closed)
		defer e.quiesce()()
		must(e.free())
	}
}

// numbered is message number n, which a quarter of the capacity may not hold.
func numbered(n int64) []byte {
	b := message(8+rand.IntN(3)*rand.IntN(100), uint64(n))
	binary.NativeEndian.PutUint64(b, uint64(n))
	return b
}

func sendMessages(s *scene, process int) {
	s.book.Rounds(process, func(round int, by *scribe) {
		e, done := s.pipeEnd(round, 1)
		defer done()
		var senders sync.WaitGroup
		for i, by := range []*scribe{by, s.book.Scribe(secondSender)} {
			senders.Go(func() {
				for n := range int64(pipeMessages) {
					n += int64(1 + i*pipeMessages)
					by.Do(call{Op: opPush, N: n}, func() result {
						must(e.Send(context.Background(), numbered(n)))
						return result{OK: true}
					})
				}
			})
		}
		senders.Wait()
	})
}

func receiveMessages(s *scene, process int) {
	s.book.Rounds(process, func(round int, by *scribe) {
		e, done := s.pipeEnd(round, 0)
		defer done()
		got := 0
		for !by.Full(0) && got < pipeSenders*pipeMessages {
			by.Do(call{Op: opPop}, func() result {
				msg, ok, err := e.TryRecv()
				must(err)
				if !ok {
					return result{}
				}
				got++
				return result{OK: true, Found: int64(binary.NativeEndian.Uint64(msg))}
			})
		}
		for ; got < pipeSenders*pipeMessages; got++ { // nobody asks what comes behind the history
			_, err := e.Recv(context.Background())
			must(err)
		}
	})
}

// A pipeState is what is on its way.
type pipeState struct {
	n   int
	ids [pipeSenders * pipeMessages]int64
}

// pipeSpec is a queue without bounds: who sends waits for room. What one looks for is there, or there is nothing.
var pipeSpec = history.Spec[pipeState, call, result]{Step: func(s pipeState, in call, out *result) (pipeState, bool) {
	if in.Op == opPush {
		if s.n < len(s.ids) {
			s.ids[s.n] = in.N
			s.n++
		}
		return s, true
	}
	if !out.OK || s.n == 0 {
		return s, !out.OK && s.n == 0
	}
	first := s.ids[0]
	s.n--
	copy(s.ids[:], s.ids[1:])
	s.ids[s.n] = 0
	return s, first == out.Found
}}

// pipeOperations plays a round.
func (p *play) pipeOperations(t *testing.T, round int) []operation {
	self, err := owner.Self()
	require.NoError(t, err)
	capacity, start := pipeRound(round)
	size, _ := pipeSize(capacity, 1)
	clear(p.ring[:size]) // plain: nobody is in a round
	require.NoError(t, initPipe(p.ring[:size], capacity, 1, self, start))
	return p.round()
}

// Messages of several goroutines, whole or in pieces, arrive in one order which agrees with that of the calls.
func TestPipeLinearizable(t *testing.T) {
	p, overlaps, rounds := newScene(t).play(t, "send messages", "receive messages"), 0, history.Rounds(150)
	for round := 1; round <= rounds; round++ {
		ops := p.pipeOperations(t, round)
		overlaps += history.Overlaps(ops)
		pipeSpec.Require(t, ops)
	}
	requireContended(t, overlaps, rounds)
}

// The checker finds what is wrong: two messages that have changed places, and one that was not found though it was there.
func TestPipeChecker(t *testing.T) {
	p := newScene(t).play(t, "send messages", "receive messages")
	for round, wrong := 1, 0; wrong < 5; round++ {
		ops := p.pipeOperations(t, round)
		pipeSpec.Require(t, ops)
		var found []*operation
		for i := range ops {
			if ops[i].In.Op == opPop && ops[i].Out.OK {
				found = append(found, &ops[i])
			}
		}
		if len(found) < 2 || !sameSender(found[0].Out.Found, found[1].Out.Found) {
			continue
		}
		first, second := found[0], found[1]
		first.Out, second.Out = second.Out, first.Out
		pipeSpec.Refuse(t, ops)
		first.Out, second.Out = second.Out, first.Out
		first.Out.OK = false
		pipeSpec.Refuse(t, ops)
		wrong++
	}
}

func sameSender(a, b int64) bool { return (a-1)/pipeMessages == (b-1)/pipeMessages }

package ring

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// children are the functions that child processes run; each is used by a test or a
// benchmark, which also tells what its number means.
var children = map[string]func(s *segment, arg uint64){
	"echo":    childEcho,
	"produce": childProduce,
	"consume": childConsume,
}

func attachBoth(s *segment, produce, consume int) (*Producer, *Consumer) {
	p, err := AttachProducer(s.rings[produce])
	must(err)
	c, err := AttachConsumer(s.rings[consume])
	must(err)
	return p, c
}

// childEcho sends n records back.
func childEcho(s *segment, n uint64) {
	p, c := attachBoth(s, 1, 0)
	for range n {
		in := peekSpin(c)
		copy(reserveSpin(p, len(in)), in)
		p.Commit()
		c.Release()
	}
}

func TestSPSCTwoProcesses(t *testing.T) {
	for _, capacity := range []int{64, 4096} {
		for _, batch := range []uint64{1, 32} {
			t.Run(fmt.Sprintf("%d/%d", capacity, batch), func(t *testing.T) {
				s := newSegment(t, capacity)
				p, c := attachBoth(s, 0, 1)
				tr := traffic{p.MaxRecord(), 2000, batch}
				echo := start(t, s, "echo", tr.records)
				done := make(chan struct{})
				go func() {
					defer close(done)
					tr.produce(p, 0, func(uint64) {})
				}()
				require.NoError(t, tr.consume(c, func([]byte) {}))
				<-done
				echo.wait(t)
			})
		}
	}
}

// endless is what the producers that are killed send.
var endless = traffic{largest: 300, records: 1 << 60, batch: 8}

// childProduce sends the records of endless from number seq on. After each Commit it
// says in a word how many are published at least.
func childProduce(s *segment, seq uint64) {
	p, err := AttachProducer(s.rings[0])
	must(err)
	endless.produce(p, seq, s.words[0].Store)
}

// A producer killed at any moment leaves whole records only, none lost that it
// published, and its successor goes on behind them.
func TestSPSCProducerKilled(t *testing.T) {
	s := newSegment(t, 1<<15)
	var seq uint64 // the next to release
	for range 200 {
		c, err := AttachConsumer(s.rings[0])
		require.NoError(t, err)
		producer := start(t, s, "produce", unreleased(t, s, seq))
		for range rand.N(500) {
			require.NoError(t, check(peekSpin(c), endless.size(seq), seq))
			c.Release()
			seq++
		}
		producer.kill()
		require.GreaterOrEqual(t, unreleased(t, s, seq), s.words[0].Load(), "what was published is there")
	}
	assert.Positive(t, seq)
}

// unreleased looks at all records in the ring, of which the first has number seq,
// releases none, and returns the number that comes after the last.
func unreleased(t *testing.T, s *segment, seq uint64) uint64 {
	c, err := AttachConsumer(s.rings[0])
	require.NoError(t, err)
	for {
		b, ok, err := c.Peek()
		require.NoError(t, err)
		if !ok {
			return seq
		}
		require.NoError(t, check(b, endless.size(seq), seq))
		seq++
	}
}

// childConsume takes the records of endless from number seq on. After each Release it
// says in a word how many are released at least.
func childConsume(s *segment, seq uint64) {
	c, err := AttachConsumer(s.rings[0])
	must(err)
	for ; ; seq++ {
		must(check(peekSpin(c), endless.size(seq), seq))
		if endless.commits(seq * 3) { // not where batches end
			c.Release()
			s.words[0].Store(seq + 1)
		}
	}
}

// A consumer killed at any moment loses no record to its successor, and what it had
// released does not come again.
func TestSPSCConsumerKilled(t *testing.T) {
	s := newSegment(t, 1<<15)
	p, _ := attachBoth(s, 0, 0)
	var first, seq uint64 // in the ring; the next to publish
	for range 50 {
		consumer := start(t, s, "consume", first)
		tr := endless
		tr.records = seq + 1 + rand.Uint64N(500)
		tr.produce(p, seq, func(uint64) {})
		seq = tr.records
		consumer.kill()
		first = firstUnreleased(t, s, seq)
		require.GreaterOrEqual(t, first, s.words[0].Load(), "what was released is gone")
	}
	assert.Equal(t, seq, unreleased(t, s, first))
}

// firstUnreleased returns the number of the first record in the ring, where next
// comes after the last.
func firstUnreleased(t *testing.T, s *segment, next uint64) uint64 {
	c, err := AttachConsumer(s.rings[0])
	require.NoError(t, err)
	for {
		_, ok, err := c.Peek()
		require.NoError(t, err)
		if !ok {
			break
		}
		next--
	}
	unreleased(t, s, next) // it is these records, and not others
	return next
}

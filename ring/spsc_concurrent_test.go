package ring

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// traffic is a stream of records whose sizes and batches follow from their numbers,
// so that both sides know what has to come.
type traffic struct {
	largest int
	records uint64
	batch   uint64
}

func (tr traffic) size(seq uint64) int {
	x := (seq + 1) * 0x9e3779b97f4a7c15
	if x>>61 < 6 { // mostly stretches of equal size
		return 8 * min(tr.largest/8, int(1+seq>>4%4))
	}
	return int(x >> 33 % uint64(tr.largest+1))
}

func (tr traffic) commits(seq uint64) bool {
	return seq+1 == tr.records || tr.batch <= 1 || (seq*0x9e3779b97f4a7c15>>32)%tr.batch == 0
}

// produce puts the records from number seq on and tells after each Commit how many are there.
func (tr traffic) produce(p *Producer, seq uint64, committed func(uint64)) {
	for ; seq < tr.records; seq++ {
		n := tr.size(seq)
		b, ok, err := p.Reserve(n)
		must(err)
		if !ok {
			p.Commit() // what was reserved before it, the record that does not fit excepted
			committed(seq)
			b = reserveSpin(p, n)
		}
		fill(b, seq)
		if tr.commits(seq) {
			p.Commit()
			committed(seq + 1)
		}
	}
}

// consume takes all records, holding up to tr.batch of them before it releases them.
func (tr traffic) consume(c *Consumer, use func(b []byte)) error {
	held := make([][]byte, 0, tr.batch)
	release := func(next uint64) error {
		for i, b := range held { // again: nobody may have written to them since
			seq := next - uint64(len(held)-i)
			if err := check(b, tr.size(seq), seq); err != nil {
				return fmt.Errorf("while held: %w", err)
			}
		}
		held = held[:0]
		c.Release()
		return nil
	}
	for seq := range tr.records {
		b, ok, err := c.Peek()
		if err == nil && !ok {
			if err = release(seq); err != nil { // the producer may wait for room
				return err
			}
			b = peekSpin(c)
		}
		if err == nil {
			err = check(b, tr.size(seq), seq)
		}
		if err != nil {
			return err
		}
		use(b)
		if held = append(held, b); uint64(len(held)) >= tr.batch {
			if err := release(seq + 1); err != nil {
				return err
			}
		}
	}
	return release(tr.records)
}

// Two goroutines on heap memory, where the race detector sees every access.
func TestSPSCConcurrent(t *testing.T) {
	for _, capacity := range []int{32, 64, 128, 4096} {
		for _, batch := range []uint64{1, 7, 64} {
			for _, seed := range []uint64{0, 1<<32 - 1024, ^uint64(0) - 1023} {
				t.Run(fmt.Sprintf("%d/%d/%#x", capacity, batch, seed), func(t *testing.T) {
					_, p, c := newSPSC(t, capacity, seed)
					tr := traffic{p.MaxRecord(), 2000, batch}
					done := make(chan struct{})
					go func() {
						defer close(done)
						tr.produce(p, 0, func(uint64) {})
					}()
					require.NoError(t, tr.consume(c, func([]byte) {}))
					<-done
					peekNone(t, c)
				})
			}
		}
	}
}

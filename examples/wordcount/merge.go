package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/shmkit/shmkit/pool"
)

// counts are the words of one task as they cross from worker to parent: two slices
// of values without pointers, which are copied as they are, at the speed of memory. A
// map would be encoded and decoded key by key.
type counts struct {
	Text  []byte   // the distinct words, each after its length as a varint
	Times []uint32 // how often each occurs; no task has 4 billion words
}

// pack writes what is in t to c, whose memory it uses again.
func (t *table) pack(c *counts) {
	c.Text, c.Times = c.Text[:0], c.Times[:0]
	for i := range t.slots {
		if s := &t.slots[i]; s.ref != 0 {
			c.Text = appendWord(c.Text, t.word(s.ref))
			c.Times = append(c.Times, uint32(s.count))
		}
	}
}

// A total is what all tasks add up to.
type total struct {
	table   *table
	words   uint64
	files   int
	bytes   int64
	workers int
	took    time.Duration
}

// totalSlots make room for some hundred thousand words before the table has to grow. It
// costs little where there are fewer: memory that is not touched does not exist.
const totalSlots = 1 << 20

// countAll has the tasks done in p and adds up the results as they come. show is told the
// bytes so far.
func countAll(ctx context.Context, p *pool.Pool, tasks iter.Seq[task], show func(bytes int64)) (total, error) {
	sum := total{table: newTable(totalSlots)}
	for r := range count.MapUnordered(ctx, p, tasks) {
		if r.Err != nil {
			return sum, inTask(r.In, r.Err)
		}
		sum.add(r.In, r.Out)
		show(sum.bytes)
	}
	return sum, nil
}

// add adds a task and its result.
func (t *total) add(in task, out counts) {
	text := out.Text
	for _, n := range out.Times {
		var word []byte
		word, text = cutWord(text)
		t.table.add(word, uint64(n))
		t.words += uint64(n)
	}
	for _, p := range in.Pieces {
		t.bytes += p.To - p.From
		if p.From == 0 {
			t.files++
		}
	}
}

// inTask says what a task was about whose error does not: its worker was killed, or ran out
// of memory.
func inTask(t task, err error) error {
	if !errors.Is(err, pool.ErrWorkerDied) {
		return err
	}
	first, last := t.Pieces[0].Path, t.Pieces[len(t.Pieces)-1].Path
	switch len(t.Pieces) {
	case 1:
		return fmt.Errorf("count %s: %w", first, err)
	case 2:
		return fmt.Errorf("count %s, %s: %w", first, last, err)
	}
	return fmt.Errorf("count %s, %s and what is between them, %d files in all: %w", first, last, len(t.Pieces), err)
}

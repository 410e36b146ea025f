package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/shmkit/shmkit/pool"
)

// operate is for commands that act. Only they open the memory for writing.
func (s *site) operate() (*pool.Operator, error) {
	if hasEnded(s.first) {
		return nil, errEnded(s.first)
	}
	f, err := s.OpenWritable()
	if err != nil {
		return nil, err
	}
	o, err := pool.Operate(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return o, nil
}

// pidOf returns a worker's pid here.
func (s *site) pidOf(w *pool.WorkerSnapshot) int { return cmp.Or(s.outer(w.Pid), w.Pid) }

// An utterance is what a worker has said when it was asked.
type utterance struct {
	worker *pool.WorkerSnapshot
	pid    int
	text   []byte
	err    error
}

// askAll asks all workers at the same time, or the one in that place. It fails if there is nobody to ask.
func (sh *shell) askAll(ctx context.Context, s *site, place int, ask func(context.Context, *pool.Operator, pool.Subject) ([]byte, error)) ([]*utterance, error) {
	var all []*utterance
	for i := range s.first.Workers {
		if w := &s.first.Workers[i]; w.Pid != 0 && (place < 0 || w.Place == place) {
			all = append(all, &utterance{worker: w, pid: s.pidOf(w)})
		}
	}
	if len(all) == 0 {
		if place >= 0 {
			return nil, wrong(fmt.Errorf("pool %q has no worker %d: see 'shmctl ps'", s.name(), place))
		}
		return nil, wrong(fmt.Errorf("pool %q has no workers", s.name()))
	}
	o, err := s.operate()
	if err != nil {
		return nil, err
	}
	defer o.Close()
	var asked sync.WaitGroup
	for _, u := range all {
		asked.Go(func() { u.text, u.err = ask(ctx, o, pool.Subject{Incarnation: u.worker.Incarnation, Pid: u.pid}) })
	}
	asked.Wait()
	return all, nil
}

// silent says whom nothing was heard of, and why. It returns how shmctl ends: well if all have spoken.
func (sh *shell) silent(all []*utterance) error {
	n := 0
	for _, u := range all {
		if u.err != nil {
			sh.note("worker %d: %s", u.worker.Place, printable(u.err.Error()))
			n++
		}
	}
	if n > 0 {
		return wrong(fmt.Errorf("%d of %s did not answer", n, plural(len(all), "worker")))
	}
	return nil
}

// printableLines is printable for a text of several lines.
func printableLines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		indent := len(line) - len(strings.TrimLeft(line, "\t"))
		b.WriteString(line[:indent])
		b.WriteString(printable(strings.TrimSuffix(line[indent:], "\n")))
		b.WriteByte('\n')
	}
	return b.String()
}

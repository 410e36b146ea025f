package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/shmkit/shmkit/process"
	"github.com/shmkit/shmkit/ring"
)

// underway is how many files are on their way at most. They fit into every queue, even with some probes and those that are there twice.
const (
	underway = 64
	capacity = 4 * underway
	memory   = 256 << 20 // of each queue, for the contents
)

// totals are what the program reports.
type totals struct {
	files, started, died int
	in, out              int64
}

// A foreman knows which files are on their way, and sees to it that somebody works on them.
type foreman struct {
	line line
	room chan struct{} // has one for each file on its way

	mu      sync.Mutex
	turn    int         // of the last job that was given out
	pending map[int]job // files on their way, by ID
	crew    map[*process.Process]bool
	over    bool // all is done: who ends has not died
	totals  totals
	err     error // the first
	cancel  context.CancelCauseFunc
	posts   sync.WaitGroup
}

// compress is the program, once the command line is read.
func compress(ctx context.Context, s settings) (totals, error) {
	if info, err := os.Stat(s.from); err != nil {
		return totals{}, err
	} else if !info.IsDir() {
		return totals{}, fmt.Errorf("%s is not a directory", s.from)
	}
	l, closeLine, err := newLine(s)
	if err != nil {
		return totals{}, err
	}
	defer closeLine()
	if err := os.MkdirAll(l.unfinished(), 0o777); err != nil {
		return totals{}, err
	}
	defer os.RemoveAll(l.unfinished())
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	f := &foreman{line: l, room: make(chan struct{}, underway), pending: map[int]job{}, crew: map[*process.Process]bool{}, cancel: cancel}
	return f.run(ctx, s)
}

// newLine makes the queues.
func newLine(s settings) (l line, closeLine func(), err error) {
	o := ring.QueueOptions{Capacity: capacity, Memory: memory}
	l = line{From: s.from, To: s.to}
	var errs [4]error
	l.Jobs, errs[0] = ring.NewQueue[job](o)
	l.Read, errs[1] = ring.NewQueue[document](o)
	l.Packed, errs[2] = ring.NewQueue[document](o)
	l.Receipts, errs[3] = ring.NewQueue[receipt](o)
	closeLine = func() {
		for i, close := range []func() error{l.Jobs.Close, l.Read.Close, l.Packed.Close, l.Receipts.Close} {
			if errs[i] == nil {
				_ = close() // what was in it is of no use any more
			}
		}
	}
	if err = errors.Join(errs[:]...); err != nil {
		closeLine()
	}
	return l, closeLine, err
}

func (f *foreman) run(ctx context.Context, s settings) (totals, error) {
	f.man(ctx, reader, 1)
	f.man(ctx, packer, s.packers)
	f.man(ctx, writer, 1)
	if s.kill > 0 {
		go f.makeTrouble(ctx, s.kill)
	}
	fed := make(chan error, 1)
	go func() { fed <- f.feed(ctx, s.from) }()
	f.collect(ctx, fed)
	f.mu.Lock()
	f.over = true
	f.mu.Unlock()
	for _, end := range []func() error{f.line.Jobs.CloseSend, f.line.Read.CloseSend, f.line.Packed.CloseSend, f.line.Receipts.CloseSend} {
		f.fail(end())
	}
	f.posts.Wait()
	return f.totals, f.err
}

// man keeps n places filled, each by a goroutine.
func (f *foreman) man(ctx context.Context, kind *process.Function[line], n int) {
	for range n {
		f.posts.Go(func() {
			for f.employ(ctx, kind) {
			}
		})
	}
}

// employ starts a process and waits for its end. It reports whether another is needed.
func (f *foreman) employ(ctx context.Context, kind *process.Function[line]) (again bool) {
	p, err := kind.Start(process.Options{}, f.line)
	if err != nil {
		f.fail(err)
		return false
	}
	f.mu.Lock()
	f.crew[p] = true
	f.totals.started++
	f.mu.Unlock()
	if err = p.Wait(ctx); ctx.Err() != nil {
		_ = p.Kill()
		<-p.Done()
		return false
	}
	f.mu.Lock()
	delete(f.crew, p)
	var exit *process.ExitError
	died := errors.As(err, &exit) && exit.Signal != nil
	if died {
		f.totals.died++
	}
	again = died && !f.over
	f.mu.Unlock()
	if err != nil && !died {
		f.fail(err) // it had something to say
	}
	if again {
		f.posts.Go(func() { f.giveOut(ctx, job{}) })
	}
	return again
}

// giveOut puts a job into the first queue. A probe follows each death: queues keep the order, so what was given out before it and has
// not come out when it has is lost with the one that died, or in the hands of another.
func (f *foreman) giveOut(ctx context.Context, j job) {
	f.mu.Lock()
	j = f.enter(j)
	f.mu.Unlock()
	f.put(ctx, j)
}

// enter gives a job its turn. The caller holds mu.
func (f *foreman) enter(j job) job {
	f.turn++
	j.Turn = f.turn
	if !j.isProbe() {
		f.pending[j.ID] = j
	}
	return j
}

func (f *foreman) put(ctx context.Context, j job) {
	if err := f.line.Jobs.Put(ctx, j); err != nil && !errors.Is(err, ring.ErrClosed) {
		f.fail(err)
	}
}

// repeat gives out again what was given out before that turn and has not come out. What is done twice is the same twice.
func (f *foreman) repeat(ctx context.Context, turn int) {
	f.mu.Lock()
	var lost []job
	for _, j := range f.pending {
		if j.Turn < turn {
			lost = append(lost, j)
		}
	}
	for i, j := range lost {
		lost[i] = f.enter(j) // now, as its receipt may come before it is put
	}
	f.mu.Unlock()
	for _, j := range lost {
		f.put(ctx, j)
	}
}

// feed gives out all files, a bounded number at a time.
func (f *foreman) feed(ctx context.Context, from string) error {
	id := 0
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		path, err = filepath.Rel(from, path)
		if err != nil {
			return err
		}
		select {
		case f.room <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		f.giveOut(ctx, job{ID: id, Path: path})
		id++
		return nil
	})
}

// collect takes receipts until there is one for each file, or something went wrong.
func (f *foreman) collect(ctx context.Context, fed <-chan error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	all := make(chan struct{})
	go func() {
		f.fail(<-fed)
		close(all)
		f.checkOver(stop)
	}()
	for {
		r, err := f.line.Receipts.Get(ctx)
		if err != nil {
			if ctx.Err() == nil {
				f.fail(err)
			}
			<-all
			return
		}
		if r.Job.isProbe() {
			f.posts.Go(func() { f.repeat(ctx, r.Job.Turn) })
		} else {
			f.accept(r)
		}
		select {
		case <-all:
			f.checkOver(stop)
		default:
		}
	}
}

// checkOver calls stop when nothing is on its way any more, after the last file was found.
func (f *foreman) checkOver(stop func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.pending) == 0 || f.err != nil {
		stop()
	}
}

// accept takes a receipt, the first for its file.
func (f *foreman) accept(r receipt) {
	f.mu.Lock()
	_, first := f.pending[r.Job.ID]
	if first {
		delete(f.pending, r.Job.ID)
		f.totals.files++
		f.totals.in += r.In
		f.totals.out += r.Out
		<-f.room
	}
	f.mu.Unlock()
	if first && r.Err != "" {
		f.fail(fmt.Errorf("%s: %s", r.Job.Path, strings.TrimSpace(r.Err)))
	}
}

// fail ends everything with the first error.
func (f *foreman) fail(err error) {
	if err == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
		f.cancel(err)
	}
}

// makeTrouble kills one of the processes every so often.
func (f *foreman) makeTrouble(ctx context.Context, every time.Duration) {
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
			f.killOne()
		case <-ctx.Done():
			return
		}
	}
}

func (f *foreman) killOne() {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := rand.IntN(max(len(f.crew), 1))
	for p := range f.crew {
		if n--; n < 0 {
			_ = p.Kill() // it may have ended
			return
		}
	}
}

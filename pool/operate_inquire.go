package pool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/internal/telemetry"
)

// A Subject is a worker to be asked something.
type Subject struct {
	Incarnation uint32
	Pid         int // by which the process is known here: another than the pool's if that has a pid namespace of its own
}

// Stacks returns where the goroutines of a worker are, as a traceback has it, whatever it does: it may hang, wait, or be in C code. It goes on with that. The error
// wraps [ErrGone] if the worker has ended, [ErrNoAnswer] if it is stopped or does not answer for five seconds.
func (o *Operator) Stacks(ctx context.Context, s Subject) ([]byte, error) {
	text, err := o.inquire(ctx, s, telemetry.AboutWorker(telemetry.ShowStacks, s.Incarnation, 0, nonce()))
	if err != nil {
		return nil, fmt.Errorf("stacks of process %d: %w", s.Pid, err)
	}
	return text, nil
}

// Profile returns a CPU profile of a worker in so much time, as [runtime/pprof] writes it. It is an error if the worker is being profiled already. Other
// errors are those of [Operator.Stacks].
func (o *Operator) Profile(ctx context.Context, s Subject, length time.Duration) ([]byte, error) {
	if length <= 0 || length > telemetry.LongestProfile {
		return nil, fmt.Errorf("profile of %v: it must be positive, and at most %v", length, telemetry.LongestProfile)
	}
	text, err := o.inquire(ctx, s, telemetry.AboutWorker(telemetry.RecordProfile, s.Incarnation, length, nonce()))
	if err != nil {
		return nil, fmt.Errorf("profile of process %d: %w", s.Pid, err)
	}
	return text, nil
}

// lookEvery is the time between two looks for an answer.
const lookEvery = 5 * time.Millisecond

// inquire asks a worker, by way of its parent.
func (o *Operator) inquire(ctx context.Context, s Subject, r telemetry.Request) ([]byte, error) {
	if err := o.listens(s); err != nil {
		return nil, err
	}
	if err := o.ask(ctx, r); err != nil {
		return nil, cmp.Or(o.listens(s), err)
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for end := time.Now().Add(r.Length() + askFor); ; {
		text, err := fetch(s.Pid, r)
		if text != nil || err != nil {
			return text, err
		}
		if err := o.listens(s); err != nil {
			return nil, err
		}
		if time.Now().After(end) {
			return nil, ErrNoAnswer
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// listens returns why the worker will not answer, as far as that can be seen.
func (o *Operator) listens(s Subject) error {
	there := false
	for i := range o.mem.told.Desks {
		there = there || uint32(o.mem.told.Desks[i].Incarnation.Load()) == s.Incarnation
	}
	status, err := sys.StatusOf(s.Pid)
	switch {
	case !there || err != nil:
		return ErrGone
	case status.Stopped:
		return fmt.Errorf("it is stopped (kill -CONT %d): %w", s.Pid, ErrNoAnswer)
	}
	return nil
}

// parent is the pid of the pool's parent, as that knows it.
func (o *Operator) parent() int { return owner.ID(o.mem.told.Board.Parent).Pid() }

// fetch returns the answer to r among the descriptors of a process, nil if there is none yet.
func fetch(pid int, r telemetry.Request) ([]byte, error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrGone
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch to, _ := os.Readlink(path); to {
		case linkOf(answerName, r), linkOf(refusalName, r):
			text, err := read(path, to)
			if text != nil && to == linkOf(refusalName, r) {
				text, err = nil, fmt.Errorf("it says: %s", text)
			}
			return text, err
		}
	}
	return nil, nil
}

// linkOf is what /proc shows of such a file.
func linkOf(format string, r telemetry.Request) string {
	return "/memfd:" + fmt.Sprintf(format, uint64(r)) + " (deleted)"
}

// read returns what is in the file, nil if it is not complete or gone.
func read(path, name string) ([]byte, error) {
	f, err := sys.OpenQuick(path)
	if err != nil {
		return nil, nil // closed since
	}
	defer f.Close()
	if is, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd())); err != nil || is != name || !sys.IsSealed(f) {
		return nil, nil
	}
	text, err := io.ReadAll(io.LimitReader(f, mostAnswer+1))
	if err != nil {
		return nil, err
	}
	if len(text) > mostAnswer {
		return nil, fmt.Errorf("its answer is longer than %d MiB", mostAnswer>>20)
	}
	return text, nil
}

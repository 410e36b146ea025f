package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/shmkit/shmkit/process"
	"github.com/shmkit/shmkit/ring"
)

// A job is a file to be compressed, by its path below the directories. Without a path it is a probe: it passes through as the
// others do, in its turn, and changes nothing.
type job struct {
	ID   int
	Turn int // in which it was given out
	Path string
}

func (j job) isProbe() bool { return j.Path == "" }

// A document is a file's content on its way.
type document struct {
	Job  job
	Size int64 // of the file
	Data []byte
}

// A receipt says that a file is done, or why it cannot be.
type receipt struct {
	Job     job
	In, Out int64 // bytes
	Err     string
}

// A line is what the processes share: where the files are, and the queues from one kind of process to the next.
type line struct {
	From, To string
	Jobs     *ring.Queue[job]
	Read     *ring.Queue[document]
	Packed   *ring.Queue[document]
	Receipts *ring.Queue[receipt]
}

// The three kinds. Each takes what comes until there will be no more.
var (
	reader = process.Func("pipeline reader", func(ctx context.Context, l line) error {
		return work(ctx, l, l.Jobs, l.Read, func(j job) job { return j }, func(j job) (document, error) {
			if j.isProbe() {
				return document{Job: j}, nil
			}
			data, err := os.ReadFile(filepath.Join(l.From, j.Path))
			return document{j, int64(len(data)), data}, err
		})
	})
	packer = process.Func("pipeline packer", func(ctx context.Context, l line) error {
		return work(ctx, l, l.Read, l.Packed, documentJob, func(d document) (document, error) {
			if d.Job.isProbe() {
				return d, nil
			}
			var b bytes.Buffer
			z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
			if err != nil {
				return d, err
			}
			if _, err := z.Write(d.Data); err != nil {
				return d, err
			}
			err = z.Close()
			return document{d.Job, d.Size, b.Bytes()}, err
		})
	})
	writer = process.Func("pipeline writer", func(ctx context.Context, l line) error {
		return work(ctx, l, l.Packed, l.Receipts, documentJob, func(d document) (receipt, error) {
			if d.Job.isProbe() {
				return receipt{Job: d.Job}, nil
			}
			err := l.writeFile(d.Job.Path+".gz", d.Data)
			return receipt{Job: d.Job, In: d.Size, Out: int64(len(d.Data))}, err
		})
	})
)

func documentJob(d document) job { return d.Job }

// work does for each item that comes out of from what do says, and puts the result into to. What cannot be done makes a receipt at
// once.
func work[In, Out any](ctx context.Context, l line, from *ring.Queue[In], to *ring.Queue[Out], of func(In) job, do func(In) (Out, error)) error {
	for {
		in, err := from.Get(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		out, err := do(in)
		if err == nil {
			err = to.Put(ctx, out)
		}
		if errors.Is(err, ring.ErrClosed) || ctx.Err() != nil {
			return nil // the parent has all that it waited for
		}
		if err != nil {
			err = l.Receipts.Put(ctx, receipt{Job: of(in), Err: err.Error()})
		}
		if err != nil && !errors.Is(err, ring.ErrClosed) {
			return err
		}
	}
}

// writeFile makes a file that is whole or not there, whoever is killed, and whoever writes it a second time.
func (l line) writeFile(path string, data []byte) error {
	name := filepath.Join(l.To, path)
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return err
	}
	unfinished := filepath.Join(l.unfinished(), strconv.Itoa(os.Getpid()))
	if err := os.WriteFile(unfinished, data, 0o666); err != nil {
		return err
	}
	return os.Rename(unfinished, name)
}

// unfinished is the directory for files that are just being written. The parent makes it, and removes it with what killed processes
// have left there.
func (l line) unfinished() string { return filepath.Join(l.To, ".unfinished") }

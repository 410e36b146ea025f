//go:build linux && (amd64 || arm64)

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"time"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/pool"
	"github.com/shmkit/shmkit/shm"
)

var (
	subjectAdd  = pool.Func("subject.add", func(_ context.Context, n int) (int, error) { return n + 1, nil })
	subjectFail = pool.Func("subject.fail", func(_ context.Context, n int) (int, error) { return 0, errors.New("no such thing") })
	subjectWait = pool.Func("subject.wait", func(ctx context.Context, ready string) (int, error) {
		if err := os.WriteFile(ready, nil, 0o600); err != nil {
			return 0, err
		}
		<-ctx.Done()
		return 0, ctx.Err()
	})
	subjectSpin = pool.Func("subject.spin", func(_ context.Context, ready string) (int, error) {
		if err := os.WriteFile(ready, nil, 0o600); err != nil {
			return 0, err
		}
		for n := 0; ; n++ {
			subjectSink = n
		}
	})
	subjectProfile = pool.Func("subject.profile", func(ctx context.Context, ready string) (int, error) {
		if err := pprof.StartCPUProfile(io.Discard); err != nil {
			return 0, err
		}
		defer pprof.StopCPUProfile()
		if err := os.WriteFile(ready, nil, 0o600); err != nil {
			return 0, err
		}
		<-ctx.Done()
		return 0, ctx.Err()
	})
	subjectExit = pool.Func("subject.exit", func(context.Context, int) (int, error) {
		os.Exit(3)
		return 0, nil
	})
)

var subjectSink int

// subjects are programs to look at: each is given a name, and the name of a file that it makes when there is something to be seen.
var subjects = map[string]func(name, ready string) error{
	"calm":  func(name, ready string) error { return withPool(name, ready, interrupted) },
	"dying": func(name, ready string) error { return withPool(name, ready, dieWhenTold) },
	"closing": func(name, ready string) error {
		return withPool(name, ready, func(string) error { return fileAppears(ready + ".end") })
	},
	"moving":    movingPool,
	"hanging":   func(name, ready string) error { return idlePool(name, ready, hang(subjectSpin)) },
	"profiling": func(name, ready string) error { return idlePool(name, ready, hang(subjectProfile)) },
	"waiting":   func(name, ready string) error { return idlePool(name, ready, queueUp) },
	"idle":      func(name, ready string) error { return idlePool(name, ready, nil) },
	"twins": func(name, ready string) error {
		return withPool(name, ready+".first", func(string) error { return withPool(name, ready, interrupted) })
	},
	"hold":   holdSegment,
	"orphan": func(name, _ string) error { return makeOrphan(name) },
	"strange": func(name, ready string) error {
		return withMemory(name, ready, func(mem []byte) { binary.LittleEndian.PutUint32(mem[8:], layout.Version+1) })
	},
	"garbage": func(name, ready string) error {
		return withMemory(name, ready, func(mem []byte) {
			for i := layout.HeaderSize / 2; i < len(mem); i++ {
				mem[i] = byte(i * i >> 3)
			}
		})
	},
}

// subject runs one of them: subject KIND NAME FILE.
func subject() {
	err := subjects[os.Args[1]](os.Args[2], os.Args[3])
	if err != nil {
		fmt.Fprintln(os.Stderr, "subject:", err)
		os.Exit(1)
	}
}

// withPool makes a pool that has done something, and does something for ever, and closes it after act.
func withPool(name, ready string, act func(ready string) error) error {
	ctx := context.Background()
	p, err := pool.New(pool.Options{Name: name, Workers: 2, Memory: 1 << 20, Queue: 64, Grace: time.Hour, CrashDir: filepath.Dir(ready)})
	if err != nil {
		return err
	}
	defer p.Terminate()
	for n := range 100 {
		if _, err := subjectAdd.Call(ctx, p, n); err != nil {
			return err
		}
	}
	for range 3 {
		_, _ = subjectFail.Call(ctx, p, 0) // that is what errors shows
	}
	_, _ = subjectExit.Call(ctx, p, 0)
	if _, err := subjectWait.Go(ctx, p, ready); err != nil {
		return err
	}
	if err := fileAppears(ready); err != nil {
		return err
	}
	return act(ready)
}

func interrupted(string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	<-ctx.Done()
	return nil
}

func dieWhenTold(ready string) error {
	if err := fileAppears(ready + ".end"); err != nil {
		return err
	}
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		return err
	}
	return errors.Join(self.Kill(), interrupted(ready))
}

func fileAppears(name string) error {
	end := time.NewTimer(patience)
	defer end.Stop()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		if _, err := os.Stat(name); err == nil {
			return nil
		}
		select {
		case <-end.C:
			return fmt.Errorf("nobody has made %s", name)
		case <-again.C:
		}
	}
}

// idlePool makes a pool, of whose two workers one does something that does not end, or none does anything.
func idlePool(name, ready string, begin func(ctx context.Context, p *pool.Pool, ready string) error) error {
	p, err := pool.New(pool.Options{Name: name, Workers: 2, Memory: 1 << 20, Grace: time.Hour})
	if err != nil {
		return err
	}
	defer p.Terminate()
	if begin == nil {
		err = os.WriteFile(ready, nil, 0o600)
	} else {
		err = begin(context.Background(), p, ready)
	}
	if err != nil {
		return err
	}
	return interrupted(ready)
}

// hang calls f, and writes into a file what has come of it when it has ended.
func hang(f *pool.Function[string, int]) func(ctx context.Context, p *pool.Pool, ready string) error {
	return func(ctx context.Context, p *pool.Pool, ready string) error {
		one, err := f.Go(ctx, p, ready)
		if err == nil {
			go tellEnd(ctx, one, ready)
		}
		return err
	}
}

// queueUp has all workers occupied, and one task wait.
func queueUp(ctx context.Context, p *pool.Pool, ready string) error {
	for _, busy := range []string{".1", ".2"} {
		if _, err := subjectSpin.Go(ctx, p, ready+busy); err != nil {
			return err
		}
		if err := fileAppears(ready + busy); err != nil {
			return err
		}
	}
	one, err := subjectAdd.Go(ctx, p, 1)
	if err != nil {
		return err
	}
	go tellEnd(ctx, one, ready)
	return os.WriteFile(ready, nil, 0o600)
}

// tellEnd writes what has come of a task.
func tellEnd(ctx context.Context, one *pool.Future[int], ready string) {
	_, err := one.Wait(ctx)
	_ = os.WriteFile(ready+".new", fmt.Append(nil, errors.Is(err, pool.ErrKilled), " ", err, "\n"), 0o600)
	_ = os.Rename(ready+".new", ready+".ended")
}

// movingPool gets new memory when it is told.
func movingPool(name, ready string) error {
	p, err := pool.New(pool.Options{Name: name, Workers: 2, Memory: 1 << 20})
	if err != nil {
		return err
	}
	defer p.Terminate()
	block, err := pool.NewBlock[byte](context.Background(), p, 1<<16) // keeps the old memory
	if err != nil {
		return err
	}
	defer block.Release()
	if err := os.WriteFile(ready, nil, 0o600); err != nil {
		return err
	}
	if err := fileAppears(ready + ".move"); err != nil {
		return err
	}
	if err := p.Rebuild(context.Background()); err != nil {
		return err
	}
	if err := os.WriteFile(ready+".moved", nil, 0o600); err != nil {
		return err
	}
	return interrupted(ready)
}

func holdSegment(name, ready string) error {
	seg, err := shm.Create(name, 4096)
	if err != nil {
		return err
	}
	defer shm.Remove(name)
	defer seg.Close()
	if err := os.WriteFile(ready, nil, 0o600); err != nil {
		return err
	}
	return interrupted(ready)
}

func makeOrphan(name string) error {
	seg, err := shm.Create(name, 4096)
	if err != nil {
		return err
	}
	return seg.Close()
}

// withMemory makes memory that says it is a pool's.
func withMemory(name, ready string, spoil func([]byte)) error {
	seg, err := shm.New(name, 1<<20)
	if err != nil {
		return err
	}
	defer seg.Close()
	if err := layout.Init(seg.Bytes(), layout.KindPool); err != nil {
		return err
	}
	spoil(seg.Bytes())
	if err := os.WriteFile(ready, nil, 0o600); err != nil {
		return err
	}
	return interrupted(ready)
}

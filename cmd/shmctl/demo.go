package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/shmkit/shmkit/pool"
)

func newDemo(sh *shell) *cobra.Command {
	workers, length, crashes := max(runtime.NumCPU(), 2), time.Duration(0), ""
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "A lively pool to look at",
		Long: `Run a pool with tasks of several kinds: short ones, slow ones, some that wait, large results, errors, and now and then one that
kills its worker. It ends with Ctrl-C.`,
		Example: `  shmctl demo &
  shmctl stat -i 1s`,
		Args: cobra.NoArgs,
		RunE: runs(func(ctx context.Context, _ []string) error {
			if length > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, length)
				defer cancel()
			}
			return sh.demonstrate(ctx, workers, crashes)
		}),
	}
	cmd.Flags().IntVar(&workers, "workers", workers, "how many workers")
	cmd.Flags().DurationVar(&length, "for", 0, "how long; 0: until Ctrl-C")
	cmd.Flags().StringVar(&crashes, "crash-dir", "", "leave a file there for each worker that dies, to be looked at with --file")
	_ = cmd.MarkFlagDirname("crash-dir")
	return cmd
}

// demonstrate runs the pool until ctx ends.
func (sh *shell) demonstrate(ctx context.Context, workers int, crashes string) error {
	p, err := pool.New(pool.Options{Name: "demo", Workers: workers, Memory: 256 << 20, TaskTimeout: 2 * time.Second, Queue: 256, CrashDir: crashes})
	if err != nil {
		return err
	}
	fmt.Fprintf(sh.out, `Pool "demo" runs in process %d. In another terminal:
  shmctl ls
  shmctl stat demo -i 1s
  shmctl ps demo
  shmctl hist demo
  shmctl errors demo
  shmctl trace demo --for 5s -o demo.json
`, os.Getpid())
	var acts sync.WaitGroup
	for _, act := range demoActs {
		acts.Go(func() { act(ctx, p) })
	}
	<-ctx.Done()
	p.Terminate() // not all of its tasks listen
	acts.Wait()
	return nil
}

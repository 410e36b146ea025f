package bench

import (
	"context"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/pool"
)

// byteEnv makes the test binary write one byte and exit.
const byteEnv = "SHMKIT_BENCH_BYTE"

// init comes before TestMain, as early as a Go program can say that it runs.
func init() {
	if _, ok := os.LookupEnv(byteEnv); ok {
		_, err := os.Stdout.Write([]byte{1})
		must(err)
		os.Exit(0)
	}
}

// whoami takes so long that the second of two tasks is another worker's.
var whoami = pool.Func("whoami", func(context.Context, struct{}) (int, error) {
	for began := time.Now(); time.Since(began) < 200*time.Microsecond; {
	}
	return os.Getpid(), nil
})

// startPool times New and the first calls, until two workers have answered.
func startPool(b *testing.B) {
	const workers = 2
	ctx := context.Background()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		p, err := pool.New(pool.Options{Workers: workers})
		must(err)
		answered := map[int]bool{}
		for len(answered) < workers {
			askAll(ctx, p, answered, workers)
		}
		b.StopTimer()
		must(p.Close())
		b.StartTimer()
	}
}

// askAll notes the processes that answer, of n tasks started at once. One worker may still take all
// of them, if the other is late.
func askAll(ctx context.Context, p *pool.Pool, answered map[int]bool, n int) {
	futures := make([]*pool.Future[int], n)
	for i := range futures {
		f, err := whoami.Go(ctx, p, struct{}{})
		must(err)
		futures[i] = f
	}
	for _, f := range futures {
		pid, err := f.Wait(ctx)
		must(err)
		answered[pid] = true
	}
}

// reExec times one start of this program until the first sign of life.
func reExec(b *testing.B) {
	for range b.N {
		b.StopTimer()
		cmd := exec.Command(sys.SelfExe)
		cmd.Env = append(os.Environ(), byteEnv+"=1")
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		must(err)
		b.StartTimer()
		must(cmd.Start())
		_, err = io.ReadFull(out, make([]byte, 1))
		must(err)
		b.StopTimer()
		must(cmd.Wait())
		b.StartTimer()
	}
}

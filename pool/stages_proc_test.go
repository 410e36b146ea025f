//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A hazard is what goes wrong on a task's way: where, and how.
type hazard struct {
	At, How string
	More    map[string]int // or it would be copied, and its methods not be called
}

// spring does it, if that is here.
func (h hazard) spring(here string) error {
	if h.At != here {
		return nil
	}
	switch h.How {
	case "error":
		return fmt.Errorf("no way: %w", errOurs)
	case "panic":
		panic("no way")
	case "exit 0":
		os.Exit(0)
	case "exit 1":
		os.Exit(1)
	case "segv":
		syscall.Kill(os.Getpid(), syscall.SIGSEGV)
	case "kill":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	select {}
}

func (h hazard) encode(here string) ([]byte, error) {
	return []byte(h.At + "\n" + h.How), h.spring(here)
}

func (h *hazard) decode(b []byte, here string) error {
	h.At, h.How, _ = strings.Cut(string(b), "\n")
	return h.spring(here)
}

// One hazard goes there, the other comes back: their methods run in the parent, in the worker, in the
// worker and in the parent.
type (
	outbound hazard
	inbound  hazard
)

func (o outbound) MarshalBinary() ([]byte, error)  { return hazard(o).encode("encode argument") }
func (o *outbound) UnmarshalBinary(b []byte) error { return (*hazard)(o).decode(b, "decode argument") }
func (i inbound) MarshalBinary() ([]byte, error)   { return hazard(i).encode("encode result") }
func (i *inbound) UnmarshalBinary(b []byte) error  { return (*hazard)(i).decode(b, "decode result") }
func runHazard(_ context.Context, o outbound) (inbound, error) {
	return inbound(o), hazard(o).spring("run")
}

var hazards = Func("hazards", runHazard)

// The ways to submit a task and to wait for it.
var approaches = map[string]func(t *testing.T, p *Pool, o outbound) (inbound, error){
	"call": func(t *testing.T, p *Pool, o outbound) (inbound, error) { return hazards.Call(t.Context(), p, o) },
	"go": func(t *testing.T, p *Pool, o outbound) (inbound, error) {
		f, err := hazards.Go(t.Context(), p, o)
		if err != nil {
			return inbound{}, err
		}
		receive(t, f.Done())
		return f.Wait(t.Context())
	},
	"map": func(t *testing.T, p *Pool, o outbound) (i inbound, err error) {
		for i, err = range hazards.Map(t.Context(), p, func(yield func(outbound) bool) { yield(o) }) {
		}
		return i, err
	},
	"when another is done": func(t *testing.T, p *Pool, o outbound) (i inbound, err error) {
		first, err := square.Go(t.Context(), p, 3)
		require.NoError(t, err)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			<-first.Done()
			i, err = hazards.Call(context.Background(), p, o)
		}()
		receive(t, ended)
		return i, err
	},
	"as another completes": func(t *testing.T, p *Pool, o outbound) (i inbound, err error) {
		first, err := square.Go(t.Context(), p, 3)
		require.NoError(t, err)
		for range AsCompleted(t.Context(), first) {
			i, err = hazards.Call(t.Context(), p, o)
		}
		return i, err
	},
}

// Wherever on its way a task fails, and however, its caller gets the error that says so, at once, and nobody else notices. A
// codec that ends its process is the worker's affair only where it runs in a worker. Seen in CPython's
// test_concurrent_futures and in loky's suite: executors that hang, or are broken for good.
func TestFailureAtEveryStage(t *testing.T) {
	p := start(t, Options{Workers: 2})
	parent, worker := []string{"error", "panic"}, []string{"error", "panic", "exit 0", "exit 1", "segv", "kill"}
	for at, ways := range map[string][]string{
		"encode argument": parent, "decode argument": worker, "run": worker, "encode result": worker, "decode result": parent,
	} {
		for _, how := range ways {
			for approach, submit := range approaches {
				t.Run(at+"/"+how+"/"+approach, func(t *testing.T) {
					before := p.Stats()
					got, err := submit(t, p, outbound{At: at, How: how})
					require.Zero(t, got)
					requireSprung(t, at, how, err)
					died := map[bool]uint64{true: 1}[errors.Is(err, ErrWorkerDied)]
					assert.Equal(t, died, p.Stats().Sub(before).Deaths)
					same(t, p, echoInt, 1, 2)
				})
			}
		}
	}
	fine, err := hazards.Call(t.Context(), p, outbound{At: "nowhere", How: "error"})
	require.NoError(t, err)
	require.Equal(t, inbound{At: "nowhere", How: "error"}, fine)
	require.Zero(t, p.Stats().Outstanding)
	requireNoBlocks(t, p)
}

// requireSprung checks the error exactly.
func requireSprung(t *testing.T, at, how string, err error) {
	t.Helper()
	ends := map[string]WorkerDiedError{
		"exit 0": {ExitCode: 0},
		"exit 1": {ExitCode: 1},
		"segv":   {ExitCode: 2},
		"kill":   {ExitCode: -1, Signal: "killed"},
	}
	if want, ok := ends[how]; ok {
		var died *WorkerDiedError
		require.ErrorAs(t, err, &died)
		require.NotZero(t, died.Pid)
		require.Equal(t, how == "segv", strings.Contains(died.Traceback, "SIGSEGV"), died.Traceback)
		want.Func, want.Pid, want.Traceback = "hazards", died.Pid, died.Traceback
		require.Equal(t, &want, died)
		return
	}
	require.EqualError(t, err, "hazards: "+sprung[at]+map[string]string{"error": "no way: ours", "panic": "panic: no way"}[how])
	require.Equal(t, how == "error", errors.Is(err, errOurs))
	var task *TaskError
	inWorker := at != "encode argument" && at != "decode result"
	require.Equal(t, inWorker, errors.As(err, &task))
}

// sprung is what an error says of where it comes from.
var sprung = map[string]string{
	"encode argument": "encode argument: encode pool.outbound: ",
	"decode argument": "decode argument: decode pool.outbound: ",
	"run":             "",
	"encode result":   "encode result: encode pool.inbound: ",
	"decode result":   "decode result: decode pool.inbound: ",
}

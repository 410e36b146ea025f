package semaphore_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/edsrzf/mmap-go"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/semaphore"
)

// puppetEnv makes the test binary a puppet: a process that does what the test tells
// it, line by line, and answers each line with one.
const puppetEnv = "SHMKIT_SEMAPHORE_PUPPET"

// The shared memory of the tests: a semaphore, then the ledger of its users.
const (
	heldAt = 2 * semaphore.Size
	usesAt = heldAt + 8
	memory = locksAt + locksSize
)

// A stage is memory that the test shares with its puppets.
type stage struct {
	file *os.File
	mem  mmap.MMap
	*semaphore.Semaphore
}

func newStage(t *testing.T, permits int64) *stage {
	f, err := sys.Memfd("shmkit:semaphore-test", memory)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	mem, err := mmap.Map(f, mmap.RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, mem.Unmap()) })
	s, err := semaphore.NewAt(mem, permits)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return &stage{f, mem, s}
}

func (st *stage) held() *atomic.Int64 { return layout.MustAt[atomic.Int64](st.mem, heldAt) }
func (st *stage) uses() *atomic.Int64 { return layout.MustAt[atomic.Int64](st.mem, usesAt) }

// A puppetHandle is the test's side of a puppet.
type puppetHandle struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.Writer
	lines chan string
}

// puppet starts one. It is killed and waited for at the end of the test at the latest.
func (st *stage) puppet(t *testing.T, env ...string) *puppetHandle {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(append(os.Environ(), puppetEnv+"=1"), env...)
	cmd.ExtraFiles = []*os.File{st.file}
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	p := &puppetHandle{t, cmd, stdin, make(chan string, 16)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for in := bufio.NewScanner(stdout); in.Scan(); {
			p.lines <- in.Text()
		}
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill() // fails if the test has killed it
		<-read
		p.cmd.Wait()
	})
	return p
}

func (p *puppetHandle) tell(format string, args ...any) {
	_, err := fmt.Fprintf(p.stdin, format+"\n", args...)
	require.NoError(p.t, err)
}

func (p *puppetHandle) expect(line string) {
	p.t.Helper()
	require.Equal(p.t, line, recv(p.t, p.lines, line))
}

func (p *puppetHandle) kill() {
	require.NoError(p.t, p.cmd.Process.Kill())
	_, err := p.cmd.Process.Wait()
	require.NoError(p.t, err)
}

// puppet is the process that a puppetHandle holds.
func puppet() int {
	if err := puppetRun(os.NewFile(3, "memory"), bufio.NewScanner(os.Stdin)); err != nil {
		fmt.Fprintln(os.Stderr, "puppet:", err)
		return 1
	}
	return 0
}

func puppetRun(file *os.File, in *bufio.Scanner) error {
	mem, err := mmap.Map(file, mmap.RDWR, 0)
	if err != nil {
		return err
	}
	s, err := semaphore.Attach(mem)
	if err != nil {
		return err
	}
	for in.Scan() {
		if err := obey(&stage{file, mem, s}, in.Text()); err != nil {
			return fmt.Errorf("%s: %w", in.Text(), err)
		}
	}
	return in.Err()
}

// obey carries out one line.
func obey(st *stage, line string) error {
	words := append(strings.Fields(line), "", "", "")
	var n, m, seed int64
	fmt.Sscan(strings.Join(words[1:], " "), &n, &m, &seed)
	switch words[0] {
	case "alone":
		semaphore.SetSleepers(math.MaxInt64, false)
	case "grouped":
		semaphore.SetSleepers(0, true)
	case "gather":
		if err := gather(int(n), int(m), words[3] == "alone"); err != nil {
			return err
		}
	case "unbounded":
		st.Unbounded()
	case "acquire":
		if err := st.Acquire(context.Background(), n); err != nil {
			return err
		}
	case "release":
		st.Release(n)
	case "sleep-and-die":
		e := semaphore.EventcountOn(st.Single())
		e.Sleep(e.Announce(), -1)
		self, err := os.FindProcess(os.Getpid())
		if err != nil {
			return err
		}
		return self.Kill()
	case "storm":
		if err := stormHere(st, n, m, uint64(seed)); err != nil {
			return err
		}
	default:
		if err := obeyLock(st, words[0], uint64(n)); err != nil {
			return err
		}
	}
	fmt.Println(words[0])
	return nil
}

package ring

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edsrzf/mmap-go"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/sys"
)

// segment is a memory file with two rings and a few words beside them, as two
// processes of a test share it.
type segment struct {
	file  *os.File
	mem   mmap.MMap
	words []atomic.Uint64 // the first page; words of different writers: 16 apart
	rings [2][]byte
}

const page = 4096

func mapSegment(f *os.File, capacity int) (*segment, error) {
	mem, err := mmap.Map(f, mmap.RDWR, 0)
	if err != nil {
		return nil, err
	}
	words, err := layout.Slice[atomic.Uint64](mem, 0, page/8)
	size := SPSCSize(capacity)
	a, b := mem[page:][:size:size], mem[page+size:][:size:size]
	return &segment{f, mem, words, [2][]byte{a, b}}, err
}

func newSegment(t testing.TB, capacity int) *segment {
	size := int64(page + 2*SPSCSize(capacity))
	f, err := sys.Memfd("shmkit:ring-test", size)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	require.NoError(t, sys.Allocate(f, 0, size))
	s, err := mapSegment(f, capacity)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.mem.Unmap()) })
	require.NoError(t, InitSPSC(s.rings[0]))
	require.NoError(t, InitSPSC(s.rings[1]))
	return s
}

// child is a process that runs one of the functions in children on a segment.
type child struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
}

// start runs children[name] with a segment and a number in a process of its own.
func start(t testing.TB, s *segment, name string, arg uint64) *child {
	c := &child{cmd: exec.Command(os.Args[0], fmt.Sprint(len(s.rings[0])-storageOff), fmt.Sprint(arg))}
	c.cmd.Env = append(os.Environ(), childEnv+"="+name)
	c.cmd.ExtraFiles = []*os.File{s.file}
	c.cmd.Stderr = &c.stderr
	require.NoError(t, c.cmd.Start())
	t.Cleanup(c.kill) // a test that fails half-way
	return c
}

// wait waits for a child that ends by itself.
func (c *child) wait(t testing.TB) {
	watchdog := time.AfterFunc(30*time.Second, func() { c.cmd.Process.Kill() })
	defer watchdog.Stop()
	require.NoError(t, c.cmd.Wait(), "stderr: %s", &c.stderr)
}

// kill ends the child at whatever instruction it is.
func (c *child) kill() {
	if c.cmd.ProcessState == nil {
		c.cmd.Process.Kill()
		c.cmd.Wait() // the error says that it was killed
	}
}

// runChild is the main function of a child process.
func runChild(name string) {
	run, ok := children[name]
	if !ok || len(os.Args) != 3 {
		panic(fmt.Sprintf("no child %q with arguments %q", name, os.Args[1:]))
	}
	capacity, err := strconv.Atoi(os.Args[1])
	must(err)
	arg, err := strconv.ParseUint(os.Args[2], 10, 64)
	must(err)
	s, err := mapSegment(os.NewFile(3, "segment"), capacity)
	must(err)
	// A child whose parent died must not spin for ever.
	time.AfterFunc(2*time.Minute, func() { panic("the parent forgot this child") })
	run(s, arg)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// spin is a wait for the other side: short pauses, and between them the CPU for
// others, which on a busy machine may be the ones that are waited for. It gives up
// after 30 s.
type spin struct {
	turns int
	since time.Time
	never atomic.Uint32
}

func (s *spin) once() {
	if s.turns++; s.turns%(1<<8) != 0 {
		sys.Pause(1)
		return
	}
	if s.since.IsZero() {
		s.since = time.Now()
	}
	if time.Since(s.since) > 30*time.Second {
		panic("nothing came from the other side for 30 s")
	}
	runtime.Gosched()
	sys.FutexWait(&s.never, 0, 50*time.Microsecond)
}

// reserveSpin waits for room. What was reserved before is committed.
func reserveSpin(p *Producer, n int) []byte {
	for wait := new(spin); ; wait.once() {
		b, ok, err := p.Reserve(n)
		must(err)
		if ok {
			return b
		}
		p.Commit()
	}
}

// peekSpin waits for a record.
func peekSpin(c *Consumer) []byte {
	for wait := new(spin); ; wait.once() {
		b, ok, err := c.Peek()
		must(err)
		if ok {
			return b
		}
	}
}

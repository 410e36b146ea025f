package shm_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/leak"
	"github.com/shmkit/shmkit/shm"
)

// roleEnv tells a child of this test binary what it is to do with descriptor 3.
const roleEnv = "SHMKIT_SHM_ROLE"

// The roles of children. What one prints to standard error is what went wrong.
var roles = map[string]func(*os.File) error{
	"answer":   answer,
	"resize":   resize,
	"corrupt":  corruptReadOnly,
	"list":     listSegments,
	"list all": listAll,
	"read ref": readRef,
	"make ref": makeRef,
}

func TestMain(m *testing.M) {
	name := os.Getenv(roleEnv)
	if name == "" {
		leak.Main(m)
	}
	role, ok := roles[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "no role %q, there are %q\n", name, slices.Sorted(maps.Keys(roles)))
		os.Exit(2)
	}
	if err := role(os.NewFile(3, "received")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// child runs role in a process of its own, with files from descriptor 3 on.
func child(t *testing.T, role string, files ...*os.File) (out string, err error) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"="+role, "GORACE=atexit_sleep_ms=0") // it would end a second later
	cmd.ExtraFiles = files
	text, err := cmd.CombinedOutput()
	require.NoError(t, ctx.Err(), "%s", text)
	return string(text), err
}

// A message is a line of questions and answers between the processes. The fields may
// be plain: starting a process and seeing its end orders all accesses.
type message struct {
	Question uint64
	Answer   atomic.Uint64
	Data     [4 * page]uint8
}

func TestChildWritesParentReads(t *testing.T) {
	s := newSegment(t, 5*page)
	m, err := shm.At[message](s.Bytes(), 0)
	require.NoError(t, err)
	m.Question = 21
	out, err := child(t, "answer", s.File())
	require.NoError(t, err, out)
	assert.Equal(t, s.Name(), out, "the name goes along")
	assert.EqualValues(t, 42, m.Answer.Load())
	for i, b := range m.Data {
		require.Equal(t, uint8(i%251), b, "byte %d", i)
	}
}

func answer(f *os.File) error {
	before := descriptorFlags(f)
	s, err := shm.Attach(f)
	if err != nil {
		return err
	}
	if after := descriptorFlags(f); before&cloexec != 0 || after&cloexec == 0 {
		return fmt.Errorf("flags of the descriptor were %#o and are %#o", before, after)
	}
	m, err := shm.At[message](s.Bytes(), 0)
	if err != nil {
		return err
	}
	for i := range m.Data {
		m.Data[i] = uint8(i % 251)
	}
	m.Answer.Store(2 * m.Question) // seen by the parent, which waits for this process's end
	fmt.Print(s.Name())
	return s.Close()
}

const cloexec = 0o2000000

// descriptorFlags returns what /proc says, or 0.
func descriptorFlags(f *os.File) (flags int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", f.Fd()))
	for line := range strings.Lines(string(text)) {
		fmt.Sscanf(line, "flags: %o", &flags)
	}
	return flags
}

func TestChildCannotResize(t *testing.T) {
	s := newSegment(t, 4*page)
	out, err := child(t, "resize", s.File())
	require.NoError(t, err, out)
	info, err := s.File().Stat()
	require.NoError(t, err)
	assert.EqualValues(t, 4*page, info.Size())
	s.Bytes()[4*page-1] = 1 // does not fault
}

func resize(f *os.File) error {
	for _, size := range []int64{0, page, 4*page - 1, 4*page + 1, 1 << 30} {
		if err := f.Truncate(size); !errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("truncate to %d: %v", size, err)
		}
	}
	if _, err := f.WriteAt([]byte("behind the end"), 4*page); !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("write behind the end: %v", err)
	}
	return f.Chmod(0o600) // the same: what is not sealed still works
}

// Writing where only reading is allowed kills the writer and changes nothing.
func TestWriteToReadOnlyKillsTheWriterAlone(t *testing.T) {
	s := newSegment(t, page)
	s.Bytes()[0] = 7
	out, err := child(t, "corrupt", s.File())
	exit := (*exec.ExitError)(nil)
	require.ErrorAs(t, err, &exit, out)
	assert.Contains(t, out, "unexpected fault address")
	assert.Equal(t, byte(7), s.Bytes()[0])
}

func corruptReadOnly(f *os.File) error {
	s, err := shm.AttachReadOnly(f)
	if err != nil {
		return err
	}
	s.Bytes()[0] = 66
	return errors.New("it could be written")
}

// A program gets the segments that it is handed, and no others.
func TestSegmentsAreNotInherited(t *testing.T) {
	kept := newSegment(t, page)
	out, err := child(t, "list")
	require.NoError(t, err, out)
	assert.Empty(t, out)
	out, err = child(t, "list", kept.File())
	require.NoError(t, err, out)
	assert.Equal(t, "3: /memfd:shmkit:"+kept.Name()+" (deleted)\n", out)
}

func listSegments(*os.File) error {
	entries, err := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		if link, _ := os.Readlink("/proc/self/fd/" + e.Name()); strings.HasPrefix(link, "/memfd:") {
			fmt.Printf("%s: %s\n", e.Name(), link)
		}
	}
	return err
}

//go:build linux && (amd64 || arm64)

package process_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/process"
	"github.com/shmkit/shmkit/shm"
)

// A brief is an argument with a bit of everything.
type brief struct {
	How   string
	Names map[string][]int
	Left  *shm.Segment
	Right *shm.Segment
	None  *shm.Segment
	When  time.Time
	Small *pebble
}

// A pebble is a shared object of the test's own. It lies in a piece.
type pebble struct {
	shm.Piece
	ended atomic.Int32
	err   error
}

func newPebble(t *testing.T) *pebble {
	p, err := shm.NewPiece("pebble", 8)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	f, data, err := p.Share()
	require.NoError(t, err)
	o := new(pebble)
	require.NoError(t, o.Piece.Adopt(f, data))
	t.Cleanup(func() { require.NoError(t, o.Close()) })
	return o
}

func (o *pebble) Share() (*os.File, []byte, func(), error) {
	f, data, err := o.Piece.Share()
	return f, data, func() { o.ended.Add(1) }, errors.Join(err, o.err)
}

func (o *pebble) word() *atomic.Uint64 { return value(shm.At[atomic.Uint64](o.Bytes(), 0)) }

var obey = process.Func("obey", func(ctx context.Context, b brief) error {
	switch b.How {
	case "write":
		if b.Left != b.Right {
			return errors.New("one segment has become two")
		}
		if b.None != nil || b.Names["a"][1] != 2 || b.When.Year() != 2001 {
			return fmt.Errorf("got %v", b)
		}
		b.Left.Bytes()[4095] = 99
		b.Small.word().Store(uint64(os.Getpid()))
	case "fail":
		return fmt.Errorf("it went wrong: %w", os.ErrExist)
	case "fail at length":
		return errors.New(strings.Repeat("long ", 10_000))
	case "panic":
		panic("at once")
	case "exit":
		os.Exit(7)
	case "wait":
		b.Small.word().Store(1)
		<-ctx.Done()
		b.Small.word().Store(2)
		return ctx.Err()
	case "descriptors":
		for _, fd := range slices.Sorted(maps.Keys(descriptors())) {
			fmt.Println(fd, descriptors()[fd])
		}
	case "copy":
		_, err := io.Copy(process.Files()[0], os.Stdin)
		return err
	}
	return nil
})

func quiet(t *testing.T) *os.File {
	f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func obeys(t *testing.T, o process.Options, b brief) *process.Process {
	t.Helper()
	p, err := obey.Start(o, b)
	require.NoError(t, err)
	return p
}

func newShared(t *testing.T) *shm.Segment {
	s, err := shm.New("argument", 4096)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestFunctionHasItsArgument(t *testing.T) {
	s, small := newShared(t), newPebble(t)
	p := obeys(t, process.Options{}, brief{
		How: "write", Names: map[string][]int{"a": {1, 2}}, Left: s, Right: s, When: time.Date(2001, 2, 3, 4, 5, 6, 7, time.UTC), Small: small,
	})
	assert.Equal(t, "obey", p.Name())
	require.NoError(t, p.Wait(watchdog(t)))
	assert.False(t, p.Alive())
	assert.Zero(t, p.ExitCode())
	assert.EqualValues(t, 99, s.Bytes()[4095])
	assert.EqualValues(t, p.Pid(), small.word().Load())
	assert.EqualValues(t, 1, small.ended.Load(), "told before Done")
}

func TestFunctionEnds(t *testing.T) {
	for how, want := range map[string]struct {
		code int
		text string
	}{
		"":               {0, ""},
		"fail":           {1, "it went wrong: file already exists"},
		"fail at length": {1, "long long"},
		"panic":          {2, "exited with code 2"},
		"exit":           {7, "exited with code 7"},
	} {
		t.Run(how, func(t *testing.T) {
			p := obeys(t, process.Options{Name: "subordinate", Stderr: quiet(t)}, brief{How: how})
			err := p.Wait(watchdog(t))
			assert.Equal(t, want.code, p.ExitCode())
			if want.code == 0 {
				require.NoError(t, err)
				return
			}
			var exit *process.ExitError
			require.ErrorAs(t, err, &exit)
			assert.Equal(t, want.code, exit.Code)
			assert.ErrorContains(t, err, want.text)
			assert.ErrorContains(t, err, fmt.Sprintf(`"subordinate" (pid %d)`, p.Pid()))
		})
	}
}

func TestTerminateEndsTheContext(t *testing.T) {
	small := newPebble(t)
	p := obeys(t, process.Options{}, brief{How: "wait", Small: small})
	require.Eventually(t, func() bool { return small.word().Load() == 1 }, 30*time.Second, time.Millisecond)
	assert.True(t, p.Alive())
	require.NoError(t, p.Terminate())
	assert.ErrorContains(t, p.Wait(watchdog(t)), "context canceled")
	assert.EqualValues(t, 2, small.word().Load())
	assert.ErrorIs(t, p.Terminate(), os.ErrProcessDone)
}

// Whatever becomes of a child, and when, what was shared is told so once.
func TestTerminatedAtOnce(t *testing.T) {
	small := newPebble(t)
	var all []*process.Process
	const n = 100
	for range n {
		p := obeys(t, process.Options{Stderr: quiet(t)}, brief{How: "wait", Small: small})
		all = append(all, p)
		go func() {
			timer := time.NewTimer(time.Millisecond)
			<-timer.C
			_ = p.Terminate()
		}()
	}
	for _, p := range all {
		require.Error(t, p.Wait(watchdog(t)), "it was ended")
	}
	require.EqualValues(t, n, small.ended.Load())
}

func TestWhatCannotStart(t *testing.T) {
	small := newPebble(t)
	for name, start := range map[string]func() (*process.Process, error){
		"no such directory": func() (*process.Process, error) {
			return obey.Start(process.Options{Dir: "/nowhere"}, brief{Small: small})
		},
		"a nil file": func() (*process.Process, error) {
			return obey.Start(process.Options{Files: []*os.File{nil}}, brief{Small: small})
		},
	} {
		before := small.ended.Load()
		_, err := start()
		require.Error(t, err, name)
		assert.ErrorContains(t, err, `start process "obey"`)
		assert.Equal(t, before+1, small.ended.Load(), name)
	}
	small.err = os.ErrPermission
	_, err := obey.Start(process.Options{}, brief{Small: small})
	assert.ErrorIs(t, err, os.ErrPermission)
	closed := newShared(t)
	require.NoError(t, closed.Close())
	_, err = obey.Start(process.Options{}, brief{Left: closed})
	assert.ErrorIs(t, err, os.ErrClosed)
	assert.ErrorContains(t, err, `"argument"`)
}

// A child has the standard descriptors, the lifeline, the pipe for its last words and one of a file in which many objects lie, not the
// letter: whatever the parent has open.
func TestFunctionHasOnlyWhatWasPassed(t *testing.T) {
	leakyDescriptors(t, 20)
	r, w := pipe(t)
	p := obeys(t, process.Options{Stdout: w}, brief{How: "descriptors", Small: newPebble(t)})
	w.Close()
	require.NoError(t, p.Wait(watchdog(t)))
	seen := map[string]int{}
	for lines := bufio.NewScanner(r); lines.Scan(); {
		_, target, _ := strings.Cut(lines.Text(), " ")
		kind, _, _ := strings.Cut(target, "[")
		seen[kind]++
	}
	delete(seen, "anon_inode:") // the runtime's
	for target := range seen {
		if strings.HasPrefix(target, "/sys/fs/cgroup/") {
			delete(seen, target)
		}
	}
	stderr := descriptors()["2"]
	kind, _, _ := strings.Cut(stderr, "[")
	want := map[string]int{os.DevNull: 1, "pipe:": 3, "/memfd:shmkit:objects (deleted)": 1}
	want[kind]++
	assert.Equal(t, want, seen, "stdin; stdout, the lifeline and the last words; the objects; standard error")
}

func TestStdinAndFiles(t *testing.T) {
	in, toIn := pipe(t)
	out, w := pipe(t)
	p := obeys(t, process.Options{Stdin: in, Files: []*os.File{w}}, brief{How: "copy"})
	w.Close()
	_, err := toIn.WriteString("through")
	require.NoError(t, err)
	require.NoError(t, toIn.Close())
	text, err := io.ReadAll(out)
	require.NoError(t, err)
	assert.Equal(t, "through", string(text))
	require.NoError(t, p.Wait(watchdog(t)))
}

// A detached child outlives its parent, and not otherwise.
func TestDetached(t *testing.T) {
	for _, detached := range []bool{false, true} {
		t.Run(fmt.Sprint(detached), func(t *testing.T) {
			small := newPebble(t)
			f, data, _, err := small.Share()
			require.NoError(t, err)
			r, w := pipe(t)
			cmd := program(t, "detacher")
			cmd.Env = append(cmd.Env, fmt.Sprintf("%s=%v %x", detachEnv, detached, data))
			cmd.ExtraFiles = []*os.File{f, w}
			require.NoError(t, cmd.Start())
			require.NoError(t, w.Close())
			require.Eventually(t, func() bool { return small.word().Load() > 1 }, 30*time.Second, time.Millisecond, "the child runs")
			child := int(small.word().Load())
			require.NoError(t, cmd.Process.Kill())
			_ = cmd.Wait()
			small.word().Store(1) // go on
			if detached {
				require.Eventually(t, func() bool { return small.word().Load() == 2 }, 30*time.Second, time.Millisecond, "it goes on")
				require.NoError(t, syscall.Kill(child, syscall.SIGTERM))
			}
			_, err = io.ReadAll(r) // which ends with the last process that has the pipe
			require.NoError(t, err)
		})
	}
}

const detachEnv = "PROCESS_TEST_DETACHED"

var lives = process.Func("lives", func(ctx context.Context, p *pebble) error {
	p.word().Store(uint64(os.Getpid()))
	for p.word().Load() != 1 {
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	p.word().Store(2)
	<-ctx.Done()
	return nil
})

// detacher starts a child and waits to be killed.
func detacher() {
	var detached bool
	var data []byte
	if _, err := fmt.Sscanf(os.Getenv(detachEnv), "%v %x", &detached, &data); err != nil {
		panic(err)
	}
	p := new(pebble)
	if err := p.Adopt(os.NewFile(3, "pebble"), data); err != nil {
		panic(err)
	}
	if _, err := lives.Start(process.Options{Detached: detached, Files: []*os.File{os.NewFile(4, "pipe")}}, p); err != nil {
		panic(err)
	}
	select {}
}

func TestFuncOfWhatCannotTravel(t *testing.T) {
	assert.PanicsWithValue(t, `process: Func "channels": argument: choose codec for chan int: chan int is a chan, which means nothing in another process`, func() {
		process.Func("channels", func(context.Context, chan int) error { return nil })
	})
}

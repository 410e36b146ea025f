package shm_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/leak"
	"github.com/shmkit/shmkit/shm"
)

// namedEnv tells a child the name that it is to use, or how names begin.
const namedEnv = "SHMKIT_SHM_NAME"

func init() {
	roles["named create"] = func(*os.File) error { return createAndReport(os.Getenv(namedEnv)) }
	roles["named answer"] = func(*os.File) error { return answerByName(os.Getenv(namedEnv)) }
	roles["named hold"] = func(*os.File) error { return holdByName(os.Getenv(namedEnv)) }
	roles["named keep"] = func(*os.File) error { return wait() }
	roles["named race"] = func(*os.File) error { return raceForNames(os.Getenv(namedEnv)) }
	roles["named watch"] = func(*os.File) error { return watchNames(os.Getenv(namedEnv)) }
	roles["named churn"] = func(*os.File) error { return churn(os.Getenv(namedEnv)) }
}

// A partner is another process that works with named segments. It says what it has done a line at a time, and goes on or ends when
// its standard input does.
type partner struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.Closer
	out   *os.File
	lines *bufio.Scanner
	said  strings.Builder // to standard error
}

func newPartner(t *testing.T, cmd *exec.Cmd, files ...*os.File) *partner {
	p := &partner{t: t, cmd: cmd}
	out, w, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, out.SetReadDeadline(time.Now().Add(30*time.Second)))
	p.out, p.lines = out, bufio.NewScanner(out)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = w, &p.said, files
	p.stdin, err = cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	require.NoError(t, w.Close())
	t.Cleanup(func() { _ = p.kill() })
	return p
}

func startPartner(t *testing.T, role, name string, files ...*os.File) *partner {
	return newPartner(t, command(role, name), files...)
}

func command(role, name string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"="+role, namedEnv+"="+name, "GORACE=atexit_sleep_ms=0")
	return cmd
}

// line returns the next line that the partner says.
func (p *partner) line() string {
	require.True(p.t, p.lines.Scan(), "no line of output: %v\n%s", p.lines.Err(), &p.said)
	return p.lines.Text()
}

// end lets the partner go on, and returns what it says until it ends.
func (p *partner) end() (rest []string) {
	require.NoError(p.t, p.stdin.Close())
	for p.lines.Scan() {
		rest = append(rest, p.lines.Text())
	}
	require.NoError(p.t, p.lines.Err())
	require.NoError(p.t, p.cmd.Wait(), "%s", &p.said)
	return rest
}

// kill ends the partner at any point, and returns when it is gone.
func (p *partner) kill() error {
	if p.cmd.ProcessState != nil {
		return p.out.Close()
	}
	err := p.cmd.Process.Kill()
	_ = p.cmd.Wait() // it was killed, or had ended by itself
	return errors.Join(err, p.out.Close())
}

// wait returns when the parent says so.
func wait() error {
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// Whatever the umask, a segment is its owner's and nobody else's.
func TestCreateUnderUmask(t *testing.T) {
	for _, umask := range []string{"0000", "0777"} {
		name := newName(t)
		cmd := command("named create", name)
		cmd.Args = []string{"sh", "-c", `umask ` + umask + ` && exec "$0"`, os.Args[0]}
		cmd.Path = "/bin/sh"
		assert.Equal(t, []string{"-rw-------"}, newPartner(t, cmd).end())
		assert.NoError(t, shm.RemoveOrphan(name))
	}
}

func createAndReport(name string) error {
	s, err := shm.Create(name, page)
	if err != nil {
		return err
	}
	info, err := os.Lstat(inShm(name))
	if err != nil {
		return err
	}
	fmt.Println(info.Mode())
	return s.Close()
}

// Processes that know nothing of each other but the name have the same memory.
func TestNamedBetweenProcesses(t *testing.T) {
	s := createNamed(t, 5*page)
	m, err := shm.At[message](s.Bytes(), 0)
	require.NoError(t, err)
	m.Question = 21
	startPartner(t, "named answer", s.Name()).end()
	assert.EqualValues(t, 42, m.Answer.Load())
}

func answerByName(name string) error {
	s, err := shm.Open(name)
	if err != nil {
		return err
	}
	m, err := shm.At[message](s.Bytes(), 0)
	if err != nil {
		return err
	}
	m.Answer.Store(2 * m.Question) // seen by the parent, which waits for this process's end
	return s.Close()
}

// A killed process holds nothing any more; what it wrote stays.
func TestHolderIsKilled(t *testing.T) {
	name := newName(t)
	p := startPartner(t, "named hold", name)
	require.Equal(t, "held", p.line())
	info, _ := listed(t, name)
	assert.Equal(t, shm.Info{Name: name, Size: 3 * page, Held: true}, info)
	assert.ErrorIs(t, shm.RemoveOrphan(name), shm.ErrHeld)

	require.NoError(t, p.kill())
	info, _ = listed(t, name)
	assert.Equal(t, shm.Info{Name: name, Size: 3 * page, Held: false}, info)
	s := opened(t, shm.Open, name)
	assert.Equal(t, "left by the dead", string(s.Bytes()[:16]))
	require.NoError(t, s.Close())
	require.NoError(t, shm.RemoveOrphan(name))
}

func holdByName(name string) error {
	s, err := shm.Create(name, 3*page)
	if err != nil {
		return err
	}
	copy(s.Bytes(), "left by the dead")
	fmt.Println("held")
	return wait()
}

// A child that has the descriptor holds the segment, whatever becomes of who has passed it.
func TestPassedDescriptorHolds(t *testing.T) {
	s := createNamed(t, page)
	p := startPartner(t, "named keep", s.Name(), s.File())
	require.NoError(t, s.Close())
	info, _ := listed(t, s.Name())
	assert.True(t, info.Held)
	p.end()
	info, _ = listed(t, s.Name())
	assert.False(t, info.Held)
}

const contested = 50 // names

// Of several processes that create the same segment one succeeds, and the others learn that it exists.
func TestCreateRace(t *testing.T) {
	name := newName(t)
	start, starter, err := os.Pipe() // all wait for its end
	require.NoError(t, err)
	racers := make([]*partner, 4)
	for i := range racers {
		racers[i] = startPartner(t, "named race", name, start)
		require.Equal(t, "ready", racers[i].line())
	}
	require.NoError(t, errors.Join(start.Close(), starter.Close()))
	winners := map[string]int{}
	for i, r := range racers {
		for _, won := range r.end() {
			_, twice := winners[won]
			assert.False(t, twice, "%s was created twice", won)
			winners[won] = i
		}
	}
	assert.Len(t, winners, contested)
	for won := range winners {
		assert.NoError(t, shm.Remove(won))
	}
}

func raceForNames(name string) error {
	fmt.Println("ready")
	if _, err := io.Copy(io.Discard, os.NewFile(3, "start")); err != nil {
		return err
	}
	for i := range contested {
		s, err := shm.Create(numbered(name, i), page)
		switch {
		case err == nil:
			fmt.Println(s.Name())
		case !errors.Is(err, fs.ErrExist):
			return err
		}
	}
	return nil // what it has is held until its end
}

func numbered(name string, i int) string { return fmt.Sprint(name, "-", i) }

const watched = 200 // segments

// Who opens a segment while another makes it finds none, or the whole.
func TestOpenBesideCreate(t *testing.T) {
	name := newName(t)
	p := startPartner(t, "named watch", name)
	require.Equal(t, "looking", p.line())
	for i := range watched {
		s, err := shm.Create(numbered(name, i), watchedBytes)
		require.NoError(t, err)
		require.Equal(t, strconv.Itoa(i), p.line(), "%s", &p.said) // it has it, and looks for the next
		require.NoError(t, errors.Join(s.Close(), shm.Remove(s.Name())))
	}
	p.end()
}

const watchedBytes = 64*page + 1

func watchNames(name string) error {
	fmt.Println("looking")
	for i := range watched {
		s, err := shm.Open(numbered(name, i))
		for errors.Is(err, fs.ErrNotExist) {
			s, err = shm.Open(numbered(name, i))
		}
		if err != nil {
			return err
		}
		if err := complete(s); err != nil {
			return err
		}
		if err := s.Close(); err != nil {
			return err
		}
		fmt.Println(i)
	}
	return nil
}

// complete fails for a segment that is not as Create makes it.
func complete(s *shm.Segment) error {
	info, err := s.File().Stat()
	if err != nil {
		return err
	}
	if n := backedBytes(info); info.Size() != watchedBytes || s.Size() != watchedBytes || n < watchedBytes || info.Mode() != 0o600 {
		return fmt.Errorf("%s has %d bytes, %d of them with memory, and mode %v", s.Name(), info.Size(), n, info.Mode())
	}
	return nil
}

// A process that is killed while it makes and removes segments leaves whole ones, or none.
func TestKilledWhileCreating(t *testing.T) {
	kills := 20
	if testing.Short() {
		kills = 4
	}
	for i := range kills {
		name := newName(t)
		p := startPartner(t, "named churn", name)
		for range 1 + i%7 {
			p.line()
		}
		require.NoError(t, p.kill())
		entries, err := os.ReadDir(shm.NamedDir)
		require.NoError(t, err)
		left := 0
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), leak.NamePrefix()) {
				continue
			}
			left++
			assert.True(t, strings.HasPrefix(e.Name(), name), "%s has a name that nobody gave it", e.Name())
			s, err := shm.Open(e.Name())
			require.NoError(t, err)
			assert.NoError(t, complete(s))
			assert.NoError(t, s.Close())
			assert.NoError(t, shm.RemoveOrphan(e.Name()))
		}
		assert.Contains(t, []int{1, 2}, left, "there is one at any time")
	}
}

// churn makes segments, one after the other, and removes each when it has the next.
func churn(name string) error {
	for i := 0; ; i++ {
		s, err := shm.Create(numbered(name, i), watchedBytes)
		if err == nil {
			err = s.Close()
		}
		if err == nil && i > 0 {
			err = shm.Remove(numbered(name, i-1))
		}
		if err != nil {
			return err
		}
		if _, err := fmt.Println(i); err != nil {
			return err
		}
	}
}

package history

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/sys"
)

// playerEnv names, in the environment, what a process of a test plays.
const playerEnv = "SHMKIT_HISTORY_PLAYER"

const (
	patience = 30 * time.Second // of those who wait for others
	lifetime = 2 * time.Minute  // of a player that its test has forgotten
)

// A Part is what a process of a test does, with the file that it was given and its number among the processes.
type Part func(file *os.File, process int) error

// Main plays a part if this process was started for that, and does not return then. TestMain calls it first.
func Main(parts map[string]Part) {
	name := os.Getenv(playerEnv)
	if name == "" {
		return
	}
	time.AfterFunc(lifetime, func() { panic("history: the test has forgotten this process") })
	process, err := strconv.Atoi(os.Args[1])
	if err == nil {
		err = parts[name](os.NewFile(3, "shared memory"), process)
	}
	fmt.Fprintf(os.Stderr, "history: %s, process %d: %v\n", name, process, err)
	os.Exit(1) // a part ends only because something has failed
}

// A Player is a process that plays a part.
type Player struct{ cmd *exec.Cmd }

// Command returns what starts one, for who wants to start it otherwise than Start does.
func Command(part string, file *os.File, process int) *exec.Cmd {
	cmd := exec.Command(sys.SelfExe, strconv.Itoa(process))
	cmd.Env = append(os.Environ(), playerEnv+"="+part)
	cmd.ExtraFiles = []*os.File{file}
	cmd.Stderr = os.Stderr
	return cmd
}

// Start starts one. It is killed at the end of the test at the latest.
func Start(t testing.TB, part string, file *os.File, process int) *Player {
	p := &Player{Command(part, file, process)}
	require.NoError(t, p.cmd.Start())
	t.Cleanup(p.Kill)
	return p
}

// Kill kills the process, unless it is dead, and waits for its end.
func (p *Player) Kill() {
	if p.cmd.ProcessState == nil {
		_ = p.cmd.Process.Kill() // it may have killed itself
		p.Wait()
	}
}

// Wait waits for the end of a process that ends by itself.
func (p *Player) Wait() { _ = p.cmd.Wait() }

// Pid returns its pid.
func (p *Player) Pid() int { return p.cmd.Process.Pid }

// Signal sends it a signal.
func (p *Player) Signal(s os.Signal) error { return p.cmd.Process.Signal(s) }

// KillSelf has this process killed a short while later, within what it is about to do.
func KillSelf(within time.Duration) {
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		panic(err)
	}
	at := time.Now().Add(rand.N(within))
	go func() { // without a word between them: this goroutine is not to wait for a thread
		for time.Now().Before(at) {
			sys.Pause(1)
		}
		_ = self.Kill()
	}()
}

// Rounds is how many rounds a test plays that would rather play n: fewer where they take long, or time is short. The race detector
// has nothing to see in them, and its processes take long to start.
func Rounds(n int) int {
	if testing.Short() || raced {
		return n / 4
	}
	return n
}

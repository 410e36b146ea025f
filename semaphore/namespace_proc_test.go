//go:build linux && (amd64 || arm64)

package semaphore_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/shmkit/shmkit/internal/history"
	"github.com/shmkit/shmkit/semaphore"
	"github.com/shmkit/shmkit/shm"
)

func init() { parts["stranger"] = stranger }

// The memory that a stranger is given: objects of the test's, a page or more for each, and behind them a mutex of the stranger's.
const (
	strangersAt  = 1 << 20
	strangerSize = strangersAt + semaphore.MutexSize
)

// placed calls f for objects of all these kinds, each in a place of its own.
func placed(mem []byte, all []species, f func(s species, mem []byte)) {
	at := int64(0)
	for _, s := range all {
		f(s, mem[at:at+s.size])
		at += (s.size + 4095) &^ 4095
	}
}

func everyone() []species { return append(owned(), ownerless()...) }

// A process of another PID namespace, to which holders that live look dead, is refused, and so are others by what it has made. It may use what
// has no owners.
func TestPIDNamespaces(t *testing.T) {
	seg, err := shm.New("namespaces", strangerSize)
	require.NoError(t, err)
	defer func() { require.NoError(t, seg.Close()) }()
	placed(seg.Bytes(), everyone(), func(s species, mem []byte) { require.NoError(t, s.make(mem)) })

	cmd := history.Command("stranger", seg.File(), 0)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID, Unshareflags: unix.CLONE_NEWNS}
	if os.Geteuid() != 0 { // who is root in a user namespace of his own may do the same
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	require.NoError(t, cmd.Run())

	_, err = semaphore.AttachMutex(seg.Bytes()[strangersAt:])
	assert.ErrorIs(t, err, semaphore.ErrNamespace)
	placed(seg.Bytes(), everyone(), func(s species, mem []byte) { assert.NoError(t, s.attach(mem)) })
}

// stranger is the other process. It ends well by itself.
func stranger(f *os.File, _ int) error {
	seg, err := shm.Attach(f)
	if err != nil {
		return err
	}
	// First with the /proc of the test's namespace, which knows this process by another pid than the one that it has here.
	makeOne := func() error { return closing(semaphore.NewMutexAt(seg.Bytes()[strangersAt:])) }
	if err := makeOne(); err == nil || !strings.Contains(err.Error(), "/proc belongs to another PID namespace") {
		return fmt.Errorf("with the /proc of others: %v", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	placed(seg.Bytes(), owned(), func(s species, mem []byte) {
		if refused := s.attach(mem); !errors.Is(refused, semaphore.ErrNamespace) {
			err = errors.Join(err, fmt.Errorf("%d bytes: %v", s.size, refused))
		}
	})
	n := len(owned())
	placed(seg.Bytes(), everyone(), func(s species, mem []byte) {
		if n--; n < 0 {
			err = errors.Join(err, s.attach(mem))
		}
	})
	if err = errors.Join(err, makeOne()); err != nil {
		return err
	}
	os.Exit(0)
	return nil
}

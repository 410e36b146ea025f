//go:build linux && (amd64 || arm64)

package pool

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/process"
)

// idleEntry runs until it is killed.
var idleEntry = process.NewEntry("idle for ever", func([]*os.File) { select {} })

func startIdle(t *testing.T) *process.Process {
	proc, err := idleEntry.Start(process.Options{})
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = proc.Kill()
		<-proc.Done()
	})
	return proc
}

// Who could do something and does not has its time and no more; what it was kept from is added, but not for ever.
func TestPatience(t *testing.T) {
	proc := startIdle(t)
	const limit = time.Minute
	for _, tt := range []struct{ passed, starved, least, most time.Duration }{
		{0, 0, 59 * time.Second, limit},
		{59 * time.Second, 0, 0, 2 * time.Second},
		{2 * limit, 0, -2 * limit, -50 * time.Second},
		{2 * limit, 90 * time.Second, 29 * time.Second, 31 * time.Second},
		{2 * limit, time.Hour, 59 * time.Second, 61 * time.Second}, // of several threads
		{mostPatience * limit, time.Hour, -time.Hour, 0},
		{2 * limit, -time.Hour, -2 * limit, -50 * time.Second}, // threads have ended
	} {
		w := &patience{proc: proc, limit: limit, began: time.Now().Add(-tt.passed), starved: -tt.starved}
		left := w.left()
		require.True(t, tt.least <= left && left <= tt.most, "%v: %v", tt, left)
	}
}

// busyEntry runs until it is killed, and is always ready to.
var busyEntry = process.NewEntry("busy for ever", func([]*os.File) {
	for {
		spun++
	}
})

// One that was killed and has no processor is waited for, and one that sleeps and does not die is not.
func TestPatienceWithTheKilled(t *testing.T) {
	proc, err := busyEntry.Start(process.Options{})
	require.NoError(t, err)
	defer func() {
		require.NoError(t, proc.Kill())
		<-proc.Done()
	}()
	const limit = time.Minute
	eventually(t, "it runs", func() bool {
		runnable, err := sys.Runnable(proc.Pid())
		return err == nil && runnable
	})
	late := time.Now().Add(-2 * limit)
	busy := &patience{proc: proc, limit: limit, killed: true, began: late}
	require.Equal(t, limit/10, busy.left())
	busy.began = time.Now().Add(-mostPatience * limit)
	require.Less(t, busy.left(), time.Duration(0))
	idle := &patience{proc: startIdle(t), limit: limit, killed: true, began: late}
	eventually(t, "it sleeps", func() bool { return idle.left() < 0 })
}

func TestAfterPatience(t *testing.T) {
	proc := startIdle(t)
	called := make(chan bool, 1)
	afterPatience(proc, soon, func() { called <- true })
	receive(t, called)

	// Of one that has ended nobody hears any more.
	afterPatience(proc, 50*soon, func() { t.Error("it has ended") })
	require.NoError(t, proc.Signal(syscall.SIGKILL))
	<-proc.Done()
	w := &patience{proc: proc, limit: soon}
	w.look(func() { t.Error("it has ended") })
}

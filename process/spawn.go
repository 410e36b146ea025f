package process

import (
	"os"
	"runtime"
	"sync"

	"github.com/shmkit/shmkit/internal/sys"
)

type spawnRequest struct {
	cmd   sys.Command
	reply chan<- spawnReply
}

type spawnReply struct {
	pid   int
	pidfd *os.File
	err   error
}

// spawner hands commands to the one goroutine that starts children.
var spawner = sync.OnceValue(func() chan<- spawnRequest {
	requests := make(chan spawnRequest)
	go spawnLoop(requests)
	return requests
})

// spawnLoop starts children on one thread that lasts as long as the process: the
// death signal of a child fires when the thread that started it ends, and a thread
// of a caller may end at any time.
func spawnLoop(requests <-chan spawnRequest) {
	runtime.LockOSThread() // for good
	for r := range requests {
		pid, pidfd, err := sys.Spawn(r.cmd)
		r.reply <- spawnReply{pid, pidfd, err}
	}
}

// spawn starts cmd with files as its descriptors 0, 1, 2, ...
func spawn(cmd sys.Command, files []*os.File) (reply spawnReply) {
	err := withDescriptors(files, nil, func(fds []uintptr) {
		cmd.Files = fds
		done := make(chan spawnReply)
		spawner() <- spawnRequest{cmd, done}
		reply = <-done
	})
	if err != nil {
		return spawnReply{err: err}
	}
	return reply
}

// withDescriptors calls f with the descriptors of files, none of which can be closed
// meanwhile. Unlike File.Fd it leaves their mode alone.
func withDescriptors(files []*os.File, fds []uintptr, f func(fds []uintptr)) error {
	if len(fds) == len(files) {
		f(fds)
		return nil
	}
	conn, err := files[len(fds)].SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = conn.Control(func(fd uintptr) {
		inner = withDescriptors(files, append(fds, fd), f)
	})
	if err != nil {
		return &os.PathError{Op: "pass", Path: files[len(fds)].Name(), Err: err}
	}
	return inner
}

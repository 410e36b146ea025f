package process

import (
	"os"
	"sync"
)

// A lifelinePipe is the parent's side of the lifeline: every child has the read end,
// which ends when the parent's write end is closed by the parent's death. It exists
// while there are children.
type lifelinePipe struct {
	mu       sync.Mutex
	children int
	read     *os.File
	write    *os.File // close-on-exec, and never among a child's files
}

var lifeline lifelinePipe

// acquire returns the read end, for one more child.
func (l *lifelinePipe) acquire() (*os.File, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.children == 0 {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		l.read, l.write = r, w
	}
	l.children++
	return l.read, nil
}

// release takes back one acquire, for a child that was reaped or never started.
func (l *lifelinePipe) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.children--; l.children == 0 {
		_ = l.read.Close()
		_ = l.write.Close()
	}
}

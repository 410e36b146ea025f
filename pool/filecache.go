package pool

import (
	"errors"
	"os"
	"slices"

	"github.com/shmkit/shmkit/shm"
)

// A fileCache is the files that a worker has mapped last.
type fileCache struct {
	files map[shm.FileRef]*shm.File
	order []shm.FileRef // oldest first
}

// mostFiles is how many files stay mapped between tasks.
const mostFiles = 16

func (c *fileCache) open(r shm.FileRef) (*shm.File, error) {
	if f := c.files[r]; f != nil {
		if _, err := f.Ref(); !errors.Is(err, os.ErrClosed) { // by a task that should not have
			return f, err
		}
		c.drop(r)
	}
	f, err := shm.OpenRef(r)
	if err != nil {
		return nil, err
	}
	if c.files == nil {
		c.files = map[shm.FileRef]*shm.File{}
	}
	c.files[r] = f
	c.order = append(c.order, r)
	return f, nil
}

// trim is called between tasks.
func (c *fileCache) trim() {
	for len(c.order) > mostFiles {
		oldest := c.order[0]
		_ = c.files[oldest].Close() // it was only read
		c.drop(oldest)
	}
}

func (c *fileCache) drop(r shm.FileRef) {
	delete(c.files, r)
	c.order = slices.DeleteFunc(c.order, func(o shm.FileRef) bool { return o == r })
}

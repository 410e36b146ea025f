package semaphore

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// Handles makes an object in mem, bytes of the heap, where the race detector sees its atomics, and as many handles as asked for: each stands for a
// process. They are closed at the end of the test.
func Handles[O io.Closer](t testing.TB, mem []byte, n int, create, attach func(mem []byte) (O, error)) []O {
	all := make([]O, n)
	for i := range all {
		open := attach
		if i == 0 {
			open = create
		}
		o, err := open(mem)
		require.NoError(t, err)
		all[i] = o
		t.Cleanup(func() { require.NoError(t, o.Close()) })
	}
	return all
}

package shm_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/shm"
)

// python runs a script behind the code that the README shows, with the arguments in args. What the interpreter starts to
// clean up behind itself has standard error, and so has ended too when this returns.
func python(t *testing.T, script string, args ...any) string {
	interpreter, err := exec.LookPath("python3")
	require.NoError(t, err, "this test takes python3")
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	_, code, found := strings.Cut(string(readme), "```python\n")
	require.True(t, found, "the README shows no Python")
	code, _, found = strings.Cut(code, "```\n")
	require.True(t, found)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, interpreter, "-I", "-c", code+"args = sys.argv[1:]\n"+script)
	for _, a := range args {
		cmd.Args = append(cmd.Args, fmt.Sprint(a))
	}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

// Go makes a segment, Python reads and writes it, and leaves it when it exits.
func TestPythonOpens(t *testing.T) {
	const size = 2*page + 5
	s := createNamed(t, size)
	copy(s.Bytes(), "from Go")
	s.Bytes()[size-1] = 77
	out := python(t, `
shm = segment(args[0])
print(shm.name == args[0], shm.size, bytes(shm.buf[:7]), shm.buf[-1])
shm.buf[:7] = b"from Py"
shm.close()
`, s.Name())
	assert.Equal(t, fmt.Sprintf("True %d b'from Go' 77\n", size), out)
	assert.Equal(t, "from Py", string(s.Bytes()[:7]))
	_, found := listed(t, s.Name())
	assert.True(t, found, "it stays")
}

// Python makes a segment, which stays when it exits, and Go reads, writes and removes it.
func TestPythonCreates(t *testing.T) {
	const size = 2*page + 5
	name := newName(t)
	out := python(t, `
shm = segment(args[0], create=True, size=int(args[1]))
shm.buf[:7] = b"from Py"
shm.close()
`, name, size)
	assert.Empty(t, out)
	info, _ := listed(t, name)
	assert.Equal(t, shm.Info{Name: name, Size: size}, info)
	s := opened(t, shm.Open, name)
	assert.EqualValues(t, size, s.Size())
	assert.Equal(t, "from Py", string(s.Bytes()[:7]))
	require.NoError(t, s.Reserve(0, size), "it has no memory yet, but for what Python wrote to")
	copy(s.Bytes(), "from Go")

	out = python(t, `
shm = segment(args[0])
print(bytes(shm.buf[:7]))
shm.close()
`, name)
	assert.Equal(t, "b'from Go'\n", out)
	require.NoError(t, shm.Remove(name))
	out = python(t, `
try:
    segment(args[0])
except FileNotFoundError:
    print("gone")
`, name)
	assert.Equal(t, "gone\n", out)
}

// Whoever makes it first has it, whatever language he speaks.
func TestPythonExists(t *testing.T) {
	s := createNamed(t, page)
	out := python(t, `
try:
    segment(args[0], create=True, size=1)
except FileExistsError:
    print("exists")
`, s.Name())
	assert.Equal(t, "exists\n", out)
	assert.EqualValues(t, page, opened(t, shm.Open, s.Name()).Size())
}

// This is what the README warns of: without its code, Python removes what it has merely opened. Who has it keeps its memory.
func TestPythonRemovesWhatItOpened(t *testing.T) {
	s := createNamed(t, page)
	out := python(t, `
shm = shared_memory.SharedMemory(args[0])
shm.buf[0] = 7
shm.close()
`, s.Name())
	assert.Contains(t, out, "leaked shared_memory objects to clean up at shutdown")
	_, err := shm.Open(s.Name())
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.Equal(t, byte(7), s.Bytes()[0])
}

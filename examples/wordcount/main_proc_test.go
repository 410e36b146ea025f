package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// patience is how long anything may take on a busy machine.
const patience = 30 * time.Second

type outcome struct {
	code           int
	stdout, stderr string
}

// start runs the program in this process, with real workers.
func start(args ...string) <-chan outcome {
	ended := make(chan outcome, 1)
	go func() {
		var stdout, stderr bytes.Buffer
		code := run(args, &stdout, &stderr)
		ended <- outcome{code, stdout.String(), stderr.String()}
	}()
	return ended
}

func wait(t *testing.T, ended <-chan outcome) outcome {
	t.Helper()
	select {
	case o := <-ended:
		return o
	case <-time.After(patience):
		require.FailNow(t, "the program hangs")
		panic("unreachable")
	}
}

// reference counts the files in Python.
const reference = `
import collections, os, sys
words, files, size, count = 0, 0, 0, collections.Counter()
for dir, _, names in os.walk(sys.argv[1]):
    for name in names:
        with open(os.path.join(dir, name), 'rb') as f:
            data = f.read()
        split = data.split()
        files, size, words = files + 1, size + len(data), words + len(split)
        count.update(split)
for word, n in sorted(count.items(), key=lambda i: (-i[1], i[0]))[:int(sys.argv[2])]:
    if not word.isalpha():
        word = b'"\\x%02x"' % ord(word)
    sys.stdout.buffer.write(b'%10d  %s\n' % (n, word))
print('total: %d words, %d files, %d bytes' % (words, files, size))
`

func python(t *testing.T, script string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "python3", append([]string{"-c", script}, args...)...).Output()
	require.NoError(t, err, "python3 is what the words are compared with")
	return string(out)
}

var timing = regexp.MustCompile(`, (\d+\.\d\d) s, \d+\.\d MB/s, (\d+) workers\n$`)

// corpus makes files of every sort: long words that run over the borders of pieces, many small
// files, empty ones, and random bytes.
func corpus(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	random := rand.NewChaCha8([32]byte{1})
	letters := rand.New(random)
	write := func(name string, data []byte) {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, data, 0o600))
	}
	const alphabet = "eeeeeaaaannntttoox\x1c\x85     \n\t\v\f\r"
	text := func(n int) []byte {
		data := make([]byte, n)
		for i := range data {
			data[i] = alphabet[letters.IntN(len(alphabet))]
		}
		return data
	}
	write("big", text(taskBytes+1234))
	write("word", bytes.Repeat([]byte("x"), taskBytes+7))
	write("words", append(bytes.Repeat([]byte("y"), taskBytes-3), " zzz zzz"...))
	write("spaces", bytes.Repeat([]byte(" "), taskBytes+1))
	noise := make([]byte, 100_000)
	random.Read(noise)
	write("noise", noise)
	for i := range 300 {
		write(fmt.Sprintf("sub%d/deep/small%d", i%7, i), text(letters.IntN(1000)))
		write(fmt.Sprintf("sub%d/empty%d", i%7, i), nil)
	}
	return dir
}

func TestSameAsPython(t *testing.T) {
	dir := corpus(t)
	want := python(t, reference, dir, "12")
	for _, workers := range []string{"1", "2", "5"} {
		o := wait(t, start("-top", "12", "-workers", workers, dir))
		require.Zero(t, o.code, "%s", o.stderr)
		assert.Empty(t, o.stderr)
		match := timing.FindStringSubmatch(o.stdout)
		require.NotNil(t, match, "%s", o.stdout)
		assert.Equal(t, workers, match[2])
		assert.Equal(t, want, strings.Replace(o.stdout, match[0], "\n", 1))
	}
}

func TestGoDistribution(t *testing.T) {
	root := t.TempDir()
	write(t, 0, root, "src", "a.go")
	require.NoError(t, os.WriteFile(filepath.Join(root, "src", "a.go"), []byte("package a"), 0o600))
	t.Setenv("GOROOT", root)
	o := wait(t, start("-top", "0"))
	assert.Regexp(t, "^total: 2 words, 1 files, 9 bytes, ", o.stdout)

	t.Setenv("GOROOT", "")
	src, err := goSource() // asks the go command
	require.NoError(t, err)
	assert.DirExists(t, filepath.Join(src, "runtime"))

	t.Setenv("PATH", "")
	o = wait(t, start())
	assert.Equal(t, 1, o.code)
	assert.Contains(t, o.stderr, "wordcount: find the Go distribution's source code: go env GOROOT: ")

	t.Setenv("GOROOT", filepath.Join(root, "none"))
	o = wait(t, start())
	assert.Equal(t, 1, o.code)
	assert.Contains(t, o.stderr, filepath.Join(root, "none", "src")+": no such file")
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	mkfifo(t, fifo)
	const unreadable = "/proc/sys/vm/drop_caches" // to root as well
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{dir, dir + "/none"}, 1, "^wordcount: .*" + dir + "/none: no such file"},
		{[]string{dir}, 1, "^wordcount: no files in " + dir + "\n$"},
		{[]string{"-ext", "x,y", dir}, 1, "^wordcount: no files in " + dir + " with the extension .x or .y\n$"},
		{[]string{fifo}, 1, "^wordcount: " + fifo + " is neither a regular file nor a directory"},
		{[]string{os.DevNull}, 1, "^wordcount: " + os.DevNull + " is neither"},
		{[]string{unreadable}, 1, "^wordcount: .*" + unreadable + ".*: permission denied\n$"},
		{[]string{"-workers", "1000000", dir}, 1, "option Workers is 1000000"},
		{[]string{"-workers", "-1"}, 2, `invalid value "-1" for flag -workers`},
		{[]string{"-top", "x"}, 2, `invalid value "x" for flag -top`},
		{[]string{"-ext", ""}, 2, "an extension is empty"},
		{[]string{"-none"}, 2, "flag provided but not defined: -none"},
		{[]string{"-h"}, 0, "^usage: wordcount "},
	} {
		o := wait(t, start(c.args...))
		assert.Equal(t, c.code, o.code, "%v", c.args)
		assert.Regexp(t, c.want, o.stderr, "%v", c.args)
		assert.Empty(t, o.stdout, "%v", c.args)
	}
}

// What the walk cannot read is an error, though all that it found before was counted.
func TestUnreadableDirectory(t *testing.T) {
	dir := t.TempDir()
	write(t, 10, dir, "file")
	name := strings.Repeat("d", 200)
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	for range 25 { // deeper than a path may be long
		require.NoError(t, root.Mkdir(name, 0o700))
		next, err := root.OpenRoot(name)
		require.NoError(t, err)
		require.NoError(t, root.Close())
		root = next
	}
	require.NoError(t, root.Close())
	o := wait(t, start(dir))
	assert.Equal(t, 1, o.code)
	assert.Regexp(t, "^wordcount: .*/"+name+": file name too long\n$", o.stderr)
	assert.Empty(t, o.stdout)
}

// On a terminal there is a bar while it counts, and nothing of it is left under the last line.
func TestTerminal(t *testing.T) {
	const inTerminal = `
import os, pty, sys
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))
`
	file := write(t, 3*taskBytes, t.TempDir(), "file")
	t.Setenv(programEnv, "1")
	out := python(t, inTerminal, os.Args[0], "-top", "0", "-workers", "2", file)
	assert.Contains(t, out, "counting")
	assert.Contains(t, out, "B/s")
	const cleared = "\x1b\\[2K\r"
	assert.Regexp(t, cleared+"total: 1 words, .* workers\r\n$", out)
}

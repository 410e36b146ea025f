//go:build linux && (amd64 || arm64)

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/inspect"
	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/pool"
)

// aboutAPool are the commands that look at one.
var aboutAPool = [][]string{
	{"stat"}, {"stat", "-o", "wide"}, {"stat", "-o", "json"}, {"stat", "-i", "1ms", "-n", "2"}, {"stat", "-i", "1ms", "-n", "1", "-o", "yaml"},
	{"ps", "-o", "wide"}, {"ps", "-o", "yaml"}, {"ps", "--waiting"}, {"hist", "-o", "wide"}, {"hist", "-f", "subject.add"}, {"hist", "--for", "1ms", "-o", "json"},
	{"errors", "-o", "wide"}, {"errors", "-o", "json"}, {"dump", "-o", "wide"}, {"dump", "-o", "json"}, {"dump", "--to", "-"},
	{"check"}, {"check", "-o", "yaml"}, {"trace", "-o", "-"}, {"trace", "--for", "1ms", "-o", "-"},
}

// memoryOfAPool returns a copy of the memory of a pool that has done something, and does.
func memoryOfAPool(t *testing.T) (mem []byte) {
	t.Helper()
	name := "hostile"
	require.NoError(t, withPool(name, filepath.Join(t.TempDir(), "ready"), func(string) error {
		f, err := openOwn(name)
		require.NoError(t, err)
		defer f.Close()
		mem, err = io.ReadAll(f)
		return err
	}))
	return mem
}

// openOwn opens the memory of a pool of this process's.
func openOwn(name string) (*os.File, error) {
	dir, err := os.ReadDir("/proc/self/fd")
	for _, e := range dir {
		path := "/proc/self/fd/" + e.Name()
		if to, _ := os.Readlink(path); to == "/memfd:shmkit:"+name+" (deleted)" {
			return os.Open(path)
		}
	}
	return nil, errors.Join(os.ErrNotExist, err)
}

// endure runs the command on the file, and reports whether it has said something. It may fail, but not panic, hang or say without end.
func endure(t *testing.T, file string, args []string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out, notes bytes.Buffer
	root := newRoot(&shell{out: &out, notes: &notes})
	root.SetArgs(append(args, "--file", file))
	err := root.ExecuteContext(ctx)
	require.NoError(t, ctx.Err(), "%v has not ended: %v", args, err)
	if err != nil {
		require.NotEqual(t, exitUsage, codeOf(err), "%v: %v", args, err)
	}
	require.Less(t, out.Len()+notes.Len(), 64<<20, "%v", args)
	return out.Len() > 0
}

var hostile = []uint64{0, 1, math.MaxUint64, math.MaxInt64, 1 << 63, math.MaxUint32, 1 << 31, 1 << 40, 0xfefefefefefefefe}

// Numbers that nobody has written, in place of some or many of a pool's.
func TestHostileMemory(t *testing.T) {
	mem := memoryOfAPool(t)
	file := filepath.Join(t.TempDir(), "memory")
	rng := rand.New(rand.NewPCG(1, 2))
	books := min(len(mem), 1<<19)
	table, end := tableOf(mem)
	rounds, seen := 300, 0
	if testing.Short() {
		rounds = 30
	}
	for n := range rounds {
		spoilt := bytes.Clone(mem)
		share := []int{1, 4, 64, 1024}[n%4] // one of so many words
		if n%8 < 4 {
			share = 1 << 20 // a few words alone
		}
		for range 1 + books/8/share {
			at := layout.HeaderSize + rng.IntN((books-layout.HeaderSize)/8)*8
			if n%10 == 0 || at < table || at >= end { // without the functions' names nothing is looked at
				binary.LittleEndian.PutUint64(spoilt[at:], hostile[rng.IntN(len(hostile))])
			}
		}
		require.NoError(t, os.WriteFile(file, spoilt, 0o600))
		if endure(t, file, aboutAPool[n%len(aboutAPool)]) {
			seen++
		}
	}
	require.Greater(t, seen, rounds/2, "most of it was refused")
}

// tableOf returns where the names of the functions lie.
func tableOf(mem []byte) (from, to int) {
	from = len(mem)
	for _, name := range []string{"demo.hash", "demo.crash", "subject.add", "subject.exit"} {
		at := bytes.Index(mem, []byte(name))
		from, to = min(from, at), max(to, at)
	}
	return from - layout.Line, to + layout.Line
}

// Every word of the header, each with every number.
func TestHostileHeader(t *testing.T) {
	mem := memoryOfAPool(t)
	file := filepath.Join(t.TempDir(), "memory")
	for at := 0; at < layout.HeaderSize; at += 8 {
		for _, v := range hostile {
			spoilt := bytes.Clone(mem)
			binary.LittleEndian.PutUint64(spoilt[at:], v)
			require.NoError(t, os.WriteFile(file, spoilt, 0o600))
			endure(t, file, []string{"dump"})
		}
	}
}

// Memory that ends too early, and an image that does.
func TestTruncated(t *testing.T) {
	mem := memoryOfAPool(t)
	dir := t.TempDir()
	file, image := filepath.Join(dir, "memory"), filepath.Join(dir, "image")
	require.NoError(t, os.WriteFile(file, mem, 0o600))
	endure(t, file, []string{"dump", "--to", image})
	whole, err := os.ReadFile(image)
	require.NoError(t, err)
	for _, good := range [][]byte{mem, whole} {
		for n := range 40 {
			cut := []int{n * 8, len(good) * n / 40, len(good) - 1 - n*8}[n%3]
			require.NoError(t, os.WriteFile(file, good[:max(cut, 0)], 0o600))
			endure(t, file, aboutAPool[n%len(aboutAPool)])
		}
	}
}

// A file that becomes shorter while it is watched.
func TestTruncatedMeanwhile(t *testing.T) {
	mem := memoryOfAPool(t)
	file := filepath.Join(t.TempDir(), "memory")
	require.NoError(t, os.WriteFile(file, mem, 0o600))
	s, err := pickFile(file)
	require.NoError(t, err)
	defer s.close()
	require.NoError(t, os.Truncate(file, 1000))
	_, err = s.look()
	require.Error(t, err)
	r, err := s.record(t.Context(), time.Hour)
	require.Error(t, err)
	require.NoError(t, writeTrace(io.Discard, r))
}

// What a pool of the name of another, and texts, may do to a terminal.
func TestPrintable(t *testing.T) {
	require.Equal(t, "a?[2J? ?b ü", printable("a\x1b[2J\n \u202eb ü"))
	var out bytes.Buffer
	sh := &shell{out: &out, notes: io.Discard, format: "table"}
	snap := &pool.Snapshot{Name: "a\tb\x1b[1m\n", State: pool.PoolOpen, Faults: []pool.Fault{{Function: "\x07", Text: "\r\n\x9b"}}}
	require.NoError(t, sh.show(faultsOf(snap)))
	require.NoError(t, sh.show(statusOf(&site{first: snap, Memory: inspect.Memory{Name: "x"}}, snap)))
	require.NotContains(t, out.String(), "\x1b")
	require.NotContains(t, out.String(), "\x07")
	require.NotContains(t, out.String(), "\t")
	require.NotContains(t, fmt.Sprintf("%q", out.String()), `\x9b`)
}

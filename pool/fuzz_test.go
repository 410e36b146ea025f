//go:build linux && (amd64 || arm64)

package pool

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/objects"
	"github.com/shmkit/shmkit/shm"
)

// FuzzGeometry: parameters are refused, or what they say fits into the memory, part behind part, and is what a parent would have
// written.
func FuzzGeometry(f *testing.F) {
	for _, g := range []geometry{
		{slots: 3, workers: 2, table: 5, memory: memoryUnit, page: pageBytes},
		{slots: maxSlots, workers: maxWorkers, table: 1 << 20, init: 9, memory: maxMemory, page: 2 << 20},
	} {
		p := g.params()
		f.Add(p[0], p[1], p[2], p[3], p[4], g.offsets().total)
		f.Add(p[0], p[1], p[2], p[3], p[4], g.offsets().total+1)
		f.Add(p[0]|64<<32, p[1], p[2], p[3], p[4], g.offsets().total) // a shift that is the same, and is not
	}
	f.Add(^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), int64(-1))
	f.Fuzz(func(t *testing.T, a, b, c, d, e uint64, size int64) {
		params := [5]uint64{a, b, c, d, e}
		g, err := geometryOf(params, size)
		if err != nil {
			require.ErrorIs(t, err, layout.ErrParams)
			g = geometry{slots: 1 + int(a%64), workers: 1 + int(b%8), table: int(c % 4096), init: int(d % 4096), memory: int64(e % (1 << 21)),
				page: pageBytes << (a >> 32 % 4)}
			copy(params[:], g.params())
			again, err := geometryOf(params, g.offsets().total)
			require.NoError(t, err)
			require.Equal(t, g, again)
		}
		require.Equal(t, params[:], g.params())
		o := g.offsets()
		ends := []int64{layout.HeaderSize, o.control, o.ready, o.workers, o.slots, o.near, o.table, o.init, o.completions, o.boot, o.books, o.arena, o.total}
		for i := range ends[1:] {
			require.LessOrEqual(t, ends[i], ends[i+1], "%v", ends)
		}
		if o.total <= 1<<22 {
			lookAround(t, g)
		}
	})
}

// lookAround asks for all that there is in the memory of a geometry.
func lookAround(t *testing.T, g geometry) {
	mem := layout.SliceBytes(make([][layout.Line / 8]uint64, g.offsets().total/layout.Line))
	m, err := view(mem, g)
	require.NoError(t, err)
	for i := range g.slots {
		m.argNear(uint32(i))[nearBytes-1], m.resNear(uint32(i))[nearBytes-1] = 1, 1
		m.progress(uint32(i))
	}
	for i := range g.workers {
		m.completions(i)
		m.boot(i)[bootBytes-1] = 1
	}
	require.Len(t, m.table(), g.table)
	require.Len(t, m.init(), g.init)
	require.Zero(t, m.workers[g.workers-1].wake.Load(), "the parts do not overlap")
	require.Zero(t, m.slots[g.slots-1].word.Load(), "likewise")
	require.Len(t, m.arena(), int(shm.ArenaSize(g.memory, g.page)))
}

// FuzzBind: a table of functions is refused, or each of its entries is a function that this process has, under the same
// fingerprint, or an error that names it.
func FuzzBind(f *testing.F) {
	whole := encodeTable()
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0xff, 0xff, 0xff, 0})
	f.Fuzz(func(t *testing.T, table []byte) {
		bound, err := bind(table)
		if err != nil {
			require.Nil(t, bound)
			return
		}
		var again []byte
		for i, b := range bound {
			require.NotEqual(t, b.err == nil, b.handler == nil)
			again = append(again, table[len(again):][:8]...) // the fingerprint
			again = binary.LittleEndian.AppendUint32(again, uint32(len(b.name)))
			again = append(again, b.name...)
			require.True(t, b.err == nil || strings.Contains(b.err.Error(), "function "), "entry %d", i)
		}
		require.Equal(t, string(table), string(again))
	})
}

// FuzzInitialisers: what runs at a worker's start and end is refused, or is two parts of what there was; and what is in them is an
// error unless it names an initialiser.
func FuzzInitialisers(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{5, 0, 0, 0, 1, 0, 0, 0, 'x', 2, 0, 0, 0, 'a', 'b', 'c'})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		first, second, err := decodeBoth(b)
		if err != nil {
			return
		}
		require.Equal(t, max(len(b)-4, 0), len(first)+len(second))
		for _, part := range [][]byte{first, second} {
			if len(part) >= 4 && registry.inits[string(part[4:][:min(binary.LittleEndian.Uint32(part), uint32(len(part)-4))])] != nil {
				continue // it would do what it does
			}
			err := runInit(context.Background(), part, &objects.Arrivals{})
			require.Equal(t, len(part) == 0, err == nil, "%v", err)
		}
	})
}

// FuzzRemote: what a worker sends as an error is one when it arrives, whatever it is, can be printed, and names no error that is not
// registered.
func FuzzRemote(f *testing.F) {
	f.Add(remoteError{Message: "m", Panicked: true, Stack: "s", Sentinels: "io.EOF\x00nobody's"}.encode())
	f.Add([]byte{})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		err := decodeRemote("f", b)
		require.ErrorContains(t, err, "f: ")
		var task *TaskError
		if !errors.As(err, &task) {
			return
		}
		require.LessOrEqual(t, len(task.Message)+len(task.Stack), len(b))
		require.NotContains(t, task.sentinels, nil)
		e := remoteError{Message: task.Message, Panicked: task.Panicked, Stack: task.Stack}
		for _, n := range []int{nearBytes, bootBytes - 4} {
			short := e.encodeWithin(n)
			require.LessOrEqual(t, len(short), n)
			require.ErrorAs(t, decodeRemote("f", short), &task)
			require.Equal(t, e.Panicked, task.Panicked)
			require.True(t, strings.HasPrefix(e.Message, task.Message))
		}
	})
}

// FuzzTable: a table of references is refused, or what is read is what a table with that in it looks like, and the rest is the rest.
func FuzzTable(f *testing.F) {
	b := make([]byte, tableBytes(2)+3)
	putTable(b, []ref{{refBlock, [4]uint64{1, 2, 3, 4}}, {refFile, [4]uint64{5, 6, 7, 8}}})
	f.Add(b)
	f.Add(b[:tableBytes(2)-1])
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0x80})
	f.Fuzz(func(t *testing.T, src []byte) {
		refs, rest, err := getTable(src)
		if err != nil {
			require.ErrorIs(t, err, errTable)
			return
		}
		again := make([]byte, len(src))
		copy(putTable(again, refs), rest)
		require.Equal(t, src, again)
	})
}

// FuzzChunk: what a worker takes for a chunk's arguments and results lies in the arena, the ones behind the others, however far
// off and many they are said to be.
func FuzzChunk(f *testing.F) {
	mem := layout.SliceBytes(make([]uint64, 1<<13))
	f.Add(int64(0), 10)
	f.Add(int64(64), 4096)
	f.Add(int64(1<<63-1), 1<<62)
	f.Add(int64(-1<<63), -1)
	f.Add(int64(1<<63-64), 0)
	f.Fuzz(func(t *testing.T, off int64, n int) {
		args, results, err := square.chunkAt(mem, off, n)
		if err != nil {
			return
		}
		require.Len(t, args, n)
		require.Len(t, results, n)
		if n > 0 {
			first, last := layout.SliceBytes(args), layout.SliceBytes(results)
			require.Equal(t, int(off), layout.Offset(mem, &first[0]))
			require.GreaterOrEqual(t, layout.Offset(mem, &last[0]), int(off)+len(first))
			require.Less(t, layout.Offset(mem, &last[len(last)-1]), len(mem))
		}
	})
}

// FuzzHeadline: the line that sums up what a worker has written at its death is one line of it, or names a function that is in it.
func FuzzHeadline(f *testing.F) {
	f.Add("panic: x\n\ngoroutine 1 [running]:\nmain.main()\n")
	f.Add("runtime stack:\nruntime.throw({0x1, 0x2})\n\t/p.go:1 +0x1\nruntime.newstack()\n")
	f.Add("goroutine 1 [running]:\n(\n\t(\ninternal/runtime/maps.fatal(\nx(\n")
	f.Fuzz(func(t *testing.T, traceback string) {
		line := headline(traceback)
		require.NotContains(t, line, "\n")
		if fn, is := strings.CutPrefix(line, "fatal error in "); is {
			line = fn
		}
		require.Contains(t, traceback, line)
		e := WorkerDiedError{Traceback: traceback}
		require.True(t, strings.Contains(e.Error(), line) || !utf8.ValidString(line))
	})
}

// FuzzLastWords: what is kept of a worker's last words is a part of what it has written, wherever in the file it has left off, and no more
// than there may be.
func FuzzLastWords(f *testing.F) {
	file, err := os.CreateTemp(f.TempDir(), "crash")
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, file.Close()) })
	f.Add([]byte("panic: x\n\x00\n"), int64(5))
	f.Add([]byte{}, int64(1<<62))
	f.Add([]byte("x"), int64(crashBytes+1))
	f.Fuzz(func(t *testing.T, text []byte, at int64) {
		require.NoError(t, file.Truncate(0))
		_, err := file.WriteAt(text, 0)
		require.NoError(t, err)
		if _, err := file.Seek(at, 0); err != nil {
			return
		}
		words := lastWords(file)
		require.LessOrEqual(t, len(words), int(min(at, crashBytes, int64(len(text)))))
		require.Contains(t, string(text), words)
	})
}

// FuzzPosting: what stands in a worker's variable is refused, or the worker is told the same by what its parent would write for that;
// and the variable is gone.
func FuzzPosting(f *testing.F) {
	f.Add(`3 7 2 1 0 5 "4" ""`)
	f.Add(`-3 4294967296 2 1 0 5 "" ""`)
	f.Add(`3 7 2 1 0 5 "\x00" "`)
	for _, key := range []string{workerEnv, maxProcsKey, memoryLimitKey} {
		was, is := os.LookupEnv(key)
		f.Cleanup(func() {
			if os.Unsetenv(key); is {
				os.Setenv(key, was)
			}
		})
	}
	f.Fuzz(func(t *testing.T, text string) {
		if os.Setenv(workerEnv, text) != nil {
			return // it cannot stand there
		}
		p, err := readPosting()
		if err != nil {
			return
		}
		require.Empty(t, os.Getenv(workerEnv))
		require.Equal(t, []string{p.maxProcs, p.memoryLimit}, []string{os.Getenv(maxProcsKey), os.Getenv(memoryLimitKey)})
		o := Options{cpus: p.cpus, GOMAXPROCS: p.procs, GOMEMLIMIT: p.limit, MaxTasksPerWorker: p.tasks,
			Env: []string{maxProcsKey + "=" + p.maxProcs, memoryLimitKey + "=" + p.memoryLimit}}
		for _, v := range o.workerEnvironment(p.index, p.incarnation) {
			if value, is := strings.CutPrefix(v, workerEnv+"="); is {
				require.NoError(t, os.Setenv(workerEnv, value))
			}
		}
		again, err := readPosting()
		require.NoError(t, err)
		require.Equal(t, p, again)
	})
}

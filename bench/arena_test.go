package bench

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/shmkit/shmkit/shm"
)

// BenchmarkArena allocates a block of 4 KiB and frees it, beside others who do that within one process.
func BenchmarkArena(b *testing.B) {
	const size = 4 << 10
	b.Run("alloc-free", func(b *testing.B) {
		a := newArena(b)
		for b.Loop() {
			block, _, err := a.Alloc(size)
			must(err)
			if !a.Free(block) {
				b.Fatal("the block was freed by somebody else")
			}
		}
	})
	b.Run("make", func(b *testing.B) {
		for b.Loop() {
			sink = make([]byte, size)
		}
		sink = nil
	})
	b.Run("sync-pool", func(b *testing.B) {
		p := sync.Pool{New: func() any { return new([size]byte) }}
		for b.Loop() {
			p.Put(p.Get())
		}
	})
	b.Run("malloc", func(b *testing.B) { malloc(b, size) })
}

func newArena(b *testing.B) *shm.Arena {
	const memory = 64 << 20
	seg, err := shm.New("bench arena", shm.ArenaSize(memory, 0))
	must(err)
	b.Cleanup(func() { must(seg.Close()) })
	a, err := shm.NewArena(seg.Bytes(), memory, 0, 1, seg)
	must(err)
	return a
}

// malloc measures C's allocator, with the program in testdata.
func malloc(b *testing.B, size int) {
	program := filepath.Join(b.TempDir(), "malloc")
	if out, err := exec.Command("gcc", "-O2", "-o", program, "testdata/malloc.c").CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	const times = 20_000_000
	out, err := exec.Command(program, fmt.Sprint(size), fmt.Sprint(times)).Output()
	must(err)
	ns, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	must(err)
	b.ReportMetric(ns, "ns/op")
}

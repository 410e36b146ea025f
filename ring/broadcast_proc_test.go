package ring

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/edsrzf/mmap-go"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/sys"
)

// broadcastEnv makes the test binary a process that writes records into the ring in descriptor 3 until it is killed, or one that reads so
// many.
const broadcastEnv = "SHMKIT_RING_TEST_BROADCAST"

const (
	broadcastSlots = 16
	broadcastSize  = 56
)

// runBroadcastChild does not return in such a process.
func runBroadcastChild() {
	if os.Getenv(broadcastEnv) == "" {
		return
	}
	time.AfterFunc(2*time.Minute, func() { panic("the test has forgotten this process") })
	if n, err := strconv.ParseUint(os.Getenv(broadcastEnv), 10, 64); err == nil {
		listen(n)
		os.Exit(0)
	}
	mem, err := mmap.Map(os.NewFile(3, "broadcast"), mmap.RDWR, 0)
	must(err)
	w, err := AttachBroadcastWriter(mem)
	must(err)
	for {
		w.Write(event(w.tail, broadcastSize))
	}
}

// listen reads the first n records that the ring in descriptor 3 ever had, or counts them.
func listen(n uint64) {
	mem, err := mmap.Map(os.NewFile(3, "broadcast"), mmap.RDONLY, 0)
	must(err)
	r, err := AttachBroadcastReader(mem)
	must(err)
	_, err = os.NewFile(4, "ready").Write([]byte{1})
	must(err)
	for next, wait := uint64(0), new(spin); next < n; {
		rec, missed, ok := r.Next()
		if !ok {
			wait.once()
			continue
		}
		wait = new(spin)
		seq := binary.NativeEndian.Uint64(rec)
		expect(seq, next+missed)
		if !bytes.Equal(event(seq, broadcastSize), rec) {
			panic(fmt.Sprintf("record %d is torn: %x", seq, rec))
		}
		next = seq + 1
	}
}

// Seven processes read what an eighth writes, each at its own pace: whole records only, in order, and each knows what it has missed.
func TestBroadcastEightProcesses(t *testing.T) {
	const writes, readers = 50_000, 7
	size := BroadcastSize(broadcastSlots, broadcastSize)
	f, err := sys.Memfd("shmkit:ring-test", size)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, sys.Allocate(f, 0, size))
	mem, err := mmap.Map(f, mmap.RDWR, 0)
	require.NoError(t, err)
	defer func() { require.NoError(t, mem.Unmap()) }()
	require.NoError(t, InitBroadcast(mem, broadcastSlots, broadcastSize))
	ready, w, err := os.Pipe()
	require.NoError(t, err)
	defer ready.Close()
	var all []*exec.Cmd
	for range readers {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", broadcastEnv, writes), "GORACE=atexit_sleep_ms=0")
		cmd.ExtraFiles = []*os.File{f, w}
		cmd.Stderr = os.Stderr
		require.NoError(t, cmd.Start())
		t.Cleanup(func() {
			_ = cmd.Process.Kill() // it has mostly ended
			_ = cmd.Wait()
		})
		all = append(all, cmd)
	}
	require.NoError(t, w.Close())
	_, err = io.ReadFull(ready, make([]byte, readers))
	require.NoError(t, err)
	writer, err := AttachBroadcastWriter(mem)
	require.NoError(t, err)
	for seq := range uint64(writes) {
		writer.Write(event(seq, broadcastSize))
	}
	for _, cmd := range all {
		require.NoError(t, cmd.Wait())
	}
}

// One writer after the other is killed at full speed. Readers, whose memory is mapped for reading only, see whole records, know how many
// they have missed, and see the last ones of the dead.
func TestBroadcastWriterIsKilled(t *testing.T) {
	size := BroadcastSize(broadcastSlots, broadcastSize)
	f, err := sys.Memfd("shmkit:ring-test", size)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, sys.Allocate(f, 0, size))
	mem, err := mmap.Map(f, mmap.RDWR, 0)
	require.NoError(t, err)
	defer func() { require.NoError(t, mem.Unmap()) }()
	require.NoError(t, initBroadcast(mem, broadcastSlots, broadcastSize, math.MaxUint64-10_000))
	seen, err := mmap.Map(f, mmap.RDONLY, 0)
	require.NoError(t, err)
	defer func() { require.NoError(t, seen.Unmap()) }()

	r := readBroadcast(t, seen)
	next := r.pos
	for round := range 10 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), broadcastEnv+"=write")
		cmd.ExtraFiles = []*os.File{f}
		cmd.Stderr = os.Stderr
		require.NoError(t, cmd.Start())
		for got := 0; got < 100*round+1; {
			if n, ok := readOn(t, r, next); ok {
				next = n
				got++
			}
		}
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait() // it was killed
		for ok := true; ok; {
			var n uint64
			if n, ok = readOn(t, r, next); ok {
				next = n
			}
		}
		w, err := AttachBroadcastWriter(mem) // the next one goes on behind
		require.NoError(t, err)
		require.Equal(t, w.tail, next, "all that the dead had written was seen, or counted")
		fresh := readBroadcast(t, seen)
		require.GreaterOrEqual(t, next-fresh.pos, uint64(broadcastSlots-1))
	}
}

// readOn reads one record, if there is one, after which number next would follow.
func readOn(t *testing.T, r *BroadcastReader, next uint64) (uint64, bool) {
	rec, missed, ok := r.Next()
	if !ok {
		return 0, false
	}
	require.Equal(t, next+missed, eventNumber(t, rec))
	return next + missed + 1, true
}

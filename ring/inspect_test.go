package ring

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/shm"
)

func inspectBytes(t require.TestingT, mem []byte) *shm.Report {
	rep, err := Inspect(bytes.NewReader(mem), 0, int64(len(mem)))
	require.NoError(t, err)
	return rep
}

func fact(rep *shm.Report, name string) string {
	for _, f := range rep.Facts {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// inspectable are rings of each kind in which there is something, with the fact that tells of it.
func inspectable(t testing.TB) map[string][]byte {
	all := map[string][]byte{}
	spsc := words(SPSCSize(256))
	require.NoError(t, initSPSC(spsc, 200))
	p, err := AttachProducer(spsc)
	require.NoError(t, err)
	for range 2 {
		b, ok, err := p.Reserve(20)
		require.True(t, ok)
		require.NoError(t, err)
		copy(b, "some")
		p.Commit()
	}
	all["SPSC ring"] = spsc

	self, err := owner.Self()
	require.NoError(t, err)
	size, _ := pipeSize(256, 2)
	pipe := words(int(size))
	require.NoError(t, initPipe(pipe, 256, 2, self, 0))
	all["pipe"] = pipe

	cast := words(int(BroadcastSize(4, 16)))
	require.NoError(t, initBroadcast(cast, 4, 16, 1<<40))
	w, err := AttachBroadcastWriter(cast)
	require.NoError(t, err)
	for range 3 {
		w.Write([]byte("record"))
	}
	all["broadcast ring"] = cast

	o := MPMCOptions{Capacity: 10, ItemSize: 8, Participants: 4}
	n, err := MPMCSize(o)
	require.NoError(t, err)
	mpmc := words(int(n))
	require.NoError(t, InitMPMC(mpmc, o))
	m, err := AttachMPMC(mpmc)
	require.NoError(t, err)
	for range 2 {
		r, ok, err := m.Reserve(3)
		require.NoError(t, err)
		require.True(t, ok)
		require.NoError(t, m.Commit(r))
	}
	_, ok, err := m.Take(1)
	require.True(t, ok)
	require.NoError(t, err)
	_, ok, err = m.Reserve(2)
	require.True(t, ok)
	require.NoError(t, err)
	all["MPMC ring"] = mpmc
	return all
}

func words(n int) []byte {
	return layout.SliceBytes(make([]uint64, (n+7)/8))[:n]
}

// Whoever looks on sees what there is, and nothing wrong.
func TestInspect(t *testing.T) {
	for kind, mem := range inspectable(t) {
		before := bytes.Clone(mem)
		rep := inspectBytes(t, mem)
		assert.Equal(t, kind, rep.Kind)
		assert.EqualValues(t, len(mem), rep.Size)
		assert.Empty(t, rep.Broken, kind)
		assert.Equal(t, before, mem)
		switch kind {
		case "SPSC ring":
			assert.Contains(t, fact(rep, "filled"), "in 2 records")
		case "pipe":
			assert.Contains(t, fact(rep, "from end 0: filled"), "0 bytes")
			require.Len(t, rep.Parties, 2)
			assert.True(t, rep.Parties[0].Alive)
		case "broadcast ring":
			assert.Equal(t, "3", fact(rep, "there"))
		case "MPMC ring":
			assert.Equal(t, "5 full, 2 being written, 1 being read", fact(rep, "items"))
		}
	}
}

// What nobody can have written is found.
func TestInspectFinds(t *testing.T) {
	put := func(off int, v uint64) func([]byte) {
		return func(mem []byte) { binary.NativeEndian.PutUint64(mem[off:], v) }
	}
	for _, tt := range []struct {
		kind, want string
		spoil      func([]byte)
	}{
		{"SPSC ring", "no multiple", put(128, 7)},
		{"SPSC ring", "corrupted", put(storageOff+200, 1<<39)},
		{"SPSC ring", "capacity", put(24, 128)},
		{"pipe", "never issued", put(128, uint64(ticketOf(9)))},
		{"pipe", "corrupted", put(pipeControlSize+storageOff, 1<<39)},
		{"pipe", "rings of", put(32, 3)},
		{"broadcast ring", "the tag of position", put(broadcastSlotsOff, 77)},
		{"broadcast ring", "the tag of position", put(128, 5)},
		{"MPMC ring", "before free", put(256, 0)},
		{"MPMC ring", "all ends at", put(128, 1<<20)},
		{"MPMC ring", "there are 4 places", put(640+4*128, uint64(makeSlot(slotReading, 1, 9, 1)))},
		{"MPMC ring", "no process", put(640, 1<<30)},
		{"MPMC ring", "other parameters", put(24, 1<<40)},
		{"MPMC ring", "made with", put(16, 1<<40)},
	} {
		mem := inspectable(t)[tt.kind]
		tt.spoil(mem)
		rep := inspectBytes(t, mem)
		assert.Contains(t, strings.Join(rep.Broken, "\n"), tt.want, "%s", tt.kind)
	}
	mem := inspectable(t)["pipe"]
	_, err := Inspect(bytes.NewReader(mem[:63]), 0, 63)
	require.Error(t, err)
	mem[0]++
	_, err = Inspect(bytes.NewReader(mem), 0, int64(len(mem)))
	require.ErrorIs(t, err, layout.ErrNotShmkit)
}

// While others put and take, nothing is found to be wrong.
func TestInspectWhileUsed(t *testing.T) {
	o := MPMCOptions{Capacity: 10, ItemSize: 8, Participants: 4}
	n, err := MPMCSize(o)
	require.NoError(t, err)
	const each = 8 << 10
	require.Less(t, n, int64(each))
	seg, err := shm.New("inspected", 3*each)
	require.NoError(t, err)
	defer seg.Close()
	mpmc, spsc, cast := seg.Bytes()[:n], seg.Bytes()[each:][:SPSCSize(1024)], seg.Bytes()[2*each:][:BroadcastSize(8, 24)]
	require.NoError(t, InitMPMC(mpmc, o))
	m, err := AttachMPMC(mpmc)
	require.NoError(t, err)
	require.NoError(t, InitSPSC(spsc))
	p, err := AttachProducer(spsc)
	require.NoError(t, err)
	c, err := AttachConsumer(spsc)
	require.NoError(t, err)
	require.NoError(t, InitBroadcast(cast, 8, 24))
	w, err := AttachBroadcastWriter(cast)
	require.NoError(t, err)
	uses := []func(n int){
		func(int) {
			if r, ok, err := m.Reserve(3); err == nil && ok {
				_ = m.Commit(r)
			}
			if r, ok, err := m.Take(2); err == nil && ok {
				_ = m.Release(r)
			}
		},
		func(n int) {
			if b, ok, err := p.Reserve(n % 200); err == nil && ok {
				for i := range b {
					b[i] = byte(n) // what payloads hold may look like a header
				}
				p.Commit()
			}
			if _, ok, err := c.Peek(); n%3 > 0 && err == nil && ok {
				c.Release()
			}
		},
		func(n int) { w.Write([]byte{byte(n)}) },
	}
	stop := make(chan struct{})
	var users sync.WaitGroup
	for _, use := range uses {
		users.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
					use(n)
				}
			}
		})
	}
	for range 300 {
		for i := range uses {
			rep, err := Inspect(seg.File(), int64(i)*each, each)
			assert.NoError(t, err)
			assert.Empty(t, rep.Broken, rep.Kind)
		}
		if t.Failed() {
			break
		}
	}
	close(stop)
	users.Wait()
}

// FuzzInspect: whatever is there, it returns. A patch is an offset in words and a word.
func FuzzInspect(f *testing.F) {
	var mems [][]byte
	all := inspectable(f)
	for _, kind := range []string{"SPSC ring", "pipe", "broadcast ring", "MPMC ring"} {
		mems = append(mems, all[kind])
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for which, mem := range mems {
		for n := range 12 {
			at := uint32(rng.IntN(len(mem) / 8))
			if n < 8 {
				at = uint32(n)
			}
			f.Add(uint8(which), binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(nil, at), rng.Uint64()>>rng.IntN(64)))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, patch []byte) {
		mem := bytes.Clone(mems[int(which)%len(mems)])
		for ; len(patch) >= 12; patch = patch[12:] {
			at := binary.LittleEndian.Uint32(patch) % uint32(len(mem)/8)
			copy(mem[8*at:], patch[4:12])
		}
		before := bytes.Clone(mem)
		rep, err := Inspect(bytes.NewReader(mem), 0, int64(len(mem)))
		require.Equal(t, before, mem)
		if err == nil {
			require.LessOrEqual(t, rep.Size, int64(len(mem)))
			require.LessOrEqual(t, len(rep.Broken), 200)
		}
	})
}

package explore

import (
	"fmt"
	"hash/maphash"
	"reflect"
	"strings"
)

// lineBytes is how much is hashed anew when a word in it changes.
const lineBytes = 64

// A region is memory that the processes share.
type region struct {
	name     string
	from, to uintptr
	bytes    []byte
	lines    []uint64 // the hash of each line; nil if anybody may write there at any time
}

// Share makes the words in mem, which are changed by atomics alone, shared between processes: every access to one is a point where others
// may run. What lies there is part of the state of the world. Memory of an execution that is not shared is one process's own.
func (w *World) Share(name string, mem []byte) {
	r := newRegion(name, mem)
	r.lines = make([]uint64, (len(mem)+lineBytes-1)/lineBytes)
	w.regions = append(w.regions, r)
}

// SharePlain is Share for memory that is also written without atomics. What a process has written there is seen, or left behind by a
// crash, at its next access to a shared word at the latest.
func (w *World) SharePlain(name string, mem []byte) {
	r := newRegion(name, mem)
	w.regions, w.plain = append(w.regions, r), append(w.plain, r)
}

func newRegion(name string, mem []byte) *region {
	from := reflect.ValueOf(mem).Pointer()
	return &region{name: name, from: from, to: from + uintptr(len(mem)), bytes: mem}
}

// find returns the region of an address, nil if that is not shared, and its number.
func (w *World) region(addr uintptr) (r *region, number int) {
	for i, r := range w.regions {
		if addr >= r.from && addr < r.to {
			return r, i
		}
	}
	return nil, 0
}

// where names a shared address.
func (w *World) where(addr uintptr) string {
	r, _ := w.region(addr)
	return fmt.Sprintf("%s+%#x", r.name, addr-r.from)
}

func (w *World) whereAll(addrs []uintptr) string {
	names := make([]string, len(addrs))
	for i, addr := range addrs {
		names[i] = w.where(addr)
	}
	return strings.Join(names, ", ")
}

// place is a shared address as a number that is the same in every execution.
func (w *World) place(addr uintptr) uint64 {
	r, number := w.region(addr)
	return uint64(number)<<40 | uint64(addr-r.from)
}

var seed = maphash.MakeSeed()

// hashAll hashes everything: from then on only what changes.
func (w *World) hashAll() {
	w.words = 0
	for _, r := range w.regions {
		for i := range r.lines {
			r.lines[i] = 0
			w.rehash(r.from + uintptr(i*lineBytes))
		}
	}
	w.clean = w.plainHash()
}

// rehash hashes what lies around an address that was written to.
func (w *World) rehash(addr uintptr) {
	r, number := w.region(addr)
	if r.lines == nil {
		return
	}
	i := int(addr-r.from) / lineBytes
	line := r.bytes[i*lineBytes : min((i+1)*lineBytes, len(r.bytes))]
	h := mix(maphash.Bytes(seed, line), uint64(number)<<40|uint64(i))
	w.words += h - r.lines[i] // a sum, whose parts can be replaced
	r.lines[i] = h
}

// plainHash is a hash of the bytes that anybody may have written to.
func (w *World) plainHash() (h uint64) {
	for _, r := range w.plain {
		h = mix(h, maphash.Bytes(seed, r.bytes))
	}
	return h
}

// mix is a step of a hash: two rounds of multiplication and shifting, as in splitmix64.
func mix(h, v uint64) uint64 {
	h = (h ^ v) + 0x9E3779B97F4A7C15
	h = (h ^ h>>30) * 0xBF58476D1CE4E5B9
	h = (h ^ h>>27) * 0x94D049BB133111EB
	return h ^ h>>31
}

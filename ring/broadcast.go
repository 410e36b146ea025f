package ring

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/sys"
)

// A BroadcastWriter writes records into a ring for any number of readers, each of which goes at its own pace: it waits for nobody and
// overwrites the oldest. It is not safe for concurrent use.
//
// Each slot is a seqlock. The writer says in the slot's tag that it writes, for which position, then writes the record word by word, then
// says that it is whole. A reader looks at the tag before and after it has copied the record. The scheme is Lamport's, "Concurrent
// reading and writing"; numbers per slot instead of one for all let readers go on while another slot is written.
//
// Invariants:
//   - whoever sees a word of the record at position p, or of a later one, sees the tag of p or of a later one if it looks afterwards:
//     all stores are release stores, in this order, and all loads are acquiring ones;
//   - a tag says "whole" for a position once, after the record's last word: positions do not come again for 2^63 records;
//   - tail is the position of the last whole record, or the one behind it.
type BroadcastWriter struct {
	broadcast
	tail uint64 // position of the next record
}

// AttachBroadcastWriter returns the writer's handle of the ring in mem. It takes the place of an earlier writer, which must not use the
// ring any more, and goes on behind its last whole record.
func AttachBroadcastWriter(mem []byte) (*BroadcastWriter, error) {
	b, err := openBroadcast(mem)
	if err != nil {
		return nil, fmt.Errorf("attach broadcast writer: %w", err)
	}
	w := &BroadcastWriter{broadcast: b, tail: b.control.tail.Load()} // stored by this writer's predecessor, in Write
	if w.slot(w.tail)[0].Load() == tagOf(w.tail)|isWhole {
		w.tail++ // it was killed in between: what it left to do is done first, so that tail is never two behind
		sys.ReleaseStore64(&w.control.tail, w.tail)
	}
	return w, nil
}

// RecordSize returns the bytes of a record.
func (b *broadcast) RecordSize() int { return b.size }

// Write appends a record, in place of the oldest. It never waits, and makes no system call and no copy but the one into the ring. A
// shorter record is filled up with zeros; one that is longer than RecordSize panics.
func (w *BroadcastWriter) Write(rec []byte) {
	if len(rec) > w.size {
		panic(fmt.Sprintf("ring: write %d bytes into a broadcast of records of %d", len(rec), w.size))
	}
	slot, tag := w.slot(w.tail), tagOf(w.tail)
	// Pairs with the loads in BroadcastReader.read, which now takes the record of the lap before for lost. Killed between here and the
	// next store of the tag: nobody sees this record, and a successor writes the slot anew.
	sys.ReleaseStore64(&slot[0], tag)
	sys.ReleaseStores64(slot[tagWords:], rec)
	if len(rec) < w.size || len(rec)%8 != 0 {
		w.fill(slot[tagWords:], rec)
	}
	sys.ReleaseStore64(&slot[0], tag|isWhole) // hands the record over; pairs with the load in read
	w.tail++
	// Killed before this: readers find the record by its tag, and so does a successor.
	sys.ReleaseStore64(&w.control.tail, w.tail)
}

// fill writes what follows the last whole word of rec.
func (w *BroadcastWriter) fill(words []atomic.Uint64, rec []byte) {
	whole := len(rec) &^ 7
	var last [8]byte
	copy(last[:], rec[whole:])
	for i := whole / 8; i < len(words); i++ {
		sys.ReleaseStore64(&words[i], binary.NativeEndian.Uint64(last[:]))
		last = [8]byte{}
	}
}

// A BroadcastReader reads a ring's records, each once, in the order in which they were written. It is not safe for concurrent use; there
// may be any number of readers, in any process. It writes nothing, so that its memory may be mapped for reading only.
type BroadcastReader struct {
	broadcast
	pos    uint64 // of the next record
	missed uint64 // records before it, since the last one that was returned
	copied []uint64
	rec    []byte // the same
}

// AttachBroadcastReader returns a reader of the ring in mem, which begins with the oldest record that is still there. Whether the writer
// lives does not matter.
func AttachBroadcastReader(mem []byte) (*BroadcastReader, error) {
	b, err := openBroadcast(mem)
	if err != nil {
		return nil, fmt.Errorf("attach broadcast reader: %w", err)
	}
	r := &BroadcastReader{broadcast: b, copied: make([]uint64, b.stride-tagWords)}
	r.rec = layout.SliceBytes(r.copied)[:b.size]
	tail := b.control.tail.Load() // pairs with the store in Write
	r.pos = tail - b.slots()
	for r.pos != tail && r.slot(r.pos)[0].Load() != tagOf(r.pos)|isWhole {
		r.pos++ // was never written, or is being overwritten
	}
	return r, nil
}

// Next returns the next record, which is valid until the next call, and how many records were overwritten before this reader has got at
// them, since the last one that it has got: then it has gone on with the oldest that was whole. ok is false if there is no record yet.
// Next never waits. A record is whole, or it is not returned.
func (r *BroadcastReader) Next() (rec []byte, missed uint64, ok bool) {
	if r.read() {
		return r.found()
	}
	// A writer may overwrite the oldest record faster than it can be read: each turn goes on with a younger one, up to the youngest.
	for spare := uint64(0); spare <= 2*r.slots(); spare = 2*spare + 1 {
		tail := r.control.tail.Load() // pairs with the store in Write
		if r.read() {                 // tail does not tell of the time of an earlier look: it may have been written since
			return r.found()
		}
		behind := tail - r.pos
		if behind == 0 || behind > 1<<63 {
			return nil, 0, false
		}
		lost := uint64(1) // it was written, and is not there any more
		// The youngest is never passed over: if its writer ends there is no other to say what was missed.
		if held := r.slots() - min(spare, r.slots()-1); behind > held {
			lost = behind - held
		}
		r.pos += lost
		r.missed += lost
	}
	return nil, 0, false
}

// found returns the record that was just copied.
func (r *BroadcastReader) found() (rec []byte, missed uint64, ok bool) {
	r.pos++
	missed, r.missed = r.missed, 0
	return r.rec, missed, true
}

// read copies the record at pos. It reports false if that is not there, or was not the whole time.
func (r *BroadcastReader) read() bool {
	slot, whole := r.slot(r.pos), tagOf(r.pos)|isWhole
	if slot[0].Load() != whole { // pairs with the stores in Write
		return false
	}
	for i := range r.copied {
		r.copied[i] = slot[tagWords+i].Load()
	}
	return slot[0].Load() == whole
}

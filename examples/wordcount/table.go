package main

import (
	"encoding/binary"
	"hash/maphash"
)

// A table counts words. It holds no pointers to them, so that the garbage collector does
// not look into it, and allocates nothing for a word that it knows: a map[string]int
// would, for each word that is added to it.
type table struct {
	seed  maphash.Seed
	slots []slot // open addressing with linear probing; a power of two
	words int    // distinct ones
	text  []byte // the distinct words, each after its length as a varint
}

// A slot is a distinct word. Its place is where the low bits of the word's hash say, or
// the next free one after it.
type slot struct {
	ref   uint64 // the high bits of the hash, and 1 + where in text the word is; 0: free
	count uint64
}

// offsetBits are those of slot.ref that hold an offset: 1 TiB of distinct words.
const (
	offsetBits = 40
	offsetMask = 1<<offsetBits - 1
)

// newTable makes a table that has that many slots, a power of two, to begin with.
func newTable(slots int) *table {
	return &table{seed: maphash.MakeSeed(), slots: make([]slot, slots)}
}

// clear makes t empty. It keeps the memory.
func (t *table) clear() {
	clear(t.slots)
	t.words, t.text = 0, t.text[:0]
}

// add counts word n times.
func (t *table) add(word []byte, n uint64) {
	hash := maphash.Bytes(t.seed, word)
	mask := uint64(len(t.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		s := &t.slots[i]
		switch {
		case s.ref == 0:
			s.ref, s.count = t.insert(word)|hash&^offsetMask, n
			if t.words > len(t.slots)/8*5 {
				t.grow()
			}
			return
		case s.ref&^offsetMask == hash&^offsetMask && string(t.word(s.ref)) == string(word):
			s.count += n
			return
		}
	}
}

// insert appends the word to the text and returns the reference to it, without a hash.
func (t *table) insert(word []byte) uint64 {
	t.words++
	ref := uint64(len(t.text)) + 1
	t.text = appendWord(t.text, word)
	return ref
}

// word returns the word that ref refers to.
func (t *table) word(ref uint64) []byte {
	word, _ := cutWord(t.text[ref&offsetMask-1:])
	return word
}

func appendWord(text, word []byte) []byte {
	return append(binary.AppendUvarint(text, uint64(len(word))), word...)
}

// cutWord takes the first word off a text. Almost all are shorter than 128 bytes.
func cutWord(text []byte) (word, rest []byte) {
	n, size := uint64(text[0]), 1
	if n >= 0x80 {
		n, size = binary.Uvarint(text)
	}
	text = text[size:]
	return text[:n:n], text[n:]
}

// grow makes four times as many slots: twice as many would mean that more words are
// moved than added, each at the cost of a few cache misses.
func (t *table) grow() {
	old := t.slots
	t.slots = make([]slot, 4*len(old))
	mask := uint64(len(t.slots) - 1)
	for _, s := range old {
		if s.ref == 0 {
			continue
		}
		i := maphash.Bytes(t.seed, t.word(s.ref)) & mask
		for t.slots[i].ref != 0 {
			i = (i + 1) & mask
		}
		t.slots[i] = s
	}
}

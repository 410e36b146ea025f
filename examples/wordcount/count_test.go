package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/shmkit/shmkit/shm"
)

// fields is the definition of a word, written differently.
func fields(data []byte) map[string]uint64 {
	words := map[string]uint64{}
	isSpace := func(r rune) bool { return strings.ContainsRune(" \t\n\v\f\r", r) }
	for _, w := range bytes.FieldsFunc(data, isSpace) {
		words[string(w)]++
	}
	return words
}

// content returns what is in the table, as it arrives in the parent.
func content(tables ...*table) map[string]uint64 {
	sum := total{table: newTable(1 << 8)}
	for _, t := range tables {
		var c counts
		t.pack(&c)
		sum.add(task{}, c)
	}
	words := map[string]uint64{}
	for _, s := range sum.table.slots {
		if s.ref != 0 {
			words[string(sum.table.word(s.ref))] = s.count
		}
	}
	return words
}

// genData makes few different words, spaces of every kind, and bytes that only look like spaces.
var genData = rapid.Custom(func(t *rapid.T) []byte {
	return rapid.SliceOf(rapid.OneOf(
		rapid.SampledFrom([]byte(" \t\n\v\f\r")),
		rapid.SampledFrom([]byte("ab\x00\x1b\x1c\x1d\x1e\x1f\x7f\x85\xa0\xc2\xff")),
		rapid.Byte(),
	)).Draw(t, "data")
})

// However a file is cut, each word is counted once.
func TestCountWordsInPieces(t *testing.T) {
	tables := []*table{newTable(1 << 8), newTable(1 << 8)}
	rapid.Check(t, func(t *rapid.T) {
		data := genData.Draw(t, "data")
		cuts := rapid.SliceOf(rapid.IntRange(0, len(data))).Draw(t, "cuts")
		cuts = append(cuts, 0, len(data))
		slices.Sort(cuts)
		for _, table := range tables {
			table.clear()
		}
		for i := range len(cuts) - 1 {
			countWords(tables[i%len(tables)], data, cuts[i], cuts[i+1])
		}
		assert.Equal(t, fields(data), content(tables...))
	})
}

func FuzzCountWords(f *testing.F) {
	f.Add([]byte("the quick\tbrown fox "), 5)
	f.Add([]byte("\x1c\x85 \xa0"), 2)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		cut = min(max(cut, 0), len(data))
		table := newTable(1 << 8)
		countWords(table, data, 0, cut)
		countWords(table, data, cut, len(data))
		assert.Equal(t, fields(data), content(table))
	})
}

// What was cut off after the file was mapped is an error that names the file; the process
// lives, and so does the next count.
func TestCutShortWhileMapped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "short")
	require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte("word "), 1<<16), 0o600))
	f, err := shm.OpenFile(path)
	require.NoError(t, err)
	defer f.Close()
	p := piece{Path: path, To: f.Size(), Size: f.Size()}
	require.NoError(t, os.Truncate(path, 5))

	table := newTable(1 << 8)
	err = countMapped(table, p, f.Bytes())
	require.ErrorContains(t, err, path+" was cut short")
	table.clear()
	require.NoError(t, countPiece(table, piece{Path: path, To: 5, Size: 5}))
	assert.Equal(t, map[string]uint64{"word": 1}, content(table))
}

// Only faults are errors: a bug remains a panic.
func TestOtherPanicsGoOn(t *testing.T) {
	assert.PanicsWithValue(t, "bug", func() {
		var err error
		defer faultTo(&err, "file")
		panic("bug")
	})
	assert.Panics(t, func() {
		countMapped(newTable(1<<8), piece{To: 2}, []byte("a")) // beyond the data
	})
}

// A file that grows is counted as far as it was found.
func TestGrownFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "grown")
	require.NoError(t, os.WriteFile(path, []byte("one twothree"), 0o600))
	table := newTable(1 << 8)
	require.NoError(t, countPiece(table, piece{Path: path, To: 7, Size: 7}))
	assert.Equal(t, map[string]uint64{"one": 1, "two": 1}, content(table))
}

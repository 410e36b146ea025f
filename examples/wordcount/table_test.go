package main

import (
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"
)

func TestTableIsAMap(t *testing.T) {
	table := newTable(1 << 8)
	rapid.Check(t, func(t *rapid.T) {
		table.clear()
		want := map[string]uint64{}
		for range rapid.IntRange(0, 50).Draw(t, "adds") {
			w := rapid.StringN(1, 3, -1).Draw(t, "word")
			n := rapid.Uint64Range(1, 1<<40).Draw(t, "n")
			table.add([]byte(w), n)
			want[w] += n
		}
		got := map[string]uint64{}
		for _, s := range table.slots {
			if s.ref != 0 {
				got[string(table.word(s.ref))] = s.count
			}
		}
		assert.Equal(t, want, got)
		assert.Equal(t, len(want), table.words)
	})
}

// Words of every length class of a varint survive, also when the table grows.
func TestTableGrows(t *testing.T) {
	table, want := newTable(1<<8), map[string]uint64{}
	add := func(w string) {
		table.add([]byte(w), 1)
		want[w]++
	}
	for _, n := range []int{1, 127, 128, 129, 16383, 16384, 1 << 21} {
		add(strings.Repeat("x", n))
	}
	for i := range 20_000 {
		add(fmt.Sprint(i % 15_000))
	}
	assert.Greater(t, len(table.slots), 15_000)
	assert.Equal(t, want, content(table))
}

// Two words whose hashes are the same as far as the table looks at them remain two.
func TestTableTellsCollisionsApart(t *testing.T) {
	table, seen := newTable(16), map[uint64]string{}
	for i := 0; ; i++ {
		w := fmt.Sprint(i)
		hash := maphash.String(table.seed, w)
		key := hash&^offsetMask | hash&15
		if other, ok := seen[key]; ok {
			table.add([]byte(w), 1)
			table.add([]byte(other), 2)
			assert.Equal(t, map[string]uint64{w: 1, other: 2}, content(table))
			return
		}
		seen[key] = w
	}
}

// Known words cost no memory.
func TestTableAllocatesNothing(t *testing.T) {
	table, data := newTable(1<<8), []byte("a b c a b c")
	countWords(table, data, 0, len(data))
	assert.Zero(t, testing.AllocsPerRun(100, func() { countWords(table, data, 0, len(data)) }))
}

func TestTop(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.MapOfN(rapid.StringN(1, 2, -1), rapid.Uint64Range(1, 4), 0, 40).Draw(t, "words")
		n := rapid.IntRange(0, 50).Draw(t, "n")
		table := newTable(16)
		for _, w := range slices.Sorted(maps.Keys(words)) {
			table.add([]byte(w), words[w])
		}
		want := slices.SortedFunc(maps.Keys(words), func(a, b string) int {
			if words[a] != words[b] {
				return int(words[b]) - int(words[a])
			}
			return strings.Compare(a, b)
		})
		var got []string
		for _, f := range table.top(n) {
			got = append(got, string(f.word))
			assert.Equal(t, words[string(f.word)], f.count)
		}
		assert.Equal(t, append([]string(nil), want[:min(n, len(want))]...), got)
	})
}

func TestPrintable(t *testing.T) {
	for word, want := range map[string]string{
		"word": "word", `"quoted\"`: `"quoted\"`, "größe": "größe",
		"\x1b[2J": `"\x1b[2J"`, "\xff": `"\xff"`, "a\u00a0b": `"a\u00a0b"`,
	} {
		assert.Equal(t, want, printable([]byte(word)))
	}
}

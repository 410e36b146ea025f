package main

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// report prints the most frequent words and the totals.
func (t *total) report(out io.Writer, top int) error {
	w := bufio.NewWriter(out)
	for _, f := range t.table.top(top) {
		fmt.Fprintf(w, "%10d  %s\n", f.count, printable(f.word))
	}
	seconds := t.took.Seconds()
	fmt.Fprintf(w, "total: %d words, %d files, %d bytes, %.2f s, %.1f MB/s, %d workers\n",
		t.words, t.files, t.bytes, seconds, float64(t.bytes)/1e6/seconds, t.workers)
	return w.Flush()
}

// printable returns the word as it is, or quoted if it could confuse a terminal.
func printable(word []byte) string {
	s := string(word)
	hidden := func(r rune) bool { return !unicode.IsPrint(r) }
	if !utf8.ValidString(s) || strings.ContainsFunc(s, hidden) {
		return strconv.Quote(s)
	}
	return s
}

// A frequency is a word and how often it occurs.
type frequency struct {
	word  []byte
	count uint64
}

// byRank orders frequent words before rare ones, and equally frequent ones by their bytes.
func byRank(a, b frequency) int {
	return cmp.Or(cmp.Compare(b.count, a.count), bytes.Compare(a.word, b.word))
}

// top returns the n words of the highest rank. It keeps up to 2n candidates: sorting all
// words would take longer than counting them.
func (t *table) top(n int) []frequency {
	if n == 0 {
		return nil
	}
	var best []frequency
	atLeast := uint64(0) // less is of no use
	for _, s := range t.slots {
		if s.ref == 0 || s.count < atLeast {
			continue // without a look at the word, which is not in the cache
		}
		best = append(best, frequency{t.word(s.ref), s.count})
		if len(best) == 2*n {
			slices.SortFunc(best, byRank)
			best = best[:n]
			atLeast = best[n-1].count
		}
	}
	slices.SortFunc(best, byRank)
	return best[:min(n, len(best))]
}

package main

import (
	"bytes"
	"io"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNumbers(t *testing.T) {
	for n, want := range map[int64]string{-1: "?", 0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 1 << 20: "1 MiB", 1<<20 - 1: "1 MiB",
		123 << 20: "123 MiB", math.MaxInt64: "8 EiB"} {
		assert.Equal(t, want, bytesOf(n))
	}
	for n, want := range map[uint64]string{0: "0", 99_999: "99999", 100_000: "100k", 999_499: "999k", 999_600: "1M", 12_345_678: "12.3M", math.MaxUint64: "18.4E"} {
		assert.Equal(t, want, countOf(n))
	}
	for d, want := range map[time.Duration]string{-1: "?", 0: "0", 1: "1ns", 999: "999ns", 1500: "1.5µs", 12_345_678: "12.3ms", 999_999_999: "1s", 999_900: "1ms",
		time.Second: "1s", 61 * time.Second: "1m01s", 3*time.Hour + 5*time.Minute: "3h05m", 49 * time.Hour: "2d01h", math.MaxInt64: "106751d23h"} {
		assert.Equal(t, want, timeOf(d))
	}
	assert.Equal(t, []string{"?", "0", "1.5", "12", "1M"}, []string{rateOf(-1), rateOf(0), rateOf(1.5), rateOf(12.3), rateOf(1e6)})
	assert.Equal(t, "1 block, 2 blocks", plural(1, "block")+", "+plural(2, "block"))
	assert.Equal(t, "1 crashed, 2 timed out", listOf(map[string]uint64{"timed_out": 2, "crashed": 1, "retired": 0}))
	assert.Equal(t, "-", listOf(map[string]int{}))
}

// An odd answer has all that may go wrong on the way to YAML.
type odd struct {
	Text   string         `json:"text"`
	Number uint64         `json:"number"`
	List   []int          `json:"list"`
	None   []int          `json:"none"`
	Map    map[string]int `json:"map"`
}

func (odd) tables(wide bool) []table {
	one := table{title: "ONE", header: []string{"A", "B"}}
	one.add("long cell", "x")
	one.addMarked(bad, "y", "")
	return []table{one, {header: []string{"EMPTY"}}}
}

func TestOutput(t *testing.T) {
	for format, want := range map[string]string{
		"yaml":  "---\ntext: \"true\"\nnumber: 18446744073709551615\nlist:\n    - 1\nnone: []\nmap:\n    a: 1\n",
		"json":  "{\n  \"text\": \"true\",\n  \"number\": 18446744073709551615,\n  \"list\": [\n    1\n  ],\n  \"none\": [],\n  \"map\": {\n    \"a\": 1\n  }\n}\n",
		"table": "ONE\nA          B\nlong cell  x\ny\n\n",
	} {
		var out bytes.Buffer
		sh := &shell{out: &out, notes: io.Discard, format: format}
		require.NoError(t, sh.show(odd{"true", math.MaxUint64, []int{1}, []int{}, map[string]int{"a": 1}}))
		assert.Equal(t, want, out.String())
	}
	var out bytes.Buffer
	sh := &shell{out: &out, notes: io.Discard, format: "table", noHeaders: true}
	require.NoError(t, sh.show(odd{}))
	assert.Equal(t, "long cell  x\ny\n", out.String())
}

//go:build linux && (amd64 || arm64)

package main

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/pool"
)

// profile0 looks into a profile: profile FILE LABEL LABEL FUNCTION. Each sample has both labels, and one is in a function whose name has that in it.
func profile0(ts *testscript.TestScript, _ bool, args []string) {
	f, err := os.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	defer f.Close()
	p, err := profile.Parse(f)
	ts.Check(err)
	found := false
	for _, s := range p.Sample {
		for _, label := range args[1:3] {
			if len(s.Label[label]) != 1 {
				ts.Fatalf("a sample has the labels %v", s.Label)
			}
		}
		for _, l := range s.Location {
			for _, line := range l.Line {
				found = found || strings.Contains(line.Function.Filename, args[3])
			}
		}
	}
	if !found {
		ts.Fatalf("none of %d samples is in %s", len(p.Sample), args[3])
	}
}

// What is no profile, or a forged one, is its worker's error, and the others' are merged.
func TestForgedProfiles(t *testing.T) {
	good := &profile.Profile{SampleType: []*profile.ValueType{{Type: "cpu", Unit: "nanoseconds"}}, PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}, Period: 1}
	var text bytes.Buffer
	require.NoError(t, good.Write(&text))
	all := []*utterance{{worker: &pool.WorkerSnapshot{Place: 0}, err: errors.New("gone")}, {worker: &pool.WorkerSnapshot{Place: 1}, text: text.Bytes()}}
	for i := range 200 {
		forged := bytes.Clone(text.Bytes())
		forged[i%len(forged)] ^= byte(1 + i)
		all = append(all, &utterance{worker: &pool.WorkerSnapshot{Place: 2 + i}, text: forged[:len(forged)-i%3]})
	}
	all = append(all, &utterance{worker: &pool.WorkerSnapshot{}, text: nil}, &utterance{worker: &pool.WorkerSnapshot{}, text: []byte{0x0a, 0xff}})
	merged, n, err := merge(all)
	require.NoError(t, err)
	require.NotNil(t, merged)
	require.Positive(t, n)
	require.Error(t, all[len(all)-1].err)
	merged, n, err = merge(all[:1])
	require.NoError(t, err)
	require.Zero(t, n)
	require.Nil(t, merged)
}

// What a worker says of itself may not do anything to a terminal.
func TestForgedStacks(t *testing.T) {
	require.Equal(t, "a?[1m\n\t\tb?c\n", printableLines("a\x1b[1m\n\t\tb\tc"))
	r := stacks{Workers: []workerStack{{Stacks: "\x1b[2J\n\r", doing: "\x07"}}}
	require.NotRegexp(t, "[\x07\x1b\r]", r.text(true))
}

package owner

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const statLine = "4711 (%s) %c 1 4711 4711 0 -1 4194560 99 0 0 0 1 2 0 0 20 0 %d 0 %d 12345 67 18446744073709551615 1 1\n"

func TestParseStatWithAnyName(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := string(rapid.SliceOfN(rapid.SampledFrom([]byte("a ()\n)Z 1\t\xff")), 0, 15).Draw(t, "name"))
		want := stat{
			state:   rapid.SampledFrom([]byte("RSDTtZX")).Draw(t, "state"),
			threads: rapid.Uint64Range(0, 1<<22).Draw(t, "threads"),
			start:   rapid.Uint64().Draw(t, "start"),
		}
		got, err := parseStat(fmt.Appendf(nil, statLine, name, want.state, want.threads, want.start))
		require.NoError(t, err)
		assert.Equal(t, want, got)
	})
}

func TestParseStatRefuses(t *testing.T) {
	for _, line := range []string{
		"", ")", "1 (a", "1 (a) R", "1 (a) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18",
		"1 (a) RR 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19",
		"1 (a) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 x",
		"1 (a) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 -17 18 19",
	} {
		_, err := parseStat([]byte(line))
		assert.ErrorIs(t, err, errStat, "%q", line)
	}
}

func TestEnded(t *testing.T) {
	for state, want := range map[stat]bool{
		{state: 'R', threads: 1}: false,
		{state: 'D', threads: 1}: false,
		{state: 'Z', threads: 1}: true,
		{state: 'X', threads: 0}: true,
		{state: 'Z', threads: 2}: false, // the first thread has ended, another runs
	} {
		assert.Equal(t, want, state.ended(), "%c with %d threads", state.state, state.threads)
	}
}

func TestIDRoundTrip(t *testing.T) {
	id := newID(1<<pidBits-1, 1<<42-1)
	assert.Equal(t, ^ID(0), id)
	assert.Equal(t, 1<<pidBits-1, id.Pid())
	assert.Equal(t, "4711@42", newID(4711, 42).String())
}

// FuzzParseStat: any bytes are refused or are a line with a state, and its number of threads and time of start in their places.
func FuzzParseStat(f *testing.F) {
	f.Add(fmt.Appendf(nil, statLine, "a) b", 'S', 3, 99))
	f.Add([]byte("1 (a) R"))
	f.Add([]byte(")"))
	f.Fuzz(func(t *testing.T, line []byte) {
		s, err := parseStat(line)
		if err != nil {
			require.ErrorIs(t, err, errStat)
			require.Zero(t, s)
			return
		}
		again, err := parseStat(fmt.Appendf(nil, statLine, "x", s.state, s.threads, s.start))
		require.NoError(t, err)
		require.Equal(t, s, again)
	})
}

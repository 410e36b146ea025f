package process

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzSettings: whatever stands in a child's variable, it is refused, or the settings are such as a parent can have written: written
// again and read again they are the same.
func FuzzSettings(f *testing.F) {
	s := settings{entry: "a/b", name: "n\x00\xff", files: 3, limits: []Limit{{Resource: 7, Cur: 1, Max: 1 << 63}}, nice: -5, cpus: []int{0, 3}, strays: []int{9}}
	f.Add(s.encode())
	f.Add("entry \"a\"\nfiles 1")
	f.Add("limit 1 0x2 0b1\nnice +7")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSettings(text)
		if err != nil {
			require.ErrorContains(t, err, "read setting")
			return
		}
		require.True(t, s.files >= 0 && s.files < 1<<16)
		require.LessOrEqual(t, len(s.limits)+len(s.cpus)+len(s.strays), 1+strings.Count(text, "\n"))
		again, err := parseSettings(s.encode())
		require.NoError(t, err)
		require.Equal(t, s, again)
	})
}

// FuzzCutOwner: a variable is this process's exactly if its first line is what the parent writes there.
func FuzzCutOwner(f *testing.F) {
	f.Add("12", owned("12", "entry \"a\""))
	f.Add("12", "12")
	f.Add("pipe 3", "")
	f.Fuzz(func(t *testing.T, who string, text string) {
		is := func(other string) bool { return other == who }
		rest, ok := cutOwner(text, is)
		if ok && strings.Contains(text, "\n") {
			require.Equal(t, text, owned(who, rest))
		}
		if strings.Contains(who, "\n") {
			return // which no owner is written with
		}
		rest, ok = cutOwner(owned(who, text), is)
		require.True(t, ok)
		require.Equal(t, text, rest)
	})
}

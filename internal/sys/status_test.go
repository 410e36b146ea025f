package sys

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseStatus(t *testing.T) {
	for text, want := range map[string]ProcessStatus{
		"": {},
		"Name:\tT: x\nState:\tS (sleeping)\nTracerPid:\t0\nRssAnon:\t    1234 kB\nVmSwap:\t       7 kB\nThreads:\t5\n": {Anonymous: 1234 << 10, Swapped: 7 << 10},
		"State:\tT (stopped)\nTracerPid:\t0\n":                    {Stopped: true},
		"State:\tT (stopped)\nTracerPid:\t17\nRssAnon:\t 1 kB\n":  {Anonymous: 1 << 10},
		"State:\tt (tracing stop)\nTracerPid:\t17\nVmSwap:\t0 kB": {},
	} {
		got, err := parseStatus([]byte(text))
		require.NoError(t, err)
		assert.Equal(t, want, got, "%q", text)
	}
	_, err := parseStatus([]byte("RssAnon:\tmuch kB\n"))
	assert.ErrorContains(t, err, `read "RssAnon:\tmuch kB"`)
}

// FuzzParseStatus: any text is a status or an error, and only a process whose state says so is stopped.
func FuzzParseStatus(f *testing.F) {
	f.Add([]byte("State:\tT (stopped)\nTracerPid:\t0\nRssAnon:\t 12 kB\nVmSwap:\t 7 kB\n"))
	f.Add([]byte("RssAnon:\tmuch kB\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		st, err := parseStatus(text)
		if err != nil {
			require.Zero(t, st)
		} else if st.Stopped {
			require.Contains(t, string(text), "State:")
		}
	})
}

package telemetry

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/internal/layout"
)

func TestDeathLayout(t *testing.T) {
	offsets := map[string]uintptr{}
	for f := range reflect.TypeFor[death]().Fields() {
		offsets[f.Name] = f.Offset
	}
	require.EqualValues(t, 64, offsets["text"])
	require.EqualValues(t, 256, offsets["events"])
	require.EqualValues(t, 12288, deathsBytes)
}

// The last deaths are kept, and those that are just written are left out.
func TestDeathLog(t *testing.T) {
	shown, l := new(Obituaries), DeathLog{}
	l.ShowIn(shown)
	for n := range uint64(maxDeaths + 5) {
		require.Len(t, shown.List(shown), int(min(n, maxDeaths)))
		l.Add(Death{At: int64(n), Place: int(n), Why: TooLarge, Text: fmt.Sprint("death ", n), Task: n, Func: 3, Last: []Event{{At: int64(n)}}})
	}
	check := func(in *Obituaries) {
		list := in.List(in)
		require.Len(t, list, maxDeaths)
		for i, d := range list {
			n := uint64(i + 5)
			require.Equal(t, Death{Number: n + 1, At: int64(n), Place: int(n), Why: TooLarge, Text: fmt.Sprint("death ", n), Task: n, Func: 3, Last: []Event{{At: int64(n)}}}, d)
		}
	}
	check(shown)
	elsewhere := new(Obituaries)
	l.ShowIn(elsewhere)
	check(elsewhere)

	elsewhere.list[3].text[7]++
	require.Len(t, shown.List(elsewhere), maxDeaths-1)
	elsewhere.list[4].number.Store(0)
	require.Len(t, elsewhere.List(elsewhere), maxDeaths-1)
	for i := range layout.Bytes(elsewhere) {
		layout.Bytes(elsewhere)[i] = 255
	}
	for _, d := range elsewhere.List(elsewhere) {
		require.LessOrEqual(t, len(d.Text), deathText)
		require.LessOrEqual(t, len(d.Last), lastEvents)
	}
}

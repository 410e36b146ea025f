package process

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestSettingsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Custom(func(t *rapid.T) Limit {
			return Limit{rapid.Int().Draw(t, "resource"), rapid.Uint64().Draw(t, "cur"), rapid.Uint64().Draw(t, "max")}
		})
		want := settings{
			entry:  rapid.String().Draw(t, "entry"),
			name:   string(rapid.SliceOf(rapid.Byte()).Draw(t, "name")), // any bytes, not only text
			files:  rapid.IntRange(0, 1<<16-1).Draw(t, "files"),
			limits: rapid.SliceOfN(limit, 0, 3).Draw(t, "limits"),
			nice:   rapid.Int().Draw(t, "nice"),
			cpus:   rapid.SliceOfN(rapid.Int(), 0, 3).Draw(t, "CPUs"),
			strays: rapid.SliceOfN(rapid.Int(), 0, 3).Draw(t, "strays"),
		}
		got, err := parseSettings(want.encode())
		require.NoError(t, err)
		if len(want.limits) == 0 {
			want.limits = nil
		}
		if len(want.cpus) == 0 {
			want.cpus = nil
		}
		if len(want.strays) == 0 {
			want.strays = nil
		}
		assert.Equal(t, &want, got)
		assert.NotContains(t, want.encode(), "\x00", "an environment variable cannot hold it")
	})
}

func TestSettingsRefuse(t *testing.T) {
	for _, text := range []string{
		"", "\n", "entry", "entry a", `entry "a`, "files -1", "files 65536", "limit 1 2", "limit 1 -2 3", "nice x", "cpu", "stray", "stray x", "colour red",
		"entry \"a\"\n",
	} {
		_, err := parseSettings(text)
		assert.ErrorContains(t, err, "read setting", "%q", text)
	}
}

func TestEnvironmentKeepsTheLastOfEachKey(t *testing.T) {
	parent := []string{"A=1", "B=2", stageVar + "=x", entryVar + "=y", "A=3", "=C:=odd"}
	assert.Equal(t, []string{"B=2", "A=3", "=C:=odd"}, environment(parent, nil))
	assert.Equal(t, []string{"B=2", "=C:=odd", "D=", "A=5"}, environment(parent, []string{"A=4", "D=", "A=5"}))
}

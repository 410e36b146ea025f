package bench

import (
	"os"
	"testing"

	"github.com/panjf2000/ants/v2"

	"github.com/shmkit/shmkit/internal/leak"
	"github.com/shmkit/shmkit/pool"
)

func TestMain(m *testing.M) {
	pool.Main()
	if name, ok := os.LookupEnv(sideEnv); ok {
		runSide(name)
		return
	}
	ants.Release() // a pool that importing it starts, and that nobody here uses
	leak.Main(m, "github.com/shmkit/shmkit/process.spawnLoop")
}

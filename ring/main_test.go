package ring

import (
	"os"
	"testing"

	"github.com/shmkit/shmkit/internal/history"
	"github.com/shmkit/shmkit/internal/leak"
)

// childEnv names the function that a re-executed test binary runs instead of tests.
const childEnv = "SHMKIT_RING_TEST_CHILD"

func TestMain(m *testing.M) {
	history.Main(parts)
	if name := os.Getenv(childEnv); name != "" {
		runChild(name)
		os.Exit(0)
	}
	runPipeChild()
	runBroadcastChild()
	queueChild()
	leak.Main(m)
}

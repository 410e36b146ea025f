package owner

import (
	"io"
	"os"
	"testing"

	"github.com/shmkit/shmkit/internal/leak"
)

// waiterEnv makes the test binary a process that ends when its standard input does.
const waiterEnv = "OWNER_TEST_WAITER"

func TestMain(m *testing.M) {
	if os.Getenv(waiterEnv) != "" {
		_, _ = io.Copy(io.Discard, os.Stdin)
		return
	}
	leak.Main(m)
}

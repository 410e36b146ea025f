package inspect

import (
	"testing"

	"github.com/shmkit/shmkit/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

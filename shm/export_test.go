package shm

// The limits of what closed mappings keep, and how many keep their addresses now.
const (
	MaxRetired      = maxRetired
	MaxRetiredBytes = maxRetiredBytes
)

func Retired() int {
	retired.Lock()
	defer retired.Unlock()
	return len(retired.mappings)
}

// SetMemoryFree makes Reserve believe that only n bytes are left, until restore.
func SetMemoryFree(n int64) (restore func()) {
	was := memoryFree
	memoryFree = func(int64) int64 { return n }
	return func() { memoryFree = was }
}

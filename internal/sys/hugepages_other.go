//go:build !linux || !(amd64 || arm64)

package sys

import "os"

// HugePageSize fails on this system.
func HugePageSize() (int64, error) { return 0, unsupported("find huge pages") }

// HugePagesFree returns 0 on this system.
func HugePagesFree(int64) int64 { return 0 }

// CheckShmemHuge fails on this system.
func CheckShmemHuge() error { return unsupported("advise huge pages") }

// MemfdHuge fails on this system.
func MemfdHuge(string, int64) (*os.File, error) { return nil, unsupported("create memory file") }

// PageSize fails on this system.
func PageSize(*os.File) (int64, error) { return 0, unsupported("read page size") }

// MapHuge fails on this system.
func MapHuge(*os.File, int64, bool) ([]byte, error) { return nil, unsupported("map huge pages") }

// AdviseHuge fails on this system.
func AdviseHuge([]byte) error { return unsupported("advise huge pages") }

// Populate fails on this system.
func Populate([]byte) error { return unsupported("populate mapping") }

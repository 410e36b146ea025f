//go:build linux && (amd64 || arm64)

package sys

// Commands of membarrier, of Linux 4.16.
const (
	globalExpedited         = 1 << 1
	registerGlobalExpedited = 1 << 2
)

package sys

//go:noescape
func releaseStore64(p *uint64, v uint64)

//go:build race && linux && (amd64 || arm64)

package explore_test

// detectsRaces says that the race detector is at work: not in what is explored, which it would find nothing in and slow down.
const detectsRaces = true

//go:build !race

package pool

// detectsRaces says that the race detector is at work.
const detectsRaces = false

//go:build linux && amd64 && race

package singlestep

// detectsRaces says whether the race detector is at work, which makes hundreds of instructions of each.
const detectsRaces = true

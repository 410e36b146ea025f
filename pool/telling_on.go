//go:build !shmkit_silent && !explore

package pool

// tells is false in builds with the tag shmkit_silent, which show what telling costs: then no task is timed and no event is kept.
const tells = true

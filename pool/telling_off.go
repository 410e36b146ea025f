//go:build shmkit_silent || explore

package pool

const tells = false

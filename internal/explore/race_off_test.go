//go:build !race && linux && (amd64 || arm64)

package explore_test

const detectsRaces = false

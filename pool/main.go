package pool

import "github.com/shmkit/shmkit/process"

// Main makes this program able to have workers. Call it first thing in main, before
// flags are parsed or files opened; in tests, in TestMain.
//
// In a worker, which is this same program started again, it serves tasks and never
// returns. In any other process it returns at once. It includes process.Main.
func Main() { process.Main() }

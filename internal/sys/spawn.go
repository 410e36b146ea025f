package sys

// A Command is a program to be started by [Spawn].
type Command struct {
	Path  string    // not searched for
	Args  []string  // starting with the program's own name
	Env   []string  // all of the environment
	Dir   string    // "": the caller's
	Files []uintptr // descriptors that become 0, 1, 2, ...; none is close-on-exec there

	Detached bool // it has a session of its own and is not killed with the caller's thread
}

// An Exit says how a process ended.
type Exit struct {
	Code   int // the exit code, or -1 if a signal ended it
	Signal int // the signal, or 0 if it exited
}

// SelfExe names the program that is running, replaced or deleted though its file
// may be.
const SelfExe = "/proc/self/exe"

// Package inspect finds the shared memory of shmkit's programs on this machine, and who has it. There is no registry that could be
// wrong after a crash: it looks at the descriptors of the processes that this one may look at, in /proc.
//
// # Guarantees
//
// It reads, and nothing else: no process is stopped, no memory is mapped, no file is opened but in /proc. What it returns was
// so while it looked, and may be different by now: processes come and go.
//
// # Caveats
//
// It sees the processes of its own user, or of all users if that is root; those in other pid namespaces only if they are below its own. A
// process that has mapped memory and closed the descriptor, which shmkit never does, is seen by [Census.LookAtMappings] alone.
package inspect

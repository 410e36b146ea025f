// Package shm gives a program memory that it shares with other processes, and
// typed views of it.
//
//   - A [Segment] is anonymous shared memory: [New] makes it, it travels to a child as
//     a field of its arguments (package process); with os/exec its descriptor does, and [Attach] maps it
//     there. [NewHuge] and [Segment.AdviseHuge] give it huge pages.
//   - [Create] makes a segment with a name, by which other processes of the same user [Open] it, among them those that are
//     written in C or Python. [List], [Remove] and [RemoveOrphan] clear up what such processes leave.
//   - An [Arena] hands out blocks of such memory to several processes, each of which may die at
//     any instruction.
//   - A [File] is a regular file, mapped read-only: every process that maps it
//     reads the same pages. [File.Ref] names it to another process, which maps it with
//     [OpenRef] whatever its path leads to by then.
//   - [View] and [At] see bytes as values, after a check of bounds, alignment and type.
//
// # Guarantees
//
// A segment from New is a memory file without a name in any file system: when the last process
// that has it is gone, by whatever death, so is the memory. Other users cannot open
// it, programs that a process starts do not inherit it unless it is passed to them,
// it cannot be executed, and it is left out of core dumps. It is sealed: no
// process can change its size, so none can make another's access fault that way.
//
// Memory is backed when it is first touched, or before that by [Segment.Reserve],
// which turns a full machine into an error. A touch for which no memory is left ends
// the process. With [NewHuge] that is a touch when the machine's pool of huge pages is
// empty, which may be soon: reserve first. A segment from Create has all of its memory from the beginning.
//
// A segment with a name is the file /dev/shm/NAME, for its owner alone. It is seen complete or not at all. A process that dies while it
// creates, opens or removes one leaves it as it was before or as it is after. Each process that has one
// keeps a shared flock(2) on the file until it closes the segment or ends, by whatever death. So
// whoever gets an exclusive one, as RemoveOrphan does, knows that no user of this package has the segment.
//
// Segments and files may be used by several goroutines at once, Close included. None
// of the calls waits for another process, but for Open and Remove while another has an exclusive flock on
// the file: List and RemoveOrphan have it for a few system calls.
//
// # Caveats
//
// The bytes are another matter: package shm orders nothing. Whoever shares them says
// in which order they are written and read, by atomics in them or by a message
// beside them. The race detector sees nothing of it.
//
// Close takes the memory away from slices and views that were made of it. Using one
// afterwards faults, which ends the program, like any use of an invalid address. The
// addresses of a closed mapping are not given to another for a long time (until 1024
// more have been closed, or 1 TiB of them), so that a late use
// does not silently see other data.
//
// A segment with a name cannot be sealed. Any program of the same user can shorten the file, and to touch bytes that it no longer has ends
// the process. The package itself never touches them: what
// stands in them is for the programs to say. For memory whose size is certain, pass a segment from New.
//
// What has a name stays when all processes are gone, until it is removed or the machine is restarted. Programs in C and Python keep no
// lock: to RemoveOrphan, a segment that they alone have is an orphan. And Python removes what it has opened
// when it exits, unless it is told not to; the README of this module says how.
//
// A [FileRef] finds its file by process and descriptor, and knows it by device and inode number.
// The file has to stay open until the reference has been used: a closed and deleted file's
// numbers can become those of another.
//
// A segment or file that is never closed stays mapped as long as the process lives:
// nothing is released by the garbage collector, since slices could still be in use.
package shm

// Package leak makes a package's tests fail when they leave something behind:
//
//	func TestMain(m *testing.M) { leak.Main(m) }
//
// After the tests it compares the process with what it was before them, and names
// every difference that does not go away within a few seconds:
//
//   - goroutines;
//   - open file descriptors, each with what it refers to;
//   - child processes, zombies included;
//   - mappings of memory files named "shmkit:..." and of files in /dev/shm;
//   - files left in /dev/shm whose names start with [NamePrefix].
//
// Nothing that the Go runtime opens is excused. It keeps one epoll and one eventfd
// descriptor from the first use of a pipe or socket on, so that first use is
// made before the first look. Pidfds are closed by whoever waited for the process:
// one that stays is a leak.
//
// [Check] does the same, without the goroutines, for one test.
//
// # Caveats
//
// A process that a child started and left behind belongs to init, and is not found.
// On systems other than Linux only goroutines are looked at.
package leak

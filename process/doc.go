// Package process starts child processes that run a function of this program. Go
// cannot fork; instead the same binary is executed again and caught in [Main]:
//
//	var hello = process.NewEntry("hello", func(files []*os.File) {
//		fmt.Fprintln(files[0], "hello from", os.Getpid())
//	})
//
//	func main() {
//		process.Main() // in a child: run its function and never return
//
//		r, w, err := os.Pipe()
//		p, err := hello.Start(process.Options{Files: []*os.File{w}})
//		w.Close()
//		io.Copy(os.Stdout, r)
//		err = p.Wait(ctx)
//	}
//
// # The child
//
// A child has three standard descriptors (standard input is /dev/null), the files
// that it was given and the lifeline; nothing else of what its parent has open, whether
// close-on-exec or not. All but the standard ones are close-on-exec there. Its
// argument list holds only its name. It drops SIGINT, which the terminal sends
// to a whole group, and SIGTERM unless [OnTerminate] says what it means. The memory of the
// machine running out, the kernel takes a child before its parent.
//
// A child begins with a first stage, which runs while packages are initialised. If there are
// limits, a niceness or CPUs to set or inherited descriptors to close it does that, and executes the binary again, so
// that every thread of the child proper starts under them; otherwise it goes on as the child.
//
// # Guarantees
//
//   - No child survives its parent, whichever way that ends, and whatever the child
//     does: the kernel kills it when the parent ends, and it exits by itself when
//     the lifeline, a pipe that only the parent can write to, breaks.
//   - A signal sent through a [Process] reaches that process or none.
//   - Every child is reaped, at once, by one goroutine that is parked in the netpoller
//     and occupies no thread. SIGCHLD is not used.
//   - Start fails, rather than running main a second time, in a program that
//     did not call Main.
//
// # Caveats
//
//   - Packages that are initialised before this one (those that do not import it and
//     come first by their path) are initialised in the first stage, too.
//   - The first Start creates one goroutine, locked to its thread, that stays: the kernel
//     kills a child when the thread that started it ends.
//   - What a child starts by itself may outlive it.
//   - A program must not reap children that it did not start, as wait4(-1) does.
package process

// Package process starts child processes that run a function of this program, with an argument, and with objects that
// parent and child share. Go cannot fork; instead the same binary is executed again and caught in [Main]:
//
//	var count = process.Func("count", func(ctx context.Context, a Args) error {
//		if err := a.Turn.Acquire(ctx, 1); err != nil {
//			return err
//		}
//		defer a.Turn.Release(1)
//		a.Frames.Bytes()[a.At]++
//		return nil
//	})
//
//	func main() {
//		process.Main() // in a child: run its function and never return
//
//		frames, err := shm.New("frames", 64<<20)
//		turn, err := semaphore.New(1)
//		p, err := count.Start(process.Options{}, Args{At: 7, Frames: frames, Turn: turn})
//		err = p.Wait(ctx)
//	}
//
// Arguments are copied, whatever their type, as far as their values mean something in another process; fields of types that are
// [Shared] are not: they are the same object on both sides. An [Entry] is the layer below, for programs that pass files alone.
//
// # The child
//
// A child has three standard descriptors (standard input is /dev/null if none was given), the files
// that it was given, those in which its shared objects lie, the lifeline and a pipe for its last words; nothing else of what
// its parent has open, whether close-on-exec or not. All but the standard ones are close-on-exec there. Its
// argument list holds only its name. It drops SIGINT, which the terminal sends
// to a whole group. SIGTERM ends the context of its function; a child that has none drops it unless [OnTerminate] says what it
// means. The memory of the machine running out, the kernel takes a child before its parent.
//
// A child begins with a first stage, which runs while packages are initialised. If there are
// limits, a niceness or CPUs to set or inherited descriptors to close it does that, and executes the binary again, so
// that every thread of the child proper starts under them; otherwise it goes on as the child.
//
// # Guarantees
//
//   - No child but a detached one survives its parent, whichever way that ends, and whatever the child
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

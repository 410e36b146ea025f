package pool

import (
	"os"
	"os/signal"
	"sync"

	"github.com/shmkit/shmkit/internal/sys"
)

// CloseOnSignal closes p when one of the signals comes, in a goroutine, and terminates it when another comes before it has closed.
// Without signals they are [os.Interrupt] and SIGTERM. Calls that come later get [ErrClosed], and the program ends by
// itself. Once p is closed, or stop was called, signals do again what they did before. The library itself takes no signal.
func CloseOnSignal(p *Pool, signals ...os.Signal) (stop func()) {
	if len(signals) == 0 {
		signals = []os.Signal{os.Interrupt, sys.SIGTERM}
	}
	came := make(chan os.Signal, 2)
	signal.Notify(came, signals...)
	stopped := make(chan struct{})
	go func() {
		defer signal.Stop(came)
		for _, act := range []func(){func() { go p.Close() }, p.Terminate} {
			select {
			case <-came:
				act()
			case <-p.closed:
				return
			case <-stopped:
				return
			}
		}
	}()
	return sync.OnceFunc(func() { close(stopped) })
}

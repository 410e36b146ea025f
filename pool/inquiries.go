package pool

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/internal/telemetry"
)

// A worker answers what somebody from outside wants to know of it while it runs a task, hangs in one, or sleeps: by a goroutine of its own, which waits
// for orders and does not need those that run tasks. No signal is sent: they are the user's, and C libraries'. The answer is a memory file of the worker's own, whose name has the
// question in it, and which was sealed when it was complete: who asks finds it among the worker's descriptors, and nobody has to be told where.
//
//	who asks                                    parent                     worker
//	request (telemetry.Request) ------------->  inquiry := request
//	                                            raise cancelSeq, wake ---> inquiry := 0
//	looks for NAME in /proc/PID/fd <-------------------------------------- file NAME, written and sealed
//
// Killed here, or stopped: there is no answer, and who asks does not wait for ever. A file that nobody fetches is closed after a while.

const (
	answerName  = "shmkit-answer:%016x"
	refusalName = "shmkit-refusal:%016x" // what is in it says why there is no answer

	// answerLife is how long an answer stays.
	answerLife = 10 * time.Second

	// mostAnswers bounds how many stay.
	mostAnswers = 16

	// mostAnswer bounds the text of stacks, and what is read.
	mostAnswer = 64 << 20
)

// answers are the files that somebody may still read.
type answers struct {
	mu   sync.Mutex
	open []*os.File
}

// inquired answers the question that the parent has passed on, if there is one.
func (w *worker) inquired() {
	q := w.area.inquiry.Load() // pairs with the CAS in Pool.inquire
	if q == 0 || !w.area.inquiry.CompareAndSwap(q, 0) {
		return
	}
	go w.answers.reply(telemetry.Request(q))
}

func (a *answers) reply(q telemetry.Request) {
	text, err := respond(q)
	name := answerName
	if err != nil {
		name, text = refusalName, []byte(err.Error())
	}
	f, err := sys.Sealed(fmt.Sprintf(name, uint64(q)), text)
	if err != nil {
		return // without descriptors, or memory: who asks sees that there is no answer
	}
	a.keep(f)
	time.AfterFunc(answerLife, func() { f.Close() }) // once more does no harm
}

// keep closes the oldest if there are too many.
func (a *answers) keep(f *os.File) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open = append(a.open, f)
	if len(a.open) > mostAnswers {
		a.open[0].Close()
		a.open = a.open[1:]
	}
}

func respond(q telemetry.Request) ([]byte, error) {
	switch q.Act() {
	case telemetry.ShowStacks:
		return allStacks(), nil
	case telemetry.RecordProfile:
		return profile(q.Length())
	}
	return nil, fmt.Errorf("nobody can ask a worker for %d", q.Act())
}

// allStacks returns where all goroutines are. Those in C code, or in an endless loop, are no obstacle.
func allStacks() []byte {
	for size := 64 << 10; ; size *= 4 {
		text := make([]byte, min(size, mostAnswer))
		if n := runtime.Stack(text, true); n < len(text) || size >= mostAnswer {
			return text[:n]
		}
	}
}

// profile returns for what this process uses its processors meanwhile.
func profile(length time.Duration) ([]byte, error) {
	var b bytes.Buffer
	if err := pprof.StartCPUProfile(&b); err != nil { // somebody else is at it
		return nil, err
	}
	<-time.After(length)
	pprof.StopCPUProfile()
	return b.Bytes(), nil
}

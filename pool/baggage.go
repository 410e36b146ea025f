package pool

import (
	"fmt"
	"os"

	"github.com/shmkit/shmkit/internal/objects"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/process"
)

// startProcess starts the process and makes the file for its last words.
func (p *Pool) startProcess(index int, incarnation uint32) (*process.Process, *os.File, error) {
	crash, err := sys.Memfd("shmkit-crash", crashBytes)
	if err != nil {
		return nil, nil, err
	}
	baggage, err := p.opts.pack()
	if err != nil {
		crash.Close()
		return nil, nil, err
	}
	proc, err := workerEntry.Start(process.Options{
		Name:   fmt.Sprintf("%s: worker %d", p.opts.Name, index),
		Env:    p.opts.shared(p.workers()).workerEnvironment(index, incarnation),
		Dir:    p.opts.Dir,
		Stderr: p.opts.Stderr,
		Limits: p.opts.Limits,
		Nice:   p.opts.Nice,
		CPUs:   p.opts.cpusOf(index),
		Files:  append([]*os.File{p.home.seg.File(), crash}, baggage.files...),
	})
	baggage.sent()
	if err != nil {
		baggage.ended()
		crash.Close()
		return nil, nil, err
	}
	if baggage.isAwaited() {
		go func() {
			<-proc.Done()
			baggage.ended()
		}()
	}
	return proc, crash, nil
}

// A baggage is what one worker gets because its initialisers refer to it: a letter, and the files of Init's and of OnExit's objects.
type baggage struct {
	files      []*os.File // none if there are no objects
	init, exit *objects.Shipment
}

// ship shares what the argument refers to with one more worker.
func (i Initialiser) ship() (*objects.Shipment, error) {
	if i.objects == nil {
		return &objects.Shipment{}, nil
	}
	return i.objects.Ship()
}

func (o *Options) pack() (b *baggage, err error) {
	b = &baggage{}
	if b.init, err = o.Init.ship(); err != nil {
		return nil, err
	}
	if b.exit, err = o.OnExit.ship(); err != nil {
		b.init.Ended()
		return nil, err
	}
	if len(b.init.Table)+len(b.exit.Table) == 0 {
		return b, nil
	}
	l := objects.Letter{Arg: b.init.Table, Table: b.exit.Table, Files: len(b.init.Files)}
	letter, err := l.Write()
	if err != nil {
		b.ended()
		return nil, err
	}
	b.files = append(append([]*os.File{letter}, b.init.Files...), b.exit.Files...)
	return b, nil
}

// sent closes the letter; the other files are the objects' own.
func (b *baggage) sent() {
	if len(b.files) > 0 {
		b.files[0].Close()
	}
}

// isAwaited reports whether an object wants to know when the worker has ended.
func (b *baggage) isAwaited() bool { return b.init.IsAwaited() || b.exit.IsAwaited() }

// ended is to be called once the worker has ended, or could not be started.
func (b *baggage) ended() {
	b.init.Ended()
	b.exit.Ended()
}

// A delivered baggage is what has become of it in the worker.
type delivered struct{ init, exit *objects.Arrivals }

func unpack(files []*os.File) (d delivered, err error) {
	var l objects.Letter
	if len(files) > 0 {
		if l, err = objects.ReadLetter(files[0]); err != nil {
			return d, err
		}
		files[0].Close()
		files = files[1:]
	}
	if d.init, err = objects.Receive(l.Arg, files[:l.Files]); err != nil {
		return d, err
	}
	d.exit, err = objects.Receive(l.Table, files[l.Files:])
	return d, err
}

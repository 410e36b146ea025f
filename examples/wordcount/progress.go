package main

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// A progress is a bar on a terminal, and nothing anywhere else.
type progress struct {
	bar    *progressbar.ProgressBar // nil without a terminal
	walker *walker                  // knows how much there is to do
}

func newProgress(out io.Writer, w *walker) *progress {
	if f, ok := out.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return &progress{}
	}
	return &progress{walker: w, bar: progressbar.NewOptions64(1,
		progressbar.OptionSetWriter(out),
		progressbar.OptionSetDescription("counting"),
		progressbar.OptionShowBytes(true),           // and bytes per second
		progressbar.OptionSetRenderBlankState(true), // starts its clock
		progressbar.OptionThrottle(50*time.Millisecond),
		progressbar.OptionFullWidth(),
		progressbar.OptionUseANSICodes(true))}
}

// show shows that so many bytes have been counted, of those found so far.
func (p *progress) show(bytes int64) {
	if p.bar == nil {
		return
	}
	of := p.walker.found.Load()
	p.bar.ChangeMax64(of + 1) // never full: a full bar is finished, and more may be found
	p.bar.Set64(bytes)
}

// clear takes the bar away, since what follows may go to the same terminal.
func (p *progress) clear() {
	if p.bar != nil {
		p.bar.Clear()
	}
}

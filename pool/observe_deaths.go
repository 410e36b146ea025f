package pool

import (
	"time"

	"github.com/shmkit/shmkit/internal/telemetry"
)

// deaths reads what the parent says of the last deaths of workers. It looks twice, since the oldest may just be overwritten.
func (l *glance) deaths() error {
	again, err := l.o.common()
	if err != nil {
		return err
	}
	shift := l.c.Board.Wall - l.c.Board.Born
	for _, d := range l.c.Deaths.List(again.Deaths) {
		l.s.Deaths = append(l.s.Deaths, l.o.death(&d, shift))
	}
	return nil
}

func (o *Observer) death(d *telemetry.Death, shift int64) Death {
	out := Death{Place: d.Place, Incarnation: d.Worker, Pid: d.Pid, Reason: d.Why.String(), At: time.Unix(0, d.At), Text: d.Text, Task: d.Task}
	if d.Task != 0 {
		out.Function, out.Began = o.function(d.Func), time.Unix(0, d.Began)
	}
	for i := range d.Last {
		out.Last = append(out.Last, o.event(&d.Last[i], shift))
	}
	return out
}

package pool

import (
	"fmt"
	"io"

	"github.com/shmkit/shmkit/internal/layout"
	"github.com/shmkit/shmkit/internal/owner"
	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/internal/telemetry"
	"github.com/shmkit/shmkit/shm"
)

// Dump writes an image of the memory, which [Observe] can look at later, elsewhere, and when the pool is no more. It has what the pool's
// processes say of themselves and the books of its queue and its memory, but no arguments, results or blocks.
func (o *Observer) Dump(w io.Writer) error {
	c, err := o.common()
	if err != nil {
		return fmt.Errorf("dump pool: %w", err)
	}
	d := dumping{o, newImageWriter(w, o.off.total, imageNote{Taken: o.now(), Living: o.living(&c), Death: o.Death()})}
	for _, part := range o.bookParts() {
		if err := d.part(part); err != nil {
			return fmt.Errorf("dump pool: %w", err)
		}
	}
	if d.err != nil {
		return fmt.Errorf("dump pool: %w", d.err)
	}
	return nil
}

// living lists the processes that a pool names and that live.
func (o *Observer) living(c *telemetry.Common) (all []owner.ID) {
	for i := range c.Desks {
		if id := owner.ID(c.Desks[i].Process.Load()); o.alive(id) {
			all = append(all, id)
		}
	}
	if id := owner.ID(c.Board.Parent); o.alive(id) {
		all = append(all, id)
	}
	return all
}

// alive reports whether a process lives or, in an image, did.
func (o *Observer) alive(id owner.ID) bool {
	if o.image == nil {
		return id.Alive()
	}
	for _, lives := range o.image.note.Living {
		if id == lives {
			return true
		}
	}
	return false
}

// now returns the time, or that at which an image was made.
func (o *Observer) now() int64 {
	if o.image == nil {
		return sys.Nanotime()
	}
	return o.image.note.Taken
}

// bookParts are the parts of the memory that hold no values, in its order, but for the slots, which hold small ones.
func (o *Observer) bookParts() []extent {
	books := o.off.arena + shm.ArenaBooks(o.geo.memory, o.geo.page)
	return []extent{{0, o.off.near}, {o.off.table, o.off.init - o.off.table}, {o.off.stamps, o.off.books - o.off.stamps},
		{o.off.arena, books - o.off.arena}}
}

type dumping struct {
	o *Observer
	*imageWriter
}

// dumpAtOnce is how much of the memory is copied at a time.
const dumpAtOnce = 64 << 10

func (d dumping) part(x extent) error {
	for off, end := x.off, x.off+x.n; off < end && d.err == nil; off += dumpAtOnce {
		n := min(dumpAtOnce, end-off)
		if !d.o.holes(off, n) {
			continue
		}
		mem, err := d.o.read(off, n)
		if err != nil {
			return err
		}
		blank(mem, off, d.o.geo)
		d.extent(off, mem)
	}
	return nil
}

// blank takes the values out of the slots that lie in mem, which begins at off.
func blank(mem []byte, off int64, g geometry) {
	o := g.offsets()
	first, last := max(off, o.slots), min(off+int64(len(mem)), o.slots+int64(g.slots)*slotBytes)
	for at := first - (first-o.slots)%slotBytes; at < last; at += slotBytes {
		from, to := max(at+slotBytes-2*inlineBytes, off), min(at+slotBytes, last)
		if from < to {
			clear(mem[from-off : to-off])
		}
	}
}

// Death says of which worker's death an image was made, by a pool with Options.CrashDir; it is nil for others.
func (o *Observer) Death() *Death {
	if o.image == nil {
		return nil
	}
	return o.image.note.Death
}

// isImage reports whether a file's front is that of an image.
func isImage(front []byte) bool { return *layout.MustAt[uint64](front, 0) == imageMagic }

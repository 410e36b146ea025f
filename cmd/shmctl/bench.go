package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/shmkit/shmkit/internal/sys"
	"github.com/shmkit/shmkit/pool"
)

// A bench measures what the pool of this program does, and what its limits are.
type bench struct {
	pool   *pool.Pool
	rounds int
	length time.Duration // of each measurement
	quiet  time.Duration // before each cold call
	wakes  int           // cold calls in a round
}

// A measurement returns how long one turn takes.
type measurement func(ctx context.Context, b *bench, length time.Duration) (time.Duration, error)

// benchRows are what is measured, each beside its limit.
var benchRows = []struct {
	name, is         string
	limit, limitIs   string
	measure, atLimit measurement
}{
	{"round trip", "a Call, and its result", "line", "a line of memory goes to a process that spins, and back", roundTrip, lineRoundTrip},
	{"stream", fmt.Sprintf("a task of %d outstanding", inFlight), "hand-over", "an item in an array, one way, each made known alone", streaming, handOver},
	{"cold wake", "a Call when all have slept for a while", "futex", "a sleeping process is woken, and wakes this one", coldCall, futexWake},
	{"block", "64 MiB to a worker and back", "memcpy", "a copy of as many bytes, which is not made", blockThereAndBack, copying},
}

type benchReport struct {
	CPU     string        `json:"cpu"`
	CPUs    int           `json:"cpus"`
	System  string        `json:"system"`
	Go      string        `json:"go"`
	Load    string        `json:"load"` // when it began
	Rounds  int           `json:"rounds"`
	Figures []benchFigure `json:"figures"`
}

type benchFigure struct {
	Name  string  `json:"name"`
	Is    string  `json:"is"`
	Time  spread  `json:"ns"`
	Limit string  `json:"limit"`
	AtIs  string  `json:"limit_is"`
	At    spread  `json:"limit_ns"`
	Ratio float64 `json:"ratio"` // the median of those of the rounds
	Least float64 `json:"ratio_least"`
	Most  float64 `json:"ratio_most"`
}

// A spread is what several rounds have found, in nanoseconds.
type spread struct {
	Median float64 `json:"median"`
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`
}

func newBench(sh *shell) *cobra.Command {
	quick := false
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "How fast is it here? One minute, each figure beside its limit",
		Long: `Measure what a pool does on this machine: a round trip, a stream of tasks, a call after a time without any, a large block there and back. Beside each
stands its limit, which is measured in the same minute by turns: what two processes can do with nothing but a loop on each side, or a copy of the same bytes. The
ratio says what shmkit takes above it.

All figures are medians of rounds, with the least and the most. Where those are far apart, others have used the machine: look at the load. With one CPU alone,
processes that spin wait for each other, and the limits mean little.

` + exitHelp,
		Example: `  shmctl bench
  shmctl bench --quick -o json`,
		Args: cobra.NoArgs,
		RunE: runs(func(ctx context.Context, _ []string) error {
			b := &bench{rounds: 5, length: 1300 * time.Millisecond, quiet: 100 * time.Millisecond, wakes: 10}
			if quick {
				b = &bench{rounds: 3, length: 50 * time.Millisecond, quiet: 20 * time.Millisecond, wakes: 3}
			}
			r, err := b.run(ctx)
			if err != nil {
				return err
			}
			if load, err := strconv.ParseFloat(r.Load, 64); err == nil && load > float64(r.CPUs)/2 {
				sh.note("others use this machine: look at the least of each figure, and measure again when it is quiet")
			}
			return sh.show(r)
		}),
	}
	cmd.Flags().BoolVar(&quick, "quick", false, "a few seconds, for a first look")
	return cmd
}

func (b *bench) run(ctx context.Context) (r *benchReport, err error) {
	if b.pool, err = pool.New(pool.Options{Name: "bench", Workers: 1, Memory: 4 * blockBytes}); err != nil {
		return nil, err
	}
	defer b.pool.Terminate()
	r = benchOf(machine{os.DirFS("/")})
	r.Rounds = b.rounds
	times, limits := make([][]float64, len(benchRows)), make([][]float64, len(benchRows))
	for range b.rounds {
		for i, row := range benchRows {
			for _, one := range []struct {
				measure measurement
				to      *[]float64
			}{{row.measure, &times[i]}, {row.atLimit, &limits[i]}} {
				d, err := one.measure(ctx, b, b.length)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", row.name, err)
				}
				*one.to = append(*one.to, float64(max(d, 1)))
			}
		}
	}
	for i, row := range benchRows {
		f := benchFigure{Name: row.name, Is: row.is, Time: spreadOf(times[i]), Limit: row.limit, AtIs: row.limitIs, At: spreadOf(limits[i])}
		var ratios []float64
		for k := range times[i] {
			ratios = append(ratios, times[i][k]/limits[i][k])
		}
		all := spreadOf(ratios)
		f.Ratio, f.Least, f.Most = all.Median, all.Least, all.Most
		r.Figures = append(r.Figures, f)
	}
	return r, nil
}

func benchOf(m machine) *benchReport {
	cpu := "(unknown)"
	for line := range strings.Lines(m.text("proc/cpuinfo")) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
			cpu = strings.TrimSpace(value)
			break
		}
	}
	load, _, _ := strings.Cut(m.text("proc/loadavg"), " ")
	return &benchReport{CPU: cpu, CPUs: sys.CPUs(), System: fmt.Sprintf("Linux %s, %s", m.text("proc/sys/kernel/osrelease"), runtime.GOARCH), Go: runtime.Version(),
		Load: load}
}

func spreadOf(all []float64) spread {
	sorted := slices.Sorted(slices.Values(all))
	return spread{sorted[len(sorted)/2], sorted[0], sorted[len(sorted)-1]}
}

// perTurn calls turn for so long, and returns the time of one.
func perTurn(length time.Duration, turn func() error) (time.Duration, error) {
	begin, n := time.Now(), 0
	for many := 1; ; {
		for range many {
			if err := turn(); err != nil {
				return 0, err
			}
		}
		n += many
		took := time.Since(begin)
		if took >= length {
			return time.Duration(float64(took) / float64(n)), nil
		}
		if took < length/64 { // so that the clock is read seldom
			many = min(2*many, 1<<16)
		}
	}
}

// afterQuiet calls turn a few times, each after nothing has happened for a while, and returns the median of their times: of those that others have
// disturbed there are few.
func (b *bench) afterQuiet(ctx context.Context, turn func() error) (time.Duration, error) {
	var times []time.Duration
	for range b.wakes {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(b.quiet):
		}
		begin := time.Now()
		if err := turn(); err != nil {
			return 0, err
		}
		times = append(times, time.Since(begin))
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}

func (r *benchReport) tables(wide bool) []table {
	head := table{}
	head.add("machine", fmt.Sprintf("%s, %s, %s", r.CPU, plural(r.CPUs, "CPU"), r.System))
	head.add("go", r.Go)
	head.add("load", r.Load+" in the last minute, when it began")
	head.add("rounds", fmt.Sprint(r.Rounds))
	t := table{header: []string{"FIGURE", "TIME", "FROM", "TO", "|  LIMIT", "TIME", "FROM", "TO", "|  RATIO", "FROM", "TO"}}
	what := table{header: []string{"WHERE", "IS"}}
	show := func(ns float64) string { return timeOf(time.Duration(ns)) }
	for _, f := range r.Figures {
		t.add(f.Name, show(f.Time.Median), show(f.Time.Least), show(f.Time.Most), "|  "+f.Limit, show(f.At.Median), show(f.At.Least), show(f.At.Most),
			"|  "+ratioOf(f.Ratio), ratioOf(f.Least), ratioOf(f.Most))
		what.add(f.Name, f.Is)
		what.add(f.Limit, f.AtIs)
	}
	if wide {
		return []table{head, t, what}
	}
	return []table{head, t}
}

func ratioOf(v float64) string {
	if v < 0.01 {
		return fmt.Sprintf("1/%.0f", 1/max(v, 1e-12))
	}
	return threeDigits(v)
}

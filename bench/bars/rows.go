package main

// A row is one bar: how a figure must compare with its reference, which is measured in
// the same process, or in one of a build with another tag, which stands before it. Figures are named like benchmarks, with " unit" behind the name
// where they are not in ns/op.
type row struct {
	figure    string
	reference string
	bar       bar
	benchtime string
}

// A bar says what figure/reference may be at most; or, with share, what
// reference/figure must be at least.
type bar struct {
	factor float64
	share  float64
	above  string  // a figure that comes on top of the reference's multiple
	plus   float64 // ns that do, too
	floor  float64 // ns that are fine whatever the reference is
}

const (
	calls  = "200000x"
	items  = "10000000x"
	quiets = "20x"
	starts = "30x"

	// silent marks a figure of a build in which a pool tells nothing to those who look on.
	silent = "shmkit_silent:"
)

var rows = []row{
	{"Ring/roundtrip", "Limit/line-roundtrip", bar{factor: 1.3}, "1000000x"},
	{"Ring/each", "Limit/line-each", bar{factor: 1.4}, items},
	{"Ring/batch", "Limit/line-batch", bar{factor: 1.5}, items},
	{"Queue/each", "Queue/channel", bar{factor: 0.5}, items},
	{"Queue/batch", "Limit/line-batch", bar{factor: 3}, items},
	{"Pipe/roundtrip", "Limit/line-roundtrip", bar{factor: 1.5, plus: 100}, calls},
	{"Pipe/cold", "Limit/futex-cold", bar{factor: 1.25}, quiets},
	{"Event/roundtrip", "Limit/line-roundtrip", bar{factor: 1.5}, "1000000x"},
	{"Event/cold", "Limit/futex-cold", bar{factor: 1.25}, quiets},
	{"Mutex/free", "Mutex/free/sync", bar{factor: 2}, items},
	{"Mutex/contended", "Mutex/contended/sync", bar{factor: 2}, "5000000x"},
	{"RWMutex/read", "RWMutex/read/sync", bar{factor: 2}, items},
	{"RWMutex/write", "RWMutex/write/sync", bar{factor: 2.5}, items},
	{"Semaphore/free", "Semaphore/channel", bar{factor: 2}, items},
	{"Semaphore/robust", "Semaphore/channel", bar{factor: 2}, items},
	{"Pool/call/W=1", "Pool/call/ants", bar{factor: 0.9}, calls},
	{"Pool/call/W=1", "Limit/line-roundtrip", bar{factor: 2.5}, calls},
	{"Pool/call/W=2", "Pool/call/W=1", bar{factor: 1.5}, calls},
	{"Pool/stream/W=2", "Pool/stream/ants", bar{factor: 0.2}, "1000000x"},
	{"Pool/stream/W=2", "Pool/stream/channels", bar{factor: 0.8}, "1000000x"},
	{"Pool/stream/W=2", silent + "Pool/stream/W=2", bar{factor: 1.05}, "1000000x"},
	{"Pool/map/W=2", "Limit/line-batch", bar{factor: 4, floor: 10}, items},
	{"Pool/struct/plain256", "Pool/call/W=1", bar{factor: 1.5}, calls},
	{"Pool/struct/cbor", "Pool/struct/codec-alone", bar{factor: 1.3, above: "Pool/call/W=1"}, "50000x"},
	{"Pool/cold", "Limit/futex-cold", bar{factor: 1.25}, quiets},
	{"Pool/burn/10us/W=2", "Pool/burn/10us/bare", bar{share: 0.90}, "50000x"},
	{"Pool/burn/10us/W=2", silent + "Pool/burn/10us/W=2", bar{factor: 1.02}, "50000x"},
	{"Pool/burn/100us/W=2", "Pool/burn/100us/bare", bar{share: 0.97}, "10000x"},
	{"Pool/burn/1ms/W=2", "Pool/burn/1ms/bare", bar{share: 0.99}, "2000x"},
	{"Pool/parallel/W=2", "Pool/parallel/channels", bar{factor: 0.9}, calls},
	{"Pool/parallel/W=2 p99-ns", "Pool/parallel/W=2 p50-ns", bar{factor: 20}, calls},
	{"Pool/start", "Limit/re-exec", bar{factor: 3}, starts},
	{"Pool/block/1GiB", "Pool/block/64B", bar{factor: 1.2}, "20000x"},
	{"Pool/bytes/64MiB/plain", "Pool/bytes/64MiB/three-copies", bar{factor: 1.3}, "10x"},
	{"Pool/bytes/64MiB/in-place", "Pool/bytes/64MiB/two-copies", bar{factor: 1.3}, "10x"},
	{"Arena/alloc-free", "Arena/malloc", bar{floor: 60}, items},
}

// figures are all that the row needs.
func (r row) figures() []string {
	names := []string{r.figure, r.reference}
	if r.bar.above != "" {
		names = append(names, r.bar.above)
	}
	return names
}

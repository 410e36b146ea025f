package main

import (
	"regexp"
	"strings"
	"testing"
)

const output = `goos: linux
BenchmarkLimit/line-batch-2         	 1000000	         6.020 ns/op	       0 B/op
BenchmarkPoolWork/map/W=2-2         	     100	      3837 ns/op	     384 B/op
BenchmarkPoolWork/parallel/W=2      	       1	    666450 ns/op	    551 p50-ns	    7e3 p99-ns
BenchmarkPoolWork/map/W=2/more-2    	     100	         1 ns/op
PASS
`

func TestFind(t *testing.T) {
	for figure, want := range map[string]float64{
		"Limit/line-batch":         6.02,
		"Pool/map/W=2":             3837, // printed by a benchmark whose name begins with Pool
		"Pool/map/W=2 B/op":        384,
		"Pool/parallel/W=2 p99-ns": 7000, // no number of processors behind the name
	} {
		if got, err := find(output, figure); err != nil || got != want {
			t.Errorf("%s is %v, %v; want %v", figure, got, err, want)
		}
	}
	for _, figure := range []string{"Limit/line", "Limit/line-batch p99-ns", "Pool/map", "ool/map/W=2"} {
		if got, err := find(output, figure); err == nil {
			t.Errorf("%s was found: %v", figure, got)
		}
	}
}

// TestPattern matches names as the testing package does: element by element.
func TestPattern(t *testing.T) {
	got := pattern([]string{"Pool/parallel/W=2 p99-ns", "Limit/line-batch", "Pool/parallel/W=2 p50-ns"})
	alternatives := strings.Split(got, "|")
	if len(alternatives) != 2 {
		t.Fatalf("%q has not one alternative for each benchmark", got)
	}
	for name, want := range map[string]bool{
		"BenchmarkPool/parallel/W=2": true, "BenchmarkPoolWork/parallel/W=2": true,
		"BenchmarkPool/parallel/W=21": false, "BenchmarkMyPool/parallel/W=2": false,
	} {
		if matches(alternatives[1], name) != want {
			t.Errorf("%q matches %s: %v, want %v", got, name, !want, want)
		}
	}
}

func matches(pattern, name string) bool {
	elements := strings.Split(name, "/")
	for i, p := range strings.Split(pattern, "/") {
		if !regexp.MustCompile(p).MatchString(elements[i]) {
			return false
		}
	}
	return true
}

func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		bar               bar
		figure, reference float64
		ok                bool
		ratio             string
	}{
		{bar{factor: 1.5}, 150, 100, true, "1.50"},
		{bar{factor: 1.5}, 151, 100, false, "1.51"},
		{bar{factor: 4, floor: 10}, 9, 1, true, "9.00"},
		{bar{factor: 4, floor: 10}, 11, 1, false, "11.00"},
		{bar{factor: 1.3, above: "base"}, 1120, 100, true, "1.20"},
		{bar{factor: 1.3, above: "base"}, 1140, 100, false, "1.40"},
		{bar{factor: 1.5, plus: 100}, 1600, 1000, true, "1.50"},
		{bar{factor: 1.5, plus: 100}, 1620, 1000, false, "1.52"},
		{bar{share: 0.9}, 110, 100, true, "90.9 %"},
		{bar{share: 0.9}, 120, 100, false, "83.3 %"},
	} {
		r := row{figure: "a", reference: "b", bar: tt.bar}
		v := r.judge(map[string]float64{"a": tt.figure, "b": tt.reference, "base": 1000})
		if v.ok != tt.ok || v.ratio != tt.ratio {
			t.Errorf("%+v: %g against %g is %+v", tt.bar, tt.figure, tt.reference, v)
		}
	}
}

func TestMedian(t *testing.T) {
	for want, values := range map[float64][]float64{2: {3, 1, 2}, 2.5: {4, 1, 3, 2}, 7: {7}} {
		if got := median(values); got != want {
			t.Errorf("the median is %v, want %v", got, want)
		}
	}
}

func TestStolenTime(t *testing.T) {
	before := parseTimes("cpu  10 0 10 70 0 0 0 10 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
	if before != (times{all: 100, stolen: 10}) {
		t.Fatalf("read as %+v", before)
	}
	after := parseTimes("cpu  60 0 10 90 0 0 0 40 7 7\n")
	if got := after.stolenSince(before); got != 0.3 {
		t.Errorf("others had %v of the time, want 0.3", got)
	}
	if got := before.stolenSince(before); got != 0 {
		t.Errorf("of no time others had %v", got)
	}
	if got := parseTimes("no such line"); got != (times{}) {
		t.Errorf("nonsense is read as %+v", got)
	}
}

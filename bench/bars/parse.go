package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A name is a figure's, taken apart: "tag:benchmark unit".
type name struct {
	tag       string // of the build that it is measured in; empty: the usual one
	benchmark string
	unit      string
}

func split(figure string) name {
	n := name{benchmark: figure, unit: "ns/op"}
	if tag, rest, found := strings.Cut(figure, ":"); found {
		n.tag, n.benchmark = tag, rest
	}
	if benchmark, unit, found := strings.Cut(n.benchmark, " "); found {
		n.benchmark, n.unit = benchmark, unit
	}
	return n
}

// pattern returns what makes a test binary run the benchmarks of these figures and no
// others. A name's first element is a prefix: Pool/map is printed by BenchmarkPoolWork.
func pattern(figures []string) string {
	var alternatives []string
	for _, f := range figures {
		first, rest, _ := strings.Cut(split(f).benchmark, "/")
		alternatives = append(alternatives, "^Benchmark"+first+"/^"+strings.ReplaceAll(rest, "/", "$/^")+"$")
	}
	slices.Sort(alternatives)
	return strings.Join(slices.Compact(alternatives), "|")
}

// find returns a figure from the output of a test binary. Lines look like
// "BenchmarkPoolWork/map/W=2-8  100  12.5 ns/op  3 allocs/op"; the -8 is left out where
// GOMAXPROCS is 1.
func find(output, figure string) (float64, error) {
	n := split(figure)
	first, rest, _ := strings.Cut(n.benchmark, "/")
	line := regexp.MustCompile(`^Benchmark` + first + `\w*/` + rest + `(-\d+)?$`)
	for text := range strings.Lines(output) {
		fields := strings.Fields(text)
		if len(fields) < 4 || !line.MatchString(fields[0]) {
			continue
		}
		if i := slices.Index(fields, n.unit); i > 0 {
			return strconv.ParseFloat(fields[i-1], 64)
		}
	}
	return 0, fmt.Errorf("%s was not measured: the output has no such line:\n%s", figure, output)
}

// median sorts values.
func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

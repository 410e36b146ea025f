package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// split takes a figure's name apart.
func split(figure string) (benchmark, unit string) {
	benchmark, unit, found := strings.Cut(figure, " ")
	if !found {
		unit = "ns/op"
	}
	return benchmark, unit
}

// pattern returns what makes a test binary run the benchmarks of these figures and no
// others. A name's first element is a prefix: Pool/map is printed by BenchmarkPoolWork.
func pattern(figures []string) string {
	var alternatives []string
	for _, f := range figures {
		benchmark, _ := split(f)
		first, rest, _ := strings.Cut(benchmark, "/")
		alternatives = append(alternatives, "^Benchmark"+first+"/^"+strings.ReplaceAll(rest, "/", "$/^")+"$")
	}
	slices.Sort(alternatives)
	return strings.Join(slices.Compact(alternatives), "|")
}

// find returns a figure from the output of a test binary. Lines look like
// "BenchmarkPoolWork/map/W=2-8  100  12.5 ns/op  3 allocs/op"; the -8 is left out where
// GOMAXPROCS is 1.
func find(output, figure string) (float64, error) {
	benchmark, unit := split(figure)
	first, rest, _ := strings.Cut(benchmark, "/")
	name := regexp.MustCompile(`^Benchmark` + first + `\w*/` + rest + `(-\d+)?$`)
	for line := range strings.Lines(output) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !name.MatchString(fields[0]) {
			continue
		}
		if i := slices.Index(fields, unit); i > 0 {
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

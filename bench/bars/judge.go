package main

import "fmt"

// A verdict is how a row ended, in words.
type verdict struct {
	reference, ratio, bar string
	ok                    bool
}

func (v verdict) word() string {
	if v.ok {
		return "ok"
	}
	return "MISSED"
}

// judge compares the row's medians with its bar.
func (r row) judge(medians map[string]float64) verdict {
	figure, reference := medians[r.figure], medians[r.reference]
	v := verdict{reference: r.reference}
	if r.bar.share > 0 {
		share := reference / figure
		v.ratio, v.bar, v.ok = fmt.Sprintf("%.1f %%", 100*share), fmt.Sprintf(">= %.0f %%", 100*r.bar.share), share >= r.bar.share
		return v
	}
	over := figure
	if r.bar.above != "" {
		over -= medians[r.bar.above]
		v.reference += ", above " + r.bar.above
	}
	if r.bar.plus > 0 {
		over -= r.bar.plus
		v.reference += fmt.Sprintf(", above %g ns", r.bar.plus)
	}
	ratio := over / reference
	v.ratio, v.bar = fmt.Sprintf("%.2f", ratio), fmt.Sprintf("<= %g", r.bar.factor)
	v.ok = ratio <= r.bar.factor
	if r.bar.floor > 0 {
		v.bar += fmt.Sprintf(" or %g ns", r.bar.floor)
		v.ok = v.ok || figure <= r.bar.floor
	}
	if r.bar.factor == 0 {
		v.bar = fmt.Sprintf("<= %g ns", r.bar.floor)
	}
	return v
}

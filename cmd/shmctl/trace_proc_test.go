//go:build linux && (amd64 || arm64)

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/shmkit/shmkit/pool"
)

var subjectLast = pool.Func("subject.last", func(_ context.Context, d time.Duration) (int, error) {
	for begin := time.Now(); time.Since(begin) < d; { // so long that it is told
	}
	return 0, nil
})

type readEvent struct {
	Name  string         `json:"name"`
	Cat   string         `json:"cat"`
	Phase string         `json:"ph"`
	At    float64        `json:"ts"`
	Dur   *float64       `json:"dur"`
	Pid   int            `json:"pid"`
	Tid   int            `json:"tid"`
	ID    string         `json:"id"`
	Bind  string         `json:"bp"`
	Args  map[string]any `json:"args"`
}

type readTrace struct {
	Unit  string         `json:"displayTimeUnit"`
	Other map[string]any `json:"otherData"`
	All   []readEvent    `json:"traceEvents"`
}

// requireTrace checks what a viewer relies upon.
func requireTrace(t *testing.T, text []byte) readTrace {
	t.Helper()
	var tr readTrace
	dec := json.NewDecoder(bytes.NewReader(text))
	require.NoError(t, dec.Decode(&tr))
	require.Equal(t, "ns", tr.Unit)
	named, slices1 := map[int]string{}, map[int][]readEvent{}
	flows, journeys := map[string][]readEvent{}, map[string]map[string]float64{}
	for _, e := range tr.All {
		require.NotZero(t, e.Pid)
		require.GreaterOrEqual(t, e.At, 0.0, "%+v", e)
		require.NotEmpty(t, e.Name)
		switch e.Phase {
		case "M":
			if e.Name == "thread_name" {
				named[e.Tid] = e.Args["name"].(string)
			}
		case "X":
			require.NotNil(t, e.Dur, "%+v", e)
			require.GreaterOrEqual(t, *e.Dur, 0.0)
			slices1[e.Tid] = append(slices1[e.Tid], e)
		case "s", "t", "f":
			require.Equal(t, "flow", e.Cat)
			flows[e.ID] = append(flows[e.ID], e)
		case "b", "e":
			if journeys[e.ID+e.Name] == nil {
				journeys[e.ID+e.Name] = map[string]float64{}
			}
			journeys[e.ID+e.Name][e.Phase] = e.At
		case "i", "C":
		default:
			t.Fatalf("an event of kind %q", e.Phase)
		}
	}
	for tid, all := range slices1 {
		require.NotEmpty(t, named[tid], "track %d has no name", tid)
		requireNested(t, all)
	}
	for id, all := range flows {
		phases := ""
		slices.SortStableFunc(all, func(a, b readEvent) int { return cmp.Compare(a.At, b.At) })
		for _, e := range all {
			phases += e.Phase
			require.True(t, e.Phase != "f" || e.Bind == "e")
			require.True(t, slices.ContainsFunc(slices1[e.Tid], func(x readEvent) bool { return x.At <= e.At && e.At <= x.At+*x.Dur+0.001 }),
				"flow %s has no slice at %v in track %d", id, e.At, e.Tid)
		}
		require.Equal(t, "stf", phases, "flow %s", id)
	}
	for id, j := range journeys {
		require.Len(t, j, 2, id)
		require.LessOrEqual(t, j["b"], j["e"], id)
	}
	return tr
}

// requireNested checks that slices of a track lie beside or inside each other.
func requireNested(t *testing.T, all []readEvent) {
	t.Helper()
	slices.SortStableFunc(all, func(a, b readEvent) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(*b.Dur, *a.Dur)) })
	const exact = 0.002 // microseconds: times are written to the nanosecond
	var ends []float64
	for _, e := range all {
		for len(ends) > 0 && ends[len(ends)-1] <= e.At+exact {
			ends = ends[:len(ends)-1]
		}
		require.True(t, len(ends) == 0 || e.At+*e.Dur <= ends[len(ends)-1]+exact, "%+v goes on behind the slice that it is in", e)
		ends = append(ends, e.At+*e.Dur)
	}
}

// ownSite is the pool of that name in this process.
func ownSite(t *testing.T, name string) *site {
	f, err := openOwn(name)
	require.NoError(t, err)
	s := &site{}
	s.observe(f)
	require.NoError(t, s.err)
	t.Cleanup(s.close)
	return s
}

// A trace is what a viewer wants it to be, and has every task: as a slice, or as one of those that it says are left out.
func TestTraceCountsAll(t *testing.T) {
	p, err := pool.New(pool.Options{Name: "traced", Workers: 1, Memory: 1 << 20})
	require.NoError(t, err)
	defer p.Terminate()
	ctx := t.Context()
	s := ownSite(t, "traced")
	for n := range 200 {
		if n%50 == 0 {
			_, err := subjectFail.Call(ctx, p, n)
			require.Error(t, err)
		}
		_, err := subjectAdd.Call(ctx, p, n)
		require.NoError(t, err)
	}
	for _, err := range subjectAdd.Map(ctx, p, slices.Values(make([]int, 500))) {
		require.NoError(t, err)
	}
	_, err = subjectLast.Call(ctx, p, time.Millisecond) // with it, all are told that were left out before it
	require.NoError(t, err)
	st := p.Stats()
	var text bytes.Buffer
	var r *recording
	require.Eventually(t, func() bool { // a worker tells of a task after it has handed in the result
		text.Reset()
		r, err = s.record(ctx, 0)
		require.NoError(t, err)
		require.NoError(t, writeTrace(&text, r))
		return bytes.Contains(text.Bytes(), []byte(`"name":"subject.last","cat":"task"`))
	}, patience, 10*time.Millisecond)
	tr := requireTrace(t, text.Bytes())

	require.Zero(t, r.missed())
	tasks, failed, left := 0, 0, 0.0
	for _, e := range tr.All {
		if n, is := e.Args["tasks_sampled_away_before"].(float64); is {
			left += n
		}
		if e.Phase != "X" || e.Cat != "task" {
			continue
		}
		n := 1
		if items, is := e.Args["items"].(float64); is {
			n = int(items)
		}
		tasks += n
		if e.Name == "subject.fail (error)" {
			failed++
		}
	}
	require.LessOrEqual(t, failed, 4)
	require.Equal(t, left, tr.Other["tasks_sampled_away"])
	require.EqualValues(t, 0, tr.Other["missed_events"])
	require.Equal(t, 200+4+500+1, tasks+int(left))
	w := r.pool.Workers[0]
	require.EqualValues(t, w.Ran, tasks+int(left))
	require.EqualValues(t, st.Accepted, r.pool.Counters.Accepted)
	require.EqualValues(t, st.Succeeded, r.pool.Counters.Succeeded)
	require.EqualValues(t, st.Failed, r.pool.Counters.Failed)
}

// A trace of a pool that works, with deaths, and one that was cut short, is as good.
func TestTraceWhileItWorks(t *testing.T) {
	p, err := pool.New(pool.Options{Name: "traced-2", Workers: 2, Memory: 1 << 20, Retries: 0})
	require.NoError(t, err)
	defer p.Terminate()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ctx.Err() == nil; n++ {
			_, _ = subjectAdd.Call(ctx, p, n)
			_, _ = subjectLast.Call(ctx, p, 20*time.Microsecond)
			if n%1000 == 500 {
				_, _ = subjectExit.Call(ctx, p, n)
			}
		}
	}()
	s := ownSite(t, "traced-2")
	for range 5 {
		r, err := s.record(ctx, 100*time.Millisecond)
		require.NoError(t, err)
		var text bytes.Buffer
		require.NoError(t, writeTrace(&text, r))
		requireTrace(t, text.Bytes())
	}
	stop()
	<-done
}

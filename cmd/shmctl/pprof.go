package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/google/pprof/profile"
	"github.com/spf13/cobra"

	"github.com/shmkit/shmkit/pool"
)

func newPprof(sh *shell) *cobra.Command {
	file, length, place := "", time.Duration(0), -1
	cmd := &cobra.Command{
		Use:   "pprof [POOL] -o FILE",
		Short: "What do the processors do? A CPU profile of all workers",
		Long: `Have all workers of a pool, or one, record a CPU profile at the same time, and write them as one, for 'go tool pprof'. Each sample has the
labels worker and pid. A worker in which somebody else records a profile, that ends meanwhile, or is stopped, is left out and named.

` + exitHelp,
		Example: `  shmctl pprof -o cpu.pb.gz --for 10s
  go tool pprof -http=: cpu.pb.gz
  go tool pprof -top -tagroot=worker cpu.pb.gz
  shmctl pprof demo --worker 2 -o cpu.pb.gz`,
		Args:              ofPool,
		ValidArgsFunction: completePools,
		RunE: runs(func(ctx context.Context, args []string) error {
			switch {
			case file == "":
				return &exit{exitUsage, errors.New("where to? Say -o FILE, or -o - for the standard output")}
			case length < time.Millisecond || length > longestProfile:
				return &exit{exitUsage, fmt.Errorf("for %v: it must be at least a millisecond, and at most %v", length, longestProfile)}
			}
			return sh.pprof(ctx, args, place, length, file)
		}),
	}
	cmd.Flags().StringVarP(&file, "output", "o", "", "the file to write; -: standard output")
	cmd.Flags().DurationVar(&length, "for", 10*time.Second, "for so long")
	cmd.Flags().IntVar(&place, "worker", -1, "the worker in this place alone")
	return cmd
}

// longestProfile is for how long a profile is recorded at most.
const longestProfile = time.Hour

func (sh *shell) pprof(ctx context.Context, args []string, place int, length time.Duration, file string) error {
	sh.format = "table" // the flag's name is another's here
	s, err := sh.pick(args)
	if err != nil {
		return err
	}
	defer s.close()
	all, err := sh.askAll(ctx, s, place, func(ctx context.Context, o *pool.Operator, who pool.Subject) ([]byte, error) {
		return o.Profile(ctx, who, length)
	})
	if err != nil {
		return err
	}
	merged, n, err := merge(all)
	if err != nil {
		return err
	}
	if merged != nil {
		if err := sh.writeFile(file, func(w io.Writer) error { return merged.Write(w) }); err != nil {
			return err
		}
		sh.note("%s: %v of %s, %d samples; look at it with: go tool pprof -http=: %s", file, length, plural(n, "worker"), len(merged.Sample), file)
	}
	return sh.silent(all)
}

// merge makes one profile of all that there are, n in number; nil if there is none. What a worker has said that is no profile is an error of its own.
func merge(all []*utterance) (merged *profile.Profile, n int, err error) {
	var good []*profile.Profile
	for _, u := range all {
		if u.err != nil {
			continue
		}
		p, err := parseProfile(u.text)
		if err != nil {
			u.err = fmt.Errorf("what it says is no profile: %w", err)
			continue
		}
		p.SetLabel("worker", []string{strconv.Itoa(u.worker.Place)})
		p.SetLabel("pid", []string{strconv.Itoa(u.pid)})
		good = append(good, p)
	}
	if len(good) == 0 {
		return nil, 0, nil
	}
	merged, err = profile.Merge(good)
	return merged, len(good), err
}

// parseProfile reads what a worker, which may say anything, calls a profile.
func parseProfile(text []byte) (p *profile.Profile, err error) {
	defer func() {
		if v := recover(); v != nil { // it was not made for what somebody has forged
			p, err = nil, fmt.Errorf("%v", v)
		}
	}()
	return profile.ParseData(text)
}

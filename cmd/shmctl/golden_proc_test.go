//go:build linux && (amd64 || arm64)

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// updateGolden makes the golden files what the commands say now.
const updateGolden = "SHMKIT_UPDATE_GOLDEN"

// Numbers with their units, states that come and go, and what is made of lengths: spaces, and how many lines of one shape follow each other.
var (
	numbersIn = regexp.MustCompile(`-?\d[\d.,:]*(e[+-]?\d+)?[kMGTPE]?(ns|µs|ms|s|m\d+s|h\d+m|d\d+h)?\b`)
	units     = regexp.MustCompile(`# ([KMGTPE]iB|B)\b`)
	hexIn     = regexp.MustCompile(`\b0x[0-9a-f]+\b`)
	doings    = regexp.MustCompile(`\b(looking|napping|sleeping)\b`)
	spaces    = regexp.MustCompile(` {2,}`)
	nothings  = regexp.MustCompile(`  -(  |\n)`)
	bytesIn   = regexp.MustCompile(`(?m)^ *([0-9a-f]{8}  .*\|.*\||\*)$`)
	events    = regexp.MustCompile(`(?m)^#  worker #  .*$`)
	crashes   = regexp.MustCompile(`# crashed`)                                                                      // whichever of the two it was
	starving  = regexp.MustCompile(`(?m)^\* (The workers have waited for a processor|Worker # .* has run ).*\n.*\n`) // the machine's doing
)

// golden compares the standard output of the command before with a file: golden NAME, or golden NAME sorted for lines that may be in any order.
// Numbers are left out, and so are repeated lines.
func golden(ts *testscript.TestScript, _ bool, args []string) {
	got := shapeOf(ts.ReadFile("stdout"), ts.Getenv("NAME"), len(args) > 1)
	file := filepath.Join(goldenDir, args[0]+".txt")
	if os.Getenv(updateGolden) != "" {
		ts.Check(os.WriteFile(file, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(file)
	ts.Check(err)
	if got != string(want) {
		ts.Fatalf("%s is not as it was; with %s=1 in the environment it is written anew. It is now:\n%s\nIt was:\n%s", args[0], updateGolden, got, want)
	}
}

func shapeOf(text, name string, sorted bool) string {
	text = strings.ReplaceAll(text, name, "NAME")
	for _, one := range []struct {
		what *regexp.Regexp
		by   string
	}{{bytesIn, "BYTES"}, {hexIn, "#"}, {numbersIn, "#"}, {units, "#"}, {doings, "idle"}, {starving, ""}, {spaces, "  "}, {nothings, "  #$1"}, {nothings, "  #$1"}, {crashes, "#"}, {events, "EVENT"}} {
		text = one.what.ReplaceAllString(text, one.by)
	}
	lines := slices.Collect(strings.Lines(text))
	if sorted {
		slices.Sort(lines)
	}
	return strings.Join(slices.Compact(lines), "")
}

// goldenDir is found before the scripts change the directory.
var goldenDir = func() string {
	dir, _ := filepath.Abs(filepath.Join("testdata", "golden"))
	return dir
}()

// hasNamespaces reports whether pid namespaces can be made here.
func hasNamespaces() bool {
	return exec.Command("unshare", "-Urpf", "--mount-proc", "true").Run() == nil
}

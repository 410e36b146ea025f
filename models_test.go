package shmkit_test

import (
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Models say in comments for which code they stand: "pool/crowd.go wakeOne". A change of the code that a model does not follow cannot
// be found this way, but for renamed and removed functions.
var (
	modelled  = regexp.MustCompile(`((?:[a-z]+/)+[a-z_0-9]+\.go)\s+([A-Za-z]\w*)`)
	fileNamed = regexp.MustCompile(`(?:[a-z]+/)*[a-z_0-9]+\.go\b`)
	part      = regexp.MustCompile(`(?m)^(?:inline|(?:active )?proctype) (\w+)`)
	variants  = regexp.MustCompile(`(?m)^/\* (?:variants|run): (.*) \*/$`)
	macro     = regexp.MustCompile(`(?m)^#(?:if|ifdef|ifndef|elif) .*$`)
	name      = regexp.MustCompile(`\b[A-Z][A-Z_]+\b`)
)

// declared returns, for each file, what it declares outside of functions, and methods.
func declared(all []source) map[string][]string {
	names := map[string][]string{}
	for _, s := range all {
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				names[s.name] = append(names[s.name], d.Name.Name)
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						names[s.name] = append(names[s.name], spec.Name.Name)
					case *ast.ValueSpec:
						for _, n := range spec.Names {
							names[s.name] = append(names[s.name], n.Name)
						}
					}
				}
			}
		}
	}
	return names
}

// staleParts returns what is wrong with a model's references to code.
func staleParts(model string, code map[string][]string) (found []string) {
	refs := modelled.FindAllStringSubmatch(model, -1)
	for _, ref := range refs {
		if !slices.Contains(code[ref[1]], ref[2]) {
			found = append(found, fmt.Sprintf("%s has no %s", ref[1], ref[2]))
		}
	}
	if files := fileNamed.FindAllString(model, -1); len(files) != len(refs) {
		found = append(found, fmt.Sprintf("%d files are named, %d with a name from them", len(files), len(refs)))
	}
	for _, at := range part.FindAllStringSubmatchIndex(model, -1) {
		above := strings.LastIndex(model[:at[0]], "\n\n") + 1
		text := model[above:]
		if end := strings.Index(text[at[0]-above:], "\n\n"); end >= 0 {
			text = text[:at[0]-above+end]
		}
		if !modelled.MatchString(text) && !strings.Contains(text, "/* environment: ") {
			found = append(found, model[at[2]:at[3]]+" does not say for which code it stands, nor that it is environment")
		}
	}
	return found
}

// staleVariants returns which macros are listed and not used, or used and neither listed nor defined.
func staleVariants(model string) (found []string) {
	var listed, used []string
	for _, m := range variants.FindAllStringSubmatch(model, -1) {
		listed = append(listed, name.FindAllString(m[1], -1)...)
	}
	for _, m := range macro.FindAllString(model, -1) {
		used = append(used, name.FindAllString(m, -1)...)
	}
	for _, v := range listed {
		if !slices.Contains(used, v) {
			found = append(found, v+" is listed and changes nothing")
		}
	}
	for _, v := range used {
		if !slices.Contains(listed, v) && !strings.Contains(model, "#define "+v+" ") {
			found = append(found, v+" is never tried")
		}
	}
	return found
}

func TestModelsNameTheirCode(t *testing.T) {
	code := declared(sources(t))
	models, err := filepath.Glob("docs/models/*.pml")
	require.NoError(t, err)
	require.NotEmpty(t, models)
	readme, err := os.ReadFile("docs/models/README.md")
	require.NoError(t, err)
	for _, path := range models {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Empty(t, staleParts(string(text), code), path)
		assert.Empty(t, staleVariants(string(text)), path)
		assert.Contains(t, string(readme), "("+filepath.Base(path)+")", "README.md says what each model is about")
	}
}

func TestStaleModelsAreFound(t *testing.T) {
	code := declared([]source{parse(t, "pool/a.go", []byte("package pool\ntype crowd int\nfunc (c crowd) call() {}\nvar x, limit = 1, 2"))})
	for _, tt := range []struct{ model, want string }{
		{"/* pool/a.go call: it */\n/* pool/a.go crowd, pool/a.go limit */", ""},
		{"/* pool/a.go\n   call */", ""},
		{"/* pool/a.go cal */", "pool/a.go has no cal"},
		{"/* pool/b.go call */", "pool/b.go has no call"},
		{"/* see a.go */", "1 files are named, 0 with"},
		{"/* environment: a signal */\nactive proctype killer() {\n\tskip\n}\n", ""},
		{"/* pool/a.go call */\n\ninline ring(i) {\n\tskip\n}\n\n/* pool/a.go call */\ninline other() { skip }", "ring does not say"},
		{"inline ring(i) {\n\tskip /* pool/a.go call */\n}\n", ""},
	} {
		got := strings.Join(staleParts(tt.model, code), "; ")
		assert.True(t, strings.Contains(got, tt.want) && (tt.want != "") == (got != ""), "%q: got %q, want %q", tt.model, got, tt.want)
	}
	for _, tt := range []struct{ model, want string }{
		{"/* variants: EARLY LATE */\n#ifdef EARLY\n#elif defined(LATE)\n", ""},
		{"/* run: DEATHS=1 */\n#ifndef DEATHS\n#define DEATHS 0\n", ""},
		{"/* variants: EARLY */\n", "EARLY is listed and changes nothing"},
		{"#ifdef EARLY\n", "EARLY is never tried"},
		{"#define SLOTS 2\n#if SLOTS > 2\n", ""},
	} {
		got := strings.Join(staleVariants(tt.model), "; ")
		assert.Equal(t, tt.want, got, "%q", tt.model)
	}
}

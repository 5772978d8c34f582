package roomtrail_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The shape of the tree, held by the parser alone. It looks at direct imports
// of files that are no tests, whatever they are built for: what fmt brings in
// is of no interest, what a package asks for is.

const module = "roomtrail"

// layer is one row of the table. Lists are separated by blanks; packages of the
// module stand without its name; "x/..." is x and everything below it, "cmd/*"
// is each package right below cmd, "..." is anything.
type layer struct {
	packages string
	may      string // what they may import beyond the standard library
	never    string // what they may not import of the standard library
	by       string // who may import them; empty: whoever may
	starts   string // their files that may start goroutines
	pure     bool   // they decide; effects are elsewhere
	why      string // printed with every refusal
}

const (
	helpers  = "commandline/commandlinetest eventlog/eventlogtest readmodel/readmodeltest projections/projectionstest"
	programs = "cmd/* cmd/demo/stack bench"
)

// layers is the table, from what nobody may do without to what nobody imports.
var layers = []layer{
	{packages: "events", pure: true,
		why: "events are the vocabulary of all others, so they depend on none"},
	{packages: "room", may: "events", pure: true,
		why: "room rules are values in, values out"},
	{packages: "credentials", may: "events", pure: true,
		why: "who may send is decided from what is handed in; keys, bodies and the clock are the door's"},
	{packages: "reporter", may: "events", pure: true,
		why: "a reporter numbers and keeps events; the clock, the sending and the SDK are its owner's"},
	{packages: "sim", may: "events room reporter", pure: true, by: "fleet " + programs + " " + helpers,
		why: "a world is a function of its seed: the same bytes every time"},
	{packages: "projections", may: "events room", pure: true,
		why: "rows are a function of events; reading, waiting and writing are handed in"},
	{packages: "migrations",
		why: "migrations are SQL and the line that embeds it"},
	{packages: "recordings", by: programs + " " + helpers, pure: true,
		why: "recordings are input for tests and the demo, and no real work may lean on them"},
	{packages: "dashboards", may: "github.com/grafana/grafana-foundation-sdk/go/...",
		why: "dashboards know the views by their SQL, and nothing of the program"},

	{packages: "intake", may: "credentials events github.com/klauspost/compress/... golang.org/x/sync/semaphore",
		why: "the door knows neither log nor database; what appends is handed in"},
	{packages: "eventlog", may: "events github.com/nats-io/nats.go/... github.com/synadia-io/orbit.go/jetstreamext", starts: "append.go",
		why: "the log keeps events; what they mean and where rows go is not its business, and its one goroutine is the group commit"},
	{packages: "readmodel", may: "events projections migrations github.com/jackc/pgx/v5/... github.com/golang-migrate/migrate/v4/...", never: "net/http", starts: "aside.go",
		why: "the read model applies what it is handed, wherever it came from; it folds with two processors"},
	{packages: "commandline", may: "github.com/alecthomas/kong", by: programs,
		why: "command lines are alike in all programs, and know no flag"},
	{packages: "progressbar", may: "github.com/jedib0t/go-pretty/v6/progress", by: programs, starts: "bar.go",
		why: "a bar is for programs that people watch, and draws itself while they work"},
	{packages: "fleet", may: "events room sim golang.org/x/sync/errgroup", by: programs, starts: "fleet.go",
		why: "a fleet makes a world happen to an intake, and is no part to build on"},
	{packages: "signalling", may: "events room github.com/coder/websocket golang.org/x/time/rate", starts: "*",
		why: "the line carries what the machines say; what it means is theirs"},
	{packages: "query",
		why: "questions are data; rows come through an interface"},
	{packages: "embedded", may: "github.com/nats-io/nats-server/v2/... github.com/nats-io/nats.go/... github.com/jackc/pgx/v5/...", by: "pipeline " + programs + " " + helpers, starts: "*",
		why: "whole servers: what wires a program or a test starts them, nothing else needs them"},

	{packages: "pipeline", may: "credentials embedded eventlog events intake projections readmodel github.com/nats-io/nats.go/... github.com/prometheus/client_golang/...", by: programs, starts: "*",
		why: "the pipeline wires the write side for the programs, and is no part to build on"},
	{packages: helpers, may: "...", by: "bench", starts: "*",
		why: "helpers of tests bring servers and testing with them, so no program may hold them"},
	{packages: programs, may: "...", by: "nobody", starts: "*",
		why: "programs are read from the top: flags, wiring, order of stopping"},
}

// effects are what a pure package may not import.
const effects = "crypto/rand database/... log/... net/... os/... sync/... syscall"

// guarded are imports of which a pure package may use a part: only these names,
// or all but these.
var guarded = map[string]struct {
	only  bool
	names string
	why   string
}{
	"time":         {false, "Now Sleep After AfterFunc NewTimer NewTicker Tick Since Until", "time comes in as an argument"},
	"context":      {true, "Context Canceled DeadlineExceeded Cause", "a context passes through, nothing more"},
	"math/rand":    {true, "Rand Source Source64 Zipf New NewSource NewZipf", "chance comes from a source that is handed in"},
	"math/rand/v2": {true, "Rand Source PCG ChaCha8 Zipf New NewPCG NewChaCha8 NewZipf", "chance comes from a source that is handed in"},
}

const (
	maxLines    = 450
	emptyWords  = "internal pkg util common config models types service"
	whyStarts   = "goroutines start where programs are wired and in the group commit, so that it is known who stops them"
	whyPure     = "a pure package decides and leaves the doing to its caller"
	whyLines    = "a longer file holds a second concept: give that its own"
	whyWords    = "a package is a noun of the domain, and this word says nothing of what is in it"
	whyNotThere = "add it to the table with its reason"
)

func TestTreeKeepsItsShape(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := entry.Name()
		if entry.IsDir() {
			if name != "." && (base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_")) {
				return fs.SkipDir // the go command does not look there either
			}
			return nil
		}
		if !strings.HasSuffix(base, ".go") || strings.HasSuffix(base, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(name)
		files[filepath.ToSlash(name)] = string(source)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if files["events/event.go"] == "" {
		t.Fatalf("the tree was not found among %d files", len(files))
	}
	for _, refusal := range check(files) {
		t.Error(refusal)
	}
}

// check says what in the files, given as path and source, the table refuses.
func check(files map[string]string) []string {
	var refusals []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		c := checker{files: token.NewFileSet(), name: name, of: path.Dir(name)}
		c.check(files[name])
		refusals = append(refusals, c.refusals...)
	}
	return refusals
}

// checker looks at one file.
type checker struct {
	files    *token.FileSet
	name, of string // path of the file, and of its package
	layer    layer
	imported map[string]string // path by the name it has in the file
	refusals []string
}

func (c *checker) refuse(at token.Pos, why, format string, args ...any) {
	where := c.name
	if at.IsValid() {
		where = fmt.Sprintf("%s:%d", c.name, c.files.Position(at).Line)
	}
	c.refusals = append(c.refusals, fmt.Sprintf("%s: %s: %s", where, fmt.Sprintf(format, args...), why))
}

func (c *checker) check(source string) {
	for word := range strings.SplitSeq(c.of, "/") {
		if slices.Contains(strings.Fields(emptyWords), word) {
			c.refuse(token.NoPos, whyWords, "stands in a folder named %s", word)
			return
		}
	}
	if n := strings.Count(source, "\n"); n > maxLines {
		c.refuse(token.NoPos, whyLines, "has %d lines, at most %d are fine", n, maxLines)
	}
	var found bool
	if c.layer, found = layerOf(c.of); !found {
		c.refuse(token.NoPos, whyNotThere, "its package %s is not in the table", c.of)
		return
	}
	file, err := parser.ParseFile(c.files, c.name, source, parser.SkipObjectResolution)
	if err != nil {
		c.refuse(token.NoPos, err.Error(), "does not parse")
		return
	}
	c.imported = map[string]string{}
	for _, spec := range file.Imports {
		c.checkImport(spec)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		c.checkStart(n)
		if c.layer.pure {
			c.checkPure(n)
		}
		return true
	})
}

func (c *checker) checkImport(spec *ast.ImportSpec) {
	target, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		panic(err) // the parser has read it
	}
	name := path.Base(strings.TrimSuffix(target, "/v2"))
	if spec.Name != nil {
		name = spec.Name.Name
	}
	c.imported[name] = target

	own, isOwn := strings.CutPrefix(target, module+"/")
	first, _, _ := strings.Cut(target, "/")
	isStandard := !isOwn && !strings.Contains(first, ".")
	used, inTable := layerOf(own)
	switch {
	case isOwn && inTable && used.by != "" && !matches(used.by, c.of):
		c.refuse(spec.Pos(), used.why, "imports %s, which is not for %s", target, c.of)
	case isStandard && matches(c.layer.never, target):
		c.refuse(spec.Pos(), c.layer.why, "imports %s", target)
	case isStandard && c.layer.pure && matches(effects, target):
		c.refuse(spec.Pos(), whyPure, "imports %s", target)
	case c.layer.pure && name == ".":
		c.refuse(spec.Pos(), whyPure, "imports %s without a name, so its use cannot be seen", target)
	case !isStandard && !matches(c.layer.may, own):
		c.refuse(spec.Pos(), c.layer.why, "imports %s", target)
	}
}

// checkStart looks for go statements, and for methods named Go, as WaitGroup
// and errgroup have.
func (c *checker) checkStart(n ast.Node) {
	if matches(c.layer.starts, path.Base(c.name)) {
		return
	}
	switch n := n.(type) {
	case *ast.GoStmt:
		c.refuse(n.Pos(), whyStarts, "starts a goroutine")
	case *ast.CallExpr:
		if method, ok := n.Fun.(*ast.SelectorExpr); ok && method.Sel.Name == "Go" {
			c.refuse(n.Pos(), whyStarts, "starts a goroutine by a method Go")
		}
	}
}

// checkPure looks for channels and for the guarded names, called or not.
func (c *checker) checkPure(n ast.Node) {
	switch n := n.(type) {
	case *ast.ChanType:
		c.refuse(n.Pos(), whyPure, "has a chan type")
	case *ast.SelectStmt:
		c.refuse(n.Pos(), whyPure, "has a select")
	case *ast.UnaryExpr:
		if n.Op == token.ARROW {
			c.refuse(n.Pos(), whyPure, "waits for a channel")
		}
	case *ast.SelectorExpr:
		x, ok := n.X.(*ast.Ident)
		if !ok {
			return
		}
		target := c.imported[x.Name]
		if g, ok := guarded[target]; ok && slices.Contains(strings.Fields(g.names), n.Sel.Name) != g.only {
			c.refuse(n.Pos(), g.why, "uses %s.%s", target, n.Sel.Name)
		}
	}
}

func layerOf(of string) (layer, bool) {
	i := slices.IndexFunc(layers, func(l layer) bool { return matches(l.packages, of) })
	if i < 0 {
		return layer{}, false
	}
	return layers[i], true
}

// matches says whether one of the patterns stands for the path.
func matches(patterns, of string) bool {
	return slices.ContainsFunc(strings.Fields(patterns), func(pattern string) bool {
		if above, ok := strings.CutSuffix(pattern, "..."); ok {
			return strings.HasPrefix(of+"/", above)
		}
		ok, err := path.Match(pattern, of)
		return ok && err == nil
	})
}

func TestCheckerBites(t *testing.T) {
	t.Parallel()
	body := func(statements string) string { return "package p\nimport \"time\"\nfunc f() {" + statements + "}\n" }
	for name, c := range map[string]struct{ file, source, want string }{
		"upward":                        {"events/a.go", `package p; import "roomtrail/room"`, "imports roomtrail/room: events are the vocabulary"},
		"a neighbour":                   {"intake/a.go", `package p; import "roomtrail/eventlog"`, "imports roomtrail/eventlog: the door knows"},
		"another major version":         {"readmodel/a.go", `package p; import "github.com/jackc/pgx/v4"`, "pgx/v4: the read model"},
		"the log in the read model":     {"readmodel/a.go", `package p; import "github.com/nats-io/nats.go"`, "nats.go: the read model"},
		"HTTP in the read model":        {"readmodel/a.go", `package p; import "net/http"`, "imports net/http: the read model"},
		"the database in the log":       {"eventlog/a.go", `package p; import "github.com/jackc/pgx/v5"`, "pgx/v5: the log keeps"},
		"folds in the log":              {"eventlog/a.go", `package p; import "roomtrail/projections"`, "projections: the log keeps"},
		"the database in questions":     {"query/a.go", `package p; import "github.com/jackc/pgx/v5"`, "pgx/v5: questions are data"},
		"the views in dashboards":       {"dashboards/a.go", `package p; import "roomtrail/query"`, "query: dashboards know"},
		"servers in a part":             {"readmodel/a.go", `package p; import "roomtrail/embedded"`, "whole servers"},
		"the wiring in a part":          {"embedded/a.go", `package p; import "roomtrail/pipeline"`, "pipeline, which is not for embedded: the pipeline wires"},
		"the wiring in a helper":        {"eventlog/eventlogtest/a.go", `package p; import "roomtrail/pipeline"`, "pipeline, which is not for eventlog/eventlogtest"},
		"a helper in a program":         {"cmd/demo/a.go", `package p; import "roomtrail/readmodel/readmodeltest"`, "readmodeltest, which is not for cmd/demo: helpers"},
		"recordings in the wiring":      {"pipeline/a.go", `package p; import "roomtrail/recordings"`, "recordings, which is not for pipeline"},
		"a program imported":            {"bench/a.go", `package p; import "roomtrail/cmd/query"`, "cmd/query, which is not for bench: programs"},
		"an unknown package":            {"alerts/a.go", `package p`, "alerts is not in the table: add it"},
		"a package below a program":     {"cmd/query/show/a.go", `package p`, "cmd/query/show is not in the table: add it"},
		"a package at the root":         {"a.go", `package p`, "package . is not in the table: add it"},
		"an empty word":                 {"events/internal/a.go", `package p`, "stands in a folder named internal"},
		"a file of 451 lines":           {"query/a.go", "package p\n" + strings.Repeat("\n", 450), "has 451 lines"},
		"no Go":                         {"query/a.go", `package`, "does not parse"},
		"other systems' files count":    {"room/a_windows.go", "//go:build windows\npackage p; import \"os\"", "a_windows.go:2: imports os: a pure"},
		"a pure package with os":        {"events/a.go", `package p; import "os/exec"`, "imports os/exec: a pure"},
		"a pure package with net":       {"projections/a.go", `package p; import "net/netip"`, "imports net/netip: a pure"},
		"a pure package with logging":   {"room/a.go", `package p; import "log/slog"`, "imports log/slog: a pure"},
		"a pure package with SQL":       {"projections/a.go", `package p; import "database/sql"`, "imports database/sql: a pure"},
		"a pure package with locks":     {"projections/a.go", `package p; import "sync/atomic"`, "imports sync/atomic: a pure"},
		"a pure package with chance":    {"events/a.go", `package p; import "crypto/rand"`, "imports crypto/rand: a pure"},
		"global chance":                 {"room/a.go", `package p; import "math/rand/v2"; var x = rand.IntN(6)`, "uses math/rand/v2.IntN: chance"},
		"names that are hidden":         {"room/a.go", `package p; import . "time"`, "imports time without a name"},
		"a clock that is read":          {"room/a.go", body(`_ = time.Now()`), "room/a.go:3: uses time.Now: time comes in"},
		"a clock under another name":    {"room/a.go", `package p; import x "time"; var now = x.Now`, "uses time.Now"},
		"a timer by way of the context": {"projections/runner.go", `package p; import "context"; var f = context.WithTimeout`, "uses context.WithTimeout: a context"},
		"a chan":                        {"projections/runner.go", `package p; type t struct{ c chan int }`, "has a chan type"},
		"a select":                      {"projections/runner.go", body(`select {}`), "has a select"},
		"a receive":                     {"projections/runner.go", body(`<-done()`), "waits for a channel"},
		"a goroutine in a pure package": {"room/a.go", body(`go f()`), "starts a goroutine: goroutines start"},
		"a goroutine in a part":         {"readmodel/a.go", body(`go f()`), "starts a goroutine"},
		"a second one in the log":       {"eventlog/read.go", body(`go f()`), "starts a goroutine"},
		"a goroutine of a group":        {"intake/a.go", body(`x.group.Go(f)`), "by a method Go"},
	} {
		got := check(map[string]string{c.file: c.source})
		if len(got) != 1 || !strings.Contains(got[0], c.want) {
			t.Errorf("%s: refusals are %q, want one with %q", name, got, c.want)
		}
	}
	for _, name := range []string{"Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Since", "Until"} {
		if got := check(map[string]string{"events/a.go": body("time." + name + "()")}); len(got) != 1 {
			t.Errorf("time.%s: refusals are %q, want one", name, got)
		}
	}
}

func TestCheckerLetsTheRestPass(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, source string }{
		"a context that passes through": {"projections/runner.go", `package p; import ("context"; "time"); type wait func(context.Context, time.Duration) error`},
		"embedded data":                 {"events/codes.go", `package p; import _ "embed"`},
		"chance from a source":          {"room/a.go", `package p; import "math/rand/v2"; func f(r *rand.Rand) int { return r.IntN(6) }`},
		"a method of another thing":     {"room/a.go", `package p; func f(log recorder) { log.Now() }`},
		"the group commit":              {"eventlog/append.go", `package p; import "github.com/nats-io/nats.go/jetstream"; func f() { go f() }`},
		"the wiring":                    {"pipeline/a.go", `package p; import ("roomtrail/embedded"; "roomtrail/intake"); func f() { go f() }`},
		"a program":                     {"cmd/demo/stack/a.go", `package p; import ("roomtrail/pipeline"; "roomtrail/recordings"; "github.com/alecthomas/kong")`},
		"a program that measures":       {"bench/a.go", `package p; import ("roomtrail/embedded"; "roomtrail/eventlog/eventlogtest")`},
		"450 lines":                     {"query/a.go", "package p\n" + strings.Repeat("\n", 449)},
	} {
		if got := check(map[string]string{c.file: c.source}); len(got) != 0 {
			t.Errorf("%s: refusals are %q, want none", name, got)
		}
	}
}

func TestEveryLayerHasItsReason(t *testing.T) {
	t.Parallel()
	for i, l := range layers {
		if l.why == "" {
			t.Errorf("%s stands in the table without a reason", l.packages)
		}
		for _, name := range strings.Fields(l.packages) {
			if first, _ := layerOf(name); first.packages != layers[i].packages {
				t.Errorf("%s stands in the table twice", name)
			}
		}
	}
}

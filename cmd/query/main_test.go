package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"roomtrail/commandline"
	"roomtrail/query"
	"roomtrail/readmodel/readmodeltest"
)

func TestMain(m *testing.M) { os.Exit(readmodeltest.Main(m)) }

// outcome is what a run of the program left behind.
type outcome struct {
	code           int
	stdout, stderr string
}

func runWith(t testing.TB, env map[string]string, stdin string, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), args, strings.NewReader(stdin), &stdout, &stderr, func(name string) string { return env[name] })
	return outcome{code, stdout.String(), stderr.String()}
}

// elsewhere names a data directory in which nothing runs.
func elsewhere(t testing.TB) map[string]string {
	return map[string]string{"ROOMTRAIL_DATA_DIR": t.TempDir()}
}

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"no command":               {nil, "health"},
		"unknown command":          {[]string{"helth"}, "helth"},
		"unknown flag":             {[]string{"health", "--rooom=x"}, "--rooom"},
		"unknown output":           {[]string{"health", "-o", "yaml"}, "table"},
		"unreadable time":          {[]string{"health", "--since", "soon"}, `--since "soon" is no time; want a duration back from now (15m, 2h, 7d)`},
		"range of no length":       {[]string{"kicks", "--since", "1h", "--until", "2h"}, "not before until"},
		"filter it does not take":  {[]string{"anomalies", "--network", "wifi"}, `--network "wifi" is not taken by anomalies`},
		"flag with two words":      {[]string{"heartbeats", "--sdk-version", "3"}, `--sdk-version "3" is not taken by heartbeats`},
		"limit too high":           {[]string{"kicks", "--limit", "10001"}, "1 to 10000"},
		"session without a name":   {[]string{"session"}, "<session>"},
		"session of a time":        {[]string{"session", "s1", "--since", "1h"}, `--since "1h" is not taken by session`},
		"sql without a query":      {[]string{"sql"}, "<query>"},
		"sql with an empty query":  {[]string{"sql", " "}, "empty"},
		"sql with a filter":        {[]string{"sql", "SELECT 1", "--app", "a"}, `--app "a" is not taken by sql; want one of limit`},
		"serve with a filter":      {[]string{"serve", "--room", "a"}, `--room "a" is not taken by serve; want no parameter`},
		"two words after a flag":   {[]string{"kicks", "--room", "a", "b"}, "b"},
		"limit that is no integer": {[]string{"sql", "SELECT 1", "--limit", "x"}, `--limit "x"`},
	} {
		got := runWith(t, elsewhere(t), "", tc.args...)
		if got.code != commandline.Usage || !strings.Contains(got.stderr, tc.want) || got.stdout != "" {
			t.Errorf("%s: exit %d, stderr %q, stdout %q; want exit 2 and %q", name, got.code, got.stderr, got.stdout, tc.want)
		}
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	all := runWith(t, nil, "", "--help")
	if all.code != commandline.Done || all.stderr != "" {
		t.Errorf("--help: exit %d, stderr %q", all.code, all.stderr)
	}
	for _, q := range query.Questions() {
		if !strings.Contains(all.stdout, "  "+q.Name+" ") {
			t.Errorf("--help does not list %s", q.Name)
		}
		one := runWith(t, nil, "", q.Name, "--help")
		definition, _, _ := strings.Cut(q.Definition(), " ")
		if one.code != commandline.Done || !strings.Contains(one.stdout, definition) {
			t.Errorf("%s --help: exit %d, without its definition:\n%s", q.Name, one.code, one.stdout)
		}
	}
	for _, name := range []string{"DATABASE_URL", "ROOMTRAIL_DATA_DIR", "ROOMTRAIL_SINCE", "ROOMTRAIL_SDK_VERSION"} {
		if !strings.Contains(all.stdout, "["+name+"]") {
			t.Errorf("--help does not name %s", name)
		}
	}
}

// Every parameter of a question is a flag of that name, and every such flag a
// parameter of some question.
func TestFlagsAreParameters(t *testing.T) {
	t.Parallel()
	given := (&flags{}).given()
	used := make(map[string]bool)
	for _, q := range query.Questions() {
		for _, name := range q.Names() {
			used[name] = true
			if _, ok := given[name]; !ok {
				t.Errorf("%s takes %s, which is no flag", q.Name, name)
			}
		}
	}
	for name := range given {
		if !used[name] {
			t.Errorf("--%s is a parameter of no question", name)
		}
	}
}

func TestEnvironmentStandsInForFlags(t *testing.T) {
	t.Parallel()
	env := elsewhere(t)
	env["ROOMTRAIL_SINCE"] = "soon"
	if got := runWith(t, env, "", "health"); got.code != commandline.Usage || !strings.Contains(got.stderr, `"soon"`) {
		t.Errorf("exit %d, %q; want the value of ROOMTRAIL_SINCE refused", got.code, got.stderr)
	}
	if got := runWith(t, env, "", "health", "--since", "1h"); got.code != commandline.Failed {
		t.Errorf("exit %d, %q; want the flag to win", got.code, got.stderr)
	}
}

func TestNothingRuns(t *testing.T) {
	t.Parallel()
	env := elsewhere(t)
	dir := env["ROOMTRAIL_DATA_DIR"]
	file := filepath.Join(dir, "endpoint.json")
	for _, tc := range []struct{ name, content, want string }{
		{"no endpoint file", "", "no " + file},
		{"a broken file", "{", "read " + file},
		{"a file without a reader", `{"pid":1}`, "reader_url is empty"},
		{"a stack that is gone", `{"pid":1,"reader_url":"postgres://r@/db?host=` + dir + `"}`, "the stack of " + dir},
	} {
		if tc.content != "" {
			if err := os.WriteFile(file, []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got := runWith(t, env, "", "health")
		if got.code != commandline.Failed || !strings.Contains(got.stderr, tc.want) {
			t.Errorf("%s: exit %d, %q; want exit 1 and %q", tc.name, got.code, got.stderr, tc.want)
		}
		if tc.name != "a broken file" && !strings.Contains(got.stderr, "go run ./cmd/demo") {
			t.Errorf("%s: %q does not say how to start a stack", tc.name, got.stderr)
		}
	}
	env["DATABASE_URL"] = "postgres://r:hidden@/db?host=" + dir
	got := runWith(t, env, "", "kicks")
	if got.code != commandline.Failed || !strings.Contains(got.stderr, "check DATABASE_URL") || strings.Contains(got.stderr, "hidden") {
		t.Errorf("exit %d, %q; want exit 1, DATABASE_URL named and its password not", got.code, got.stderr)
	}
}

func TestServeKeepsToLoopbackWithoutKeys(t *testing.T) {
	t.Parallel()
	env := map[string]string{"DATABASE_URL": "postgres://r@/db?host=" + t.TempDir()}
	for _, listen := range []string{":0", "0.0.0.0:0", "[::]:0"} {
		got := runWith(t, env, "", "serve", "--listen", listen)
		if got.code != commandline.Failed || !strings.Contains(got.stderr, "ROOMTRAIL_READ_KEYS") {
			t.Errorf("--listen %s: exit %d, %q; want it refused", listen, got.code, got.stderr)
		}
	}
	got := runWith(t, env, "", "serve", "--listen", "nowhere")
	if got.code != commandline.Failed || !strings.Contains(got.stderr, "listen on nowhere") {
		t.Errorf("exit %d, %q; want the address named", got.code, got.stderr)
	}
}

func TestReadKeys(t *testing.T) {
	t.Parallel()
	if got, want := readKeys(" k1, ,k2,"), []string{"k1", "k2"}; !slices.Equal(got, want) {
		t.Errorf("readKeys = %q, want %q", got, want)
	}
	if got := readKeys(" , "); got != nil {
		t.Errorf("readKeys of nothing = %q", got)
	}
}

// started runs serve until the test ends it and returns its address.
func started(t *testing.T, env map[string]string, args ...string) (url string, stop func() outcome) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	read, write := io.Pipe()
	var stderr bytes.Buffer
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...), strings.NewReader(""), write, &stderr,
			func(name string) string { return env[name] })
		write.Close()
	}()
	line := make([]byte, 200)
	n, err := read.Read(line)
	if err != nil {
		cancel()
		t.Fatalf("serve ended with %d before it listened: %s", <-done, stderr.String())
	}
	stop = func() outcome {
		cancel()
		return outcome{code: <-done, stderr: stderr.String()}
	}
	return strings.TrimSpace(strings.TrimPrefix(string(line[:n]), "listening on ")), stop
}

// Not parallel: a process that another test forks holds our listener open until
// its exec.
func TestServeStopsCleanly(t *testing.T) {
	url, stop := started(t, map[string]string{"DATABASE_URL": "postgres://r@/db?host=" + t.TempDir(), "ROOMTRAIL_READ_KEYS": "k1"})
	client := http.Client{Timeout: 10 * time.Second}
	for path, want := range map[string]int{"healthz": 200, "v1/kicks": 401} {
		r, err := client.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != want {
			t.Errorf("%s is %d, want %d", path, r.StatusCode, want)
		}
	}
	if got := stop(); got.code != commandline.Done {
		t.Errorf("serve ended with %d: %s", got.code, got.stderr)
	}
	if c, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/")); err == nil {
		c.Close()
		t.Error("it still listens")
	}
}

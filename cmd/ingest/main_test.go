package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/zstd"

	"roomtrail/commandline"
	"roomtrail/commandline/commandlinetest"
	"roomtrail/embedded"
)

// command runs the program to its end.
func command(t testing.TB, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs commandlinetest.Output
	code = run(context.Background(), args, strings.NewReader(stdin), &out, &errs, []string{"PATH=" + os.Getenv("PATH")})
	return code, out.String(), errs.String()
}

// lines are n events of one session a ten.
func lines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"app_id":"app","room_id":"r","user_id":"u%d","session_id":"s%d","seq":%d,"reason":"LOGINED","error_code":0,"occurred_at":"2026-03-01T10:00:%02dZ","platform":"web"}`+"\n", i/10, i/10, i%10, i%60)
	}
	return b.String()
}

func write(t testing.TB, path string, b []byte) string {
	t.Helper()
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWrongUsageExitsWith2AndSaysWhatWouldBeRight(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"unknown command":    {[]string{"sevre"}, "Try: ingest --help"},
		"unknown flag":       {[]string{"serve", "--port", "1"}, "unknown flag"},
		"unknown role":       {[]string{"serve", "--role", "door"}, "want all, intake or project"},
		"open door":          {[]string{"serve", "--listen", "0.0.0.0:0", "--data-dir", dir}, "ROOMTRAIL_WRITE_KEYS"},
		"bad key":            {[]string{"serve", "--write-keys", "nokey"}, "want KEY=APP"},
		"half of TLS":        {[]string{"serve", "--tls-cert", "x.pem"}, "belong together"},
		"bad proxy":          {[]string{"serve", "--trusted-proxies", "proxy"}, "want an address or a network"},
		"no such file":       {[]string{"import", "--data-dir", dir, dir + "/missing.ndjson"}, "no such file"},
		"an empty directory": {[]string{"import", "--data-dir", dir, dir}, "holds no events"},
		"nothing to import":  {[]string{"import"}, "<file>"},
	} {
		code, _, stderr := command(t, "", c.args...)
		if code != commandline.Usage || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit %d, %q; want 2 and %q", name, code, stderr, c.want)
		}
	}
	if code, stdout, _ := command(t, ""); code != commandline.Done || !strings.Contains(stdout, "serve") {
		t.Errorf("without arguments: exit %d, %q; want the help", code, stdout)
	}
	if code, _, stderr := command(t, "", "status", "--data-dir", dir); code != commandline.Failed || !strings.Contains(stderr, "go run ./cmd/demo") {
		t.Errorf("status without a stack: exit %d, %q", code, stderr)
	}
}

// serving runs `ingest serve` until the test ends.
func serving(t *testing.T, dir string, env ...string) (url string, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var out, errs commandlinetest.Output
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"serve", "--data-dir", dir, "--listen", freePort(t)}, strings.NewReader(""), &out, &errs, env)
	}()
	var once sync.Once
	code := -1
	stop = func() int {
		once.Do(func() { cancel(); code = <-done })
		return code
	}
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("serve said:\n%s", errs.String())
		}
	})
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if e, err := embedded.Find(dir); err == nil && e.IntakeURL != "" {
			return e.IntakeURL, stop
		}
		select {
		case code = <-done:
			t.Fatalf("serve ended with %d:\n%s", code, errs.String())
		default:
		}
	}
	t.Fatalf("serve did not start:\n%s", errs.String())
	return "", nil
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// rows asks the stack of a directory.
func rows(t *testing.T, dir, sql string) (n int) {
	t.Helper()
	e, err := embedded.Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(context.Background(), e.ReaderURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(context.Background(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// eventually waits until the projector has come so far.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come true", what)
		}
	}
}

// A stack that takes events, is asked, imports, stops, and goes on with its data.
func TestServeImportStatusAndRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url, stop := serving(t, dir, "ROOMTRAIL_WRITE_KEYS=secret-1=app")

	req, _ := http.NewRequest(http.MethodPost, url+"/v1/events", strings.NewReader(lines(1)))
	res, err := http.DefaultClient.Do(req)
	if err != nil || res.StatusCode != http.StatusUnauthorized {
		t.Fatalf("without a key: %v, %v", res, err)
	}
	req, _ = http.NewRequest(http.MethodPost, url+"/v1/events?key=secret-1", strings.NewReader(lines(20)))
	if res, err = http.DefaultClient.Do(req); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("with the key: %v, %v", res, err)
	}
	eventually(t, "20 events", func() bool { return rows(t, dir, "SELECT count(*) FROM room_events") == 20 })

	// Through the running stack's door; the first 20 are there already.
	file := write(t, filepath.Join(t.TempDir(), "calls.ndjson"), []byte(lines(50)+"{\"app_id\":1}\n\n"+lines(1)))
	code, stdout, stderr := command(t, "", "import", "--data-dir", dir, file)
	if code != commandline.Done || !strings.Contains(stdout, "51 events imported, 1 lines rejected") || !strings.Contains(stderr, "calls.ndjson:51: room_id: it is missing") {
		t.Errorf("import: exit %d, %q, %q", code, stdout, stderr)
	}
	eventually(t, "71 events", func() bool { return rows(t, dir, "SELECT count(*) FROM room_events") == 71 })
	if n := rows(t, dir, "SELECT count(*) FROM room_events WHERE NOT is_copy"); n != 50 {
		t.Errorf("%d events count, want 50", n)
	}
	if n := rows(t, dir, "SELECT count(*) FROM sessions WHERE is_import"); n != 3 {
		t.Errorf("%d sessions are imports, want the 3 that were new", n)
	}

	code, stdout, stderr = command(t, "", "status", "--data-dir", dir)
	if code != commandline.Done || !strings.Contains(stdout, "verified: every acknowledgement follows a flush") || !strings.Contains(stdout, "running") {
		t.Errorf("status: exit %d, %q, %q", code, stdout, stderr)
	}
	if code, _, _ = command(t, "", "healthcheck", url+"/readyz"); code != commandline.Done {
		t.Errorf("healthcheck of a ready door: exit %d", code)
	}
	code, stdout, _ = command(t, "", "migrate", "status", "--data-dir", dir)
	if code != commandline.Done || !strings.Contains(stdout, "up to date") {
		t.Errorf("migrate status: exit %d, %q", code, stdout)
	}
	if code, _, stderr = command(t, "", "serve", "--data-dir", dir, "--listen", freePort(t)); code != commandline.Failed || !strings.Contains(stderr, dir) {
		t.Errorf("a second serve on the directory: exit %d, %q", code, stderr)
	}
	if code := stop(); code != commandline.Done {
		t.Errorf("serve ended with %d", code)
	}
	if code, _, _ = command(t, "", "healthcheck", url+"/readyz"); code != commandline.Failed {
		t.Errorf("healthcheck of a closed door: exit %d", code)
	}

	_, _ = serving(t, dir)
	if n := rows(t, dir, "SELECT count(*) FROM room_events"); n != 71 {
		t.Errorf("%d events after a restart, want 71", n)
	}
}

// Without a running stack an import starts what it needs, and packed files
// and standard input are read alike. A file is imported once.
func TestImportWithoutAStack(t *testing.T) {
	t.Parallel()
	dir, files := t.TempDir(), t.TempDir()
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, _ = w.Write([]byte(lines(30)))
	_ = w.Close()
	z, _ := zstd.NewWriter(nil)
	a := write(t, filepath.Join(files, "a.ndjson.gz"), zipped.Bytes())
	b := write(t, filepath.Join(files, "b.zst"), z.EncodeAll([]byte(strings.ReplaceAll(lines(2500), `"app"`, `"other"`)), nil))
	code, stdout, stderr := command(t, strings.ReplaceAll(lines(5), `"app"`, `"third"`), "import", "--data-dir", dir, a, b, "-")
	if code != commandline.Done || !strings.Contains(stdout, "2535 events imported, 0 lines rejected") {
		t.Fatalf("exit %d, %q, %q", code, stdout, stderr)
	}
	code, stdout, stderr = command(t, "", "import", "--data-dir", dir, a)
	if code != commandline.Done || !strings.Contains(stdout, "0 events imported, 0 lines rejected, 30 done before") || !strings.Contains(stderr, "--again") {
		t.Errorf("imported again: exit %d, %q, %q", code, stdout, stderr)
	}
	code, stdout, stderr = command(t, lines(2)+"nonsense\n"+lines(3), "import", "--data-dir", dir, "--strict", "-")
	if code != commandline.Failed || !strings.Contains(stderr, "line 3: ") || !strings.Contains(stdout, "2 events imported") {
		t.Errorf("strict: exit %d, %q", code, stderr)
	}
	_, _ = serving(t, dir)
	for app, want := range map[string]int{"app": 32, "other": 2500, "third": 5} {
		if n := rows(t, dir, "SELECT count(*) FROM room_events WHERE is_import AND app_id = '"+app+"'"); n != want {
			t.Errorf("app %s has %d events, want %d", app, n, want)
		}
	}
}

// An import that was stopped goes on where its last batch became durable.
func TestAnImportGoesOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := write(t, filepath.Join(t.TempDir(), "f.ndjson"), []byte(lines(40)))
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	_, _ = serving(t, dir)
	running, err := embedded.Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	made, err := (&doorSink{url: running.IntakeURL}).log(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	p, err := resume(dir, file, made)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.save(25); err != nil { // as if killed after 25 lines
		t.Fatal(err)
	}
	code, stdout, stderr := command(t, "", "import", "--data-dir", dir, path)
	if code != commandline.Done || !strings.Contains(stdout, "15 events imported, 0 lines rejected, 25 done before") {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
}

func TestLongLinesAreReadWhole(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3<<20)
	code, stdout, stderr := command(t, long+"\n"+lines(1), "import", "--data-dir", t.TempDir(), "-")
	if code != commandline.Done || !strings.Contains(stdout, "1 events imported, 1 lines rejected") || !strings.Contains(stderr, "-:1: the event has") {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
}

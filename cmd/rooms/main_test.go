package main

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"roomtrail/commandline"
	"roomtrail/commandline/commandlinetest"
)

// patience is how long a test waits for what must come.
const patience = 40 * time.Second

// process is the program, running in this one.
type process struct {
	stdout, stderr commandlinetest.Output
	interrupt      context.CancelFunc
	ended          chan int
}

func start(t testing.TB, env map[string]string, args ...string) *process {
	t.Helper()
	ctx, interrupt := context.WithCancel(context.Background())
	p := &process{interrupt: interrupt, ended: make(chan int, 1)}
	go func() {
		p.ended <- run(ctx, args, strings.NewReader(""), &p.stdout, &p.stderr, func(name string) string { return env[name] })
	}()
	t.Cleanup(func() {
		interrupt()
		if t.Failed() {
			t.Logf("%s printed\n%s%s", strings.Join(args, " "), p.stdout.String(), p.stderr.String())
		}
	})
	return p
}

// wait waits for the exit code.
func (p *process) wait(t testing.TB) int {
	t.Helper()
	select {
	case code := <-p.ended:
		return code
	case <-time.After(patience):
		t.Fatalf("it does not end within %s", patience)
		return 0
	}
}

// shows waits until something was printed.
func (p *process) shows(t testing.TB, text string) {
	t.Helper()
	for end := time.Now().Add(patience); !strings.Contains(p.stdout.String(), text); {
		if time.Now().After(end) {
			t.Fatalf("not printed within %s: %q", patience, text)
		}
		time.Sleep(5 * time.Millisecond) // between two looks
	}
}

// command runs the program to its end.
func command(t testing.TB, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	p := start(t, nil, args...)
	code = p.wait(t)
	return code, p.stdout.String(), p.stderr.String()
}

func TestWrongUsageExitsWith2AndSaysWhatWouldBeRight(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"unknown command":    {[]string{"sevre"}, "try rooms --help"},
		"unknown flag":       {[]string{"serve", "--port", "1"}, "unknown flag"},
		"open to everybody":  {[]string{"serve", "--listen", "0.0.0.0:0"}, "set --token-secret or listen on 127.0.0.1"},
		"an app alone":       {[]string{"serve", "--app", "demo"}, "want APP=SECRET"},
		"an app twice":       {[]string{"serve", "--app", "a=1", "--app", "a=2"}, "app a is there twice"},
		"H of nothing":       {[]string{"serve", "--heartbeat-timeout", "0s"}, "want more than 0"},
		"fewer than nobody":  {[]string{"serve", "--max-members=-1"}, "want 0 for no limit"},
		"kick without token": {[]string{"serve", "--kick-on-expiry"}, "without --token-secret"},
		"half a callback":    {[]string{"serve", "--callback-url", "http://127.0.0.1:1"}, "belong together"},
		"no callback URL":    {[]string{"serve", "--callback-url", "backend", "--callback-secret", "s"}, `--callback-url is "backend"`},
		"a cut of what":      {[]string{"join", "--cut", "5s"}, "want FOR@AFTER"},
		"cuts that meet":     {[]string{"join", "--cut", "5s@1s", "--cut", "1s@6s"}, "overlap or meet"},
		"cuts in cuts":       {[]string{"join", "--cut", "5s@1s", "--cut", "1s@2s"}, "overlap or meet"},
		"no such platform":   {[]string{"join", "--platform", "abacus"}, "want one such as web"},
		"no heartbeat":       {[]string{"join", "--heartbeat", "0s"}, "--heartbeat is 0s"},
		"no server":          {[]string{"join", "--url", "here"}, `URL "here" names no server`},
		"no intake":          {[]string{"join", "--intake", "here"}, `--intake is "here"`},
	} {
		code, _, stderr := command(t, c.args...)
		if code != commandline.Usage || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit code %d, says %q; want 2, and %q", name, code, stderr, c.want)
		}
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"--help"}, {"serve", "--help"}, {"join", "--help"}} {
		code, stdout, stderr := command(t, args...)
		if code != commandline.Done || !strings.Contains(stdout, "Usage: rooms") || stderr != "" {
			t.Errorf("%q: exit code %d, prints %q and %q; want 0 and the help", args, code, stdout, stderr)
		}
	}
	if _, stdout, _ := command(t, "serve", "--help"); !strings.Contains(stdout, "md5sum") || !strings.Contains(stdout, "[ROOMTRAIL_TOKEN_SECRET]") {
		t.Errorf("the help of serve lacks the recipe of a signature, or the environment: %s", stdout)
	}
}

func TestWordsThatAreTyped(t *testing.T) {
	t.Parallel()
	reader, writer := io.Pipe()
	typed := words(reader)
	go func() { io.WriteString(writer, "cut\n  mend \nlogout"); writer.Close() }()
	var got []string
	for word := range typed {
		got = append(got, word)
	}
	if s := strings.Join(got, ","); s != "cut,mend,logout" {
		t.Errorf("read %q, want cut,mend,logout", s)
	}
}

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/commandline/commandlinetest"
	"roomtrail/embedded"
)

// The demo starts, shows a living fleet with all three cases, kicks and failed
// logins within moments, answers over
// HTTP, stops cleanly, and goes on with the same data and key.
func TestDemo(t *testing.T) {
	t.Parallel()
	d := demo{DataDir: t.TempDir(), Listen: "127.0.0.1:0", QueryListen: "127.0.0.1:0"}
	first := d.start(t)
	for what, least := range map[string]int{
		"sessions": 300, "kicks": 10, "anomalies": 3, "sessions WHERE login_outcome = 'failed'": 3,
		"interruptions WHERE recovery_case = 1": 20, "interruptions WHERE recovery_case = 2": 5, "interruptions WHERE recovery_case = 3": 3,
		"server_visits WHERE agreement = 'agree'": 200, "heartbeat_timeouts WHERE provenance = 'witnessed'": 5,
		"sessions WHERE ended_by IS NULL AND last_event_at > now() - interval '5 min'": 1,
	} {
		first.until(t, what, least)
	}
	page, err := http.Get(first.endpoint.QueryURL + "/v1/health")
	if err != nil {
		t.Fatal(err)
	}
	defer page.Body.Close()
	if text, _ := io.ReadAll(page.Body); page.StatusCode != http.StatusOK || !strings.Contains(string(text), `"rows"`) {
		t.Errorf("the query API answers %s: %s", page.Status, text)
	}
	before := first.count(t, "sessions")
	first.stop(t)
	for _, want := range []string{"/v1/events", "write key demo-", "go run ./cmd/query", "health", "Stopped"} {
		if !strings.Contains(first.out.String(), want) {
			t.Errorf("the demo did not say %q:\n%s", want, first.out.String())
		}
	}
	d.Quiet = true
	second := d.start(t)
	if n := second.count(t, "sessions"); n < before {
		t.Errorf("%d sessions after a restart, were %d", n, before)
	}
	second.stop(t)
	key := strings.Fields(strings.SplitAfter(first.out.String(), "write key ")[1])[0]
	if !strings.Contains(second.out.String(), key) {
		t.Error("the second start has another key")
	}
}

type running struct {
	out      *commandlinetest.Output
	endpoint embedded.Endpoint
	cancel   context.CancelFunc
	done     chan error
}

func (d *demo) start(t *testing.T) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{out: new(commandlinetest.Output), cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- d.run(ctx, r.out, r.out) }()
	t.Cleanup(cancel)
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var err error
		if r.endpoint, err = embedded.Find(d.DataDir); err == nil && r.endpoint.QueryURL != "" {
			return r
		}
	}
	t.Fatalf("the demo did not start:\n%s", r.out)
	return nil
}

func (r *running) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
}

func (r *running) count(t *testing.T, view string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), r.endpoint.ReaderURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(context.Background(), fmt.Sprintf("SELECT count(*) FROM %s", view)).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func (r *running) until(t *testing.T, view string, least int) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); r.count(t, view) < least; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s holds %d rows, want %d:\n%s", view, r.count(t, view), least, r.out)
		}
	}
}

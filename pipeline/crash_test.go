package pipeline_test

import (
	"context"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/pipeline"
)

// A crash of the database loses its newest commits, rows and position
// together. What the process remembers of them must go with them.
func TestADatabaseThatCrashesLosesNothing(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	p, err := pipeline.Start(ctx, pipeline.Config{
		DataDir: t.TempDir(), Intake: true, Project: true, Listen: "127.0.0.1:0", MaxBytes: 256 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		stopping, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_ = p.Stop(stopping) // a server that is recovering may have to be cut off
	}()
	l := &ledger{accepted: map[string]int{}}
	loading, enough := context.WithCancel(ctx)
	var workers sync.WaitGroup
	for w := range 4 {
		workers.Go(func() { load(loading, p.IntakeURL, w, l) })
	}
	for range 3 {
		time.Sleep(500 * time.Millisecond) // under load
		crash(t, p.DatabaseURL())
	}
	time.Sleep(300 * time.Millisecond)
	enough()
	workers.Wait()
	l.unknown++ // the door was never closed: nothing had to be sent again
	drain, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := p.Drain(drain); err != nil {
		t.Fatal(err)
	}
	check(t, whole{intake: p.IntakeURL(), reader: p.ReaderURL()}, l)
}

// crash kills one server process of Postgres, on which it restarts all of
// them and recovers from its log.
func crash(t *testing.T, url string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Logf("still recovering: %v", err)
		return
	}
	defer conn.Close(ctx)
	var pid int
	if err := conn.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

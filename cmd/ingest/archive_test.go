package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/commandline"
	"roomtrail/events"
	"roomtrail/pipeline"
	"roomtrail/readmodel/readmodeltest"
	"roomtrail/sim"
)

func TestMain(m *testing.M) { os.Exit(readmodeltest.Main(m)) }

// What a file keeps of a simulated hour reads, once imported, as if its
// reporters had posted it themselves: every row has the same times.
func TestAnImportReadsAsTheDayItself(t *testing.T) {
	t.Parallel()
	lived, livedRows := archiveStack(t)
	var archive bytes.Buffer
	playInto(t, lived, &archive)
	want := livedRows()
	if strings.Count(want, "\n") < 100 {
		t.Fatalf("the day was short:\n%s", want)
	}

	file := write(t, filepath.Join(t.TempDir(), "day.ndjson"), archive.Bytes())
	through, throughRows := archiveStack(t)
	if code, stdout, stderr := command(t, "", "import", "--data-dir", through.dir, file); code != commandline.Done || !strings.Contains(stdout, " 0 lines rejected") {
		t.Fatalf("import through a door: exit %d, %q, %q", code, stdout, stderr)
	}
	if got := throughRows(); got != want {
		t.Errorf("through the door: %s", firstDifference(got, want))
	}

	owner, reader := readmodeltest.Database(t)
	dir := t.TempDir()
	if code, stdout, stderr := command(t, "", "import", "--data-dir", dir, "--database-url", owner, file); code != commandline.Done || !strings.Contains(stdout, " 0 lines rejected") {
		t.Fatalf("import without a stack: exit %d, %q, %q", code, stdout, stderr)
	}
	if got := timesOf(t, reader); got != want {
		t.Errorf("without a stack: %s", firstDifference(got, want))
	}
}

// clocked is a stack whose clock the test sets.
type clocked struct {
	*pipeline.Pipeline
	dir string
	now atomic.Pointer[time.Time]
}

func archiveStack(t *testing.T) (*clocked, func() string) {
	t.Helper()
	owner, reader := readmodeltest.Database(t)
	s := &clocked{dir: t.TempDir()}
	p, err := pipeline.Start(t.Context(), pipeline.Config{
		DatabaseURL: owner, DataDir: s.dir, Throwaway: true, Intake: true, Project: true, Listen: "127.0.0.1:0", MaxBytes: 64 << 20,
		Now: func() time.Time {
			if at := s.now.Load(); at != nil {
				return *at
			}
			return time.Now()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	s.Pipeline = p
	return s, func() string {
		if err := p.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		return timesOf(t, reader)
	}
}

// playInto posts a small world at its own times, and keeps what it posts as
// `rooms simulate --out` would.
func playInto(t *testing.T, s *clocked, archive *bytes.Buffer) {
	t.Helper()
	world, err := sim.New(sim.Config{Seed: 7, Scenario: "mixed,bad-clocks", Logins: 60})
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, ok := world.Next(); !ok {
			return
		}
		for _, d := range world.Step().Deliveries {
			s.now.Store(&d.At)
			body := fmt.Appendf(nil, `{"sent_at":%q,"events":[`, d.SentAt.Format(time.RFC3339Nano))
			for i := range d.Events {
				if i > 0 {
					body = append(body, ',')
				}
				line := events.AppendReport(nil, &d.Events[i])
				body = append(body, line...)
				fmt.Fprintf(archive, `%s,"sent_at":%q,"received_at":%q}`+"\n",
					line[:len(line)-1], d.SentAt.Format(time.RFC3339Nano), d.At.Format(time.RFC3339Nano))
			}
			res, err := http.Post(s.IntakeURL()+"/v1/events", "application/json", bytes.NewReader(append(body, "]}"...)))
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != http.StatusOK {
				t.Fatalf("POST answers %s", res.Status)
			}
		}
	}
}

// timesOf is everything with a time in it that SQL says of the day.
func timesOf(t *testing.T, reader string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), reader)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var out strings.Builder
	for _, sql := range []string{
		`SELECT 'event', room_id, user_id, session_id, seq, is_copy, source, trust, occurred_at, happened_at, received_at, clock_offset_ms FROM room_events ORDER BY 2, 3, 4, 5, stream_seq`,
		`SELECT 'login', session_id, login_no, login_started_at, logined_at, ended_at, connected_ms, reconnecting_ms, first_received_at, last_received_at FROM sessions ORDER BY 2, 3`,
		`SELECT 'break', session_id, login_no, interruption_no, started_at, ended_at, start_received_at, end_received_at, duration_ms FROM interruptions ORDER BY 2, 3, 4`,
	} {
		rows, err := conn.Query(t.Context(), sql)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			values, err := rows.Values()
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(&out, values...)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d is\n%s\nwant\n%s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

// A directory gives its files in the order of their names, whatever they are
// packed with, and leaves the rest alone.
func TestADirectoryIsImported(t *testing.T) {
	t.Parallel()
	dir, files := t.TempDir(), t.TempDir()
	if err := os.Mkdir(filepath.Join(files, "2026"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(files, "b.jsonl"), []byte(lines(3)))
	write(t, filepath.Join(files, "2026", "a.json"), []byte("nonsense\n"+strings.ReplaceAll(lines(4), `"app"`, `"other"`)))
	write(t, filepath.Join(files, "README.md"), []byte("no events\n"))
	write(t, filepath.Join(files, ".c.ndjson"), []byte("nor here\n"))
	code, stdout, stderr := command(t, "", "import", "--data-dir", dir, files)
	if code != commandline.Done || !strings.Contains(stdout, "7 events imported, 1 lines rejected") || !strings.Contains(stderr, "2026/a.json:1: ") {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
	code, stdout, _ = command(t, "", "import", "--data-dir", dir, files)
	if code != commandline.Done || !strings.Contains(stdout, "0 events imported, 0 lines rejected") {
		t.Errorf("again: exit %d, %q", code, stdout)
	}
}

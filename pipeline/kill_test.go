package pipeline_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/intake"
	"roomtrail/pipeline"
)

// childDir makes this test binary run a whole pipeline on that directory, to
// be killed.
const childDir = "ROOMTRAIL_TEST_CHILD_DIR"

func child() int {
	p, err := pipeline.Start(context.Background(), pipeline.Config{
		DataDir: os.Getenv(childDir), Intake: true, Project: true, Listen: "127.0.0.1:0", MaxBytes: 256 << 20,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(p.IntakeURL(), p.ReaderURL())
	if err := p.Wait(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return 1
}

// whole is a running child process: embedded NATS, Postgres, door, projector.
type whole struct {
	cmd            *exec.Cmd
	intake, reader string
}

func startChild(t testing.TB, dir string) whole {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = cmd.Wait()
		t.Fatalf("the child did not start: %v\n%s", err, stderr.String())
	}
	intake, reader, _ := strings.Cut(strings.TrimSpace(line), " ")
	return whole{cmd, intake, reader}
}

// orphansDir is a directory that goes when the test ends, as soon as the
// Postgres that a killed process has left behind lets go of it.
func orphansDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "roomtrail-kill-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for try := 0; ; try++ {
			err := os.RemoveAll(dir)
			if err == nil {
				return
			}
			if try == 100 {
				t.Errorf("%s does not go: %v", dir, err)
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
	return dir
}

// ledger is what senders were told.
type ledger struct {
	sync.Mutex
	accepted map[string]int // session: events that were answered as accepted
	unknown  int
}

// load sends sessions of ten events until the context ends, and keeps sending
// what was not answered: that is what a reporter does.
func load(ctx context.Context, url func() string, worker int, l *ledger) {
	for n := 0; ctx.Err() == nil; n++ {
		session := fmt.Sprintf("w%d-%d", worker, n)
		body := sessionBody(session)
		for ctx.Err() == nil {
			if send(ctx, url(), body) {
				l.Lock()
				l.accepted[session] = 10
				l.Unlock()
				break
			}
			l.Lock()
			l.unknown++
			l.Unlock()
			time.Sleep(20 * time.Millisecond)
		}
	}
}

func sessionBody(session string) []byte {
	reasons := []string{"LOGINING", "LOGINED", "RECONNECTING", "RECONNECTED", "RECONNECTING", "RECONNECTED", "RECONNECTING", "RECONNECTED", "RECONNECTING", "RECONNECTED"}
	var list []map[string]any
	for i, r := range reasons {
		code := 0
		if r == "RECONNECTING" {
			code = 1000017
		}
		list = append(list, map[string]any{
			"app_id": "app", "room_id": "r", "user_id": session, "session_id": session, "seq": i, "reason": r, "error_code": code,
			"occurred_at": 1_772_359_200_000 + i*1000, "platform": "web",
		})
	}
	b, _ := json.Marshal(list)
	return b
}

func send(ctx context.Context, url string, body []byte) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/events", bytes.NewReader(body))
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// Killing the whole process under load, again and again: what was answered as
// accepted is stored and counted exactly once.
func TestKillNineLosesNothingAndCountsOnce(t *testing.T) {
	dir := orphansDir(t)
	var mu sync.Mutex
	current := startChild(t, dir)
	url := func() string {
		mu.Lock()
		defer mu.Unlock()
		return current.intake
	}
	l := &ledger{accepted: map[string]int{}}
	ctx, stop := context.WithCancel(context.Background())
	var workers sync.WaitGroup
	for w := range 4 {
		workers.Go(func() { load(ctx, url, w, l) })
	}
	const kills = 3
	for range kills {
		time.Sleep(time.Duration(500+rand.Intn(700)) * time.Millisecond) // under load, at any point of it
		if err := current.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = current.cmd.Wait()
		next := startChild(t, dir)
		mu.Lock()
		current = next
		mu.Unlock()
	}
	time.Sleep(300 * time.Millisecond) // some load after the last one
	stop()
	workers.Wait()
	check(t, current, l)
}

// check compares the ledger with what SQL says, once all is applied.
func check(t *testing.T, w whole, l *ledger) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, w.reader)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	last := logEnd(t, w.intake)
	for position := uint64(0); position < last; {
		if err := conn.QueryRow(ctx, "SELECT position FROM pipeline_status").Scan(&position); err != nil || ctx.Err() != nil {
			t.Fatalf("the projector is at %d of %d: %v", position, last, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	rows, err := conn.Query(ctx, `
SELECT s.session_id, s.interruptions, s.reconnecting_ms, s.missing_events,
       (SELECT count(*) FROM room_events e WHERE e.session_id = s.session_id AND NOT e.is_copy)
FROM sessions s`)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	var id string
	var interruptions, reconnecting, missing, distinct int
	_, err = pgx.ForEachRow(rows, []any{&id, &interruptions, &reconnecting, &missing, &distinct}, func() error {
		if seen[id] {
			t.Errorf("session %s has two logins", id)
		}
		seen[id] = true
		if l.accepted[id] > 0 && (distinct != 10 || interruptions != 4 || reconnecting != 4000 || missing != 0) {
			t.Errorf("session %s: %d events, %d interruptions, %d ms, %d missing; want 10, 4, 4000, 0", id, distinct, interruptions, reconnecting, missing)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for id := range l.accepted {
		if !seen[id] {
			t.Errorf("session %s was accepted and is gone", id)
		}
	}
	t.Logf("%d sessions accepted, %d requests without an answer, %d sessions stored", len(l.accepted), l.unknown, len(seen))
	if len(l.accepted) < 50 || l.unknown == 0 {
		t.Errorf("%d sessions and %d requests without an answer: the load was too small to prove anything", len(l.accepted), l.unknown)
	}
}

// logEnd asks the door for the last sequence of the log.
func logEnd(t *testing.T, url string) uint64 {
	t.Helper()
	res, err := http.Get(url + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var state intake.Readiness
	if err := json.NewDecoder(res.Body).Decode(&state); err != nil || len(state.Partitions) != 1 {
		t.Fatalf("readyz says %+v, %v", state, err)
	}
	return state.Partitions[0].LastSeq
}

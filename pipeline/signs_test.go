package pipeline_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// sign posts signs of life through the real door, at the stack's time.
func (s *stack) sign(t testing.TB, sessions ...string) (every int64) {
	t.Helper()
	var list []map[string]any
	for _, id := range sessions {
		list = append(list, map[string]any{"app_id": "1", "room_id": "r", "user_id": "u-" + id, "session_id": id, "last_seq": 1, "every_ms": 30_000})
	}
	body, err := json.Marshal(map[string]any{"sent_at": time.Now(), "alive": list})
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Post(s.IntakeURL()+"/v1/alive", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct {
		Accepted   int
		AliveEvery int64 `json:"alive_every_ms"`
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || res.StatusCode != http.StatusOK || answer.Accepted != len(sessions) {
		t.Fatalf("%s: %+v, %v", res.Status, answer, err)
	}
	return answer.AliveEvery
}

// ask reads one value at the stack's time.
func (s *stack) ask(t testing.TB, sql string, args ...any) (text string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, s.reader)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "SELECT set_config('roomtrail.now', $1, false)", s.now.Load().Format(time.RFC3339Nano)); err != nil {
		t.Fatal(err)
	}
	if err := conn.QueryRow(ctx, "SELECT coalesce(("+sql+")::text, 'null')", args...).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}

// until waits for an answer; what is asked for is on its way.
func (s *stack) until(t testing.TB, want, sql string, args ...any) {
	t.Helper()
	var got string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if got = s.ask(t, sql, args...); got == want {
			return
		}
	}
	t.Errorf("%s is %s, want %s", sql, got, want)
}

// login reports a Logining and a Logined of a session.
func (s *stack) login(t testing.TB, session string) {
	t.Helper()
	at := s.now.Load().UnixMilli()
	var list []string
	for seq, reason := range []string{"LOGINING", "LOGINED"} {
		list = append(list, fmt.Sprintf(`{"app_id":"1","room_id":"r","user_id":"u-%s","session_id":%q,"seq":%d,"reason":%q,"error_code":0,"occurred_at":%d,"platform":"web"}`, session, session, seq, reason, at))
	}
	s.post(t, fmt.Appendf(nil, "[%s,%s]", list[0], list[1]))
}

// A session that gives signs of life is live, then silent, dark and gone, each
// decided against now; the monitor says once what changed.
func TestPresenceFollowsSignsOfLife(t *testing.T) {
	t.Parallel()
	s := start(t, 1)
	now := time.Now().Add(-time.Hour).Truncate(time.Second)
	at := func(after time.Duration) { moment := now.Add(after); s.now.Store(&moment) }
	at(0)
	for _, id := range []string{"a", "b", "c"} {
		s.login(t, id)
	}
	if every := s.sign(t, "a", "b"); every != 30_000 {
		t.Errorf("reporters are asked to speak every %d ms", every)
	}
	const presence = "SELECT presence FROM sessions WHERE session_id = 'a'"
	s.until(t, "live", presence)
	s.until(t, "unmonitored", "SELECT presence FROM sessions WHERE session_id = 'c'")
	for _, step := range []struct {
		after time.Duration
		want  string
	}{{61 * time.Second, "silent"}, {91 * time.Second, "dark"}, {299 * time.Second, "dark"}, {361 * time.Second, "gone"}} {
		at(step.after)
		if got := s.ask(t, presence); got != step.want {
			t.Errorf("after %v it is %s, want %s", step.after, got, step.want)
		}
	}
	if got := s.ask(t, "SELECT gone_at FROM sessions WHERE session_id = 'a'"); got != s.ask(t, "SELECT $1::timestamptz", now) {
		t.Errorf("gone at %s, want the last sign of life, %s", got, now)
	}
	at(100 * time.Second)
	if got := s.ask(t, "SELECT silent_ms || ' ' || until_h_ms || ' ' || until_w_ms || ' ' || reporting_interruption FROM dark_sessions WHERE session_id = 'a'"); got != "100000 0 200000 false" {
		t.Errorf("the countdowns are %s, want 100000 0 200000 false", got)
	}
}

// The monitor logs what went dark and what came back, each once, also when two
// look at the same time and after a restart.
func TestMonitorSaysOnceWhatChanged(t *testing.T) {
	t.Parallel()
	s := start(t, 1)
	now := func() { moment := time.Now(); s.now.Store(&moment) }
	now()
	s.login(t, "a")
	s.login(t, "b")
	body := []byte(`{"alive":[{"app_id":"1","room_id":"r","user_id":"u-a","session_id":"a","every_ms":400}]}`)
	speak := func() {
		now()
		res, err := http.Post(s.IntakeURL()+"/v1/alive", "application/json", bytes.NewReader(body))
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%v %v", res, err)
		}
		res.Body.Close()
	}
	speak()
	const said = "SELECT string_agg(kind, ' ' ORDER BY occurred_at) FROM room_events WHERE source = 'monitor' AND NOT is_copy AND session_id = 'a'"
	look := func(want string) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); s.ask(t, said) != want; time.Sleep(100 * time.Millisecond) {
			now()
			for range 2 { // at once: the log has not been read in between
				if err := s.Monitor(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			if time.Now().After(deadline) {
				t.Fatalf("the monitor has said %s, want %s", s.ask(t, said), want)
			}
		}
	}
	look("dark")
	speak()
	look("dark back")
	look("dark back dark")
	if n := s.ask(t, "SELECT count(*) FROM room_events WHERE source = 'monitor' AND session_id = 'b'"); n != "0" {
		t.Errorf("%s findings about a session that never gave a sign of life", n)
	}
	if n := s.ask(t, "SELECT missing_events || ' ' || state FROM sessions WHERE session_id = 'a'"); n != "0 Logined" {
		t.Errorf("findings have changed the session to %s", n)
	}
}

package reporter_test

import (
	"fmt"
	"testing"
	"time"

	"roomtrail/events"
	"roomtrail/reporter"
)

var noon = reporter.Clock{Wall: time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC), Monotonic: 1500 * time.Millisecond}

func newReporter(platform string, limit int) *reporter.Reporter {
	n := 0
	return reporter.New(reporter.Config{
		About: events.Event{AppID: "a", UserID: "u", Platform: platform, BootID: "b"}, Limit: limit,
		NewID: func() string { n++; return fmt.Sprint("s", n) },
	})
}

// What a reporter sends, the intake reads, and as the same event.
func TestReportsAreWhatTheIntakeReads(t *testing.T) {
	t.Parallel()
	for platform, extended := range map[string][2]string{
		"web": {"login timeout", `"login timeout"`}, "android": {`{"room_session_id":"7"}`, `{"room_session_id":"7"}`},
	} {
		r := newReporter(platform, 0)
		r.State(noon, "r", events.Logining, 0, "", "login")
		r.Peer(noon, "r", "ADD", "v")
		r.App(noon, "r", "closing")
		r.State(noon, "r", events.LoginFailed, 1002031, extended[0], "")
		if n := len(r.Waiting()); n != 4 {
			t.Fatalf("%d events wait, want 4", n)
		}
		for i, e := range r.Waiting() {
			got, err := events.FromReport(noon.Wall, events.AppendReport(nil, &e))
			if err != nil {
				t.Fatalf("event %d: %v", i, err)
			}
			if field := got.Differs(&e); field != "" {
				t.Errorf("%s: event %d comes out with another %s", platform, i, field)
			}
			if got.Seq != int64(i) || got.SessionID != "s1" {
				t.Errorf("event %d is number %d of %s", i, got.Seq, got.SessionID)
			}
		}
		if got := string(r.Waiting()[3].ExtendedData); got != extended[1] {
			t.Errorf("%s: extended data is %s, want %s", platform, got, extended[1])
		}
	}
}

func TestEachLoginBeginsASession(t *testing.T) {
	t.Parallel()
	r := newReporter("ios", 0)
	for _, step := range []struct {
		room    string
		reason  events.Reason
		session string
		seq     int64
	}{
		{"r", events.Logout, "s1", 0}, // before any login
		{"r", events.Logining, "s2", 0},
		{"r", events.KickOut, "s2", 1},
		{"r", events.Logout, "s2", 2},
		{"q", events.Logining, "s3", 0},
		{"r", events.Logining, "s4", 0},
		{"q", events.Logined, "s3", 1},
	} {
		e := r.State(noon, step.room, step.reason, 0, "{}", "")
		if e.SessionID != step.session || e.Seq != step.seq {
			t.Errorf("%s in %s is %s/%d, want %s/%d", step.reason, step.room, e.SessionID, e.Seq, step.session, step.seq)
		}
	}
	if _, ok := r.App(noon, "other", "hidden"); ok {
		t.Error("an event of a room without a session was taken")
	}
}

// Nothing is dropped in silence: a lost event takes the place of the oldest.
func TestWhatDoesNotFitIsCounted(t *testing.T) {
	t.Parallel()
	r := newReporter("web", 10)
	r.State(noon, "r", events.Logining, 0, "", "login")
	for range 10 {
		r.App(noon, "r", "hidden")
	}
	waiting := r.Waiting()
	last := waiting[len(waiting)-1]
	if len(waiting) != 7 || waiting[0].Seq != 5 || last.Kind != events.Lost || last.Count != 5 || last.Seq != 11 {
		t.Errorf("%d events wait from %d on, the last is %s with %d; want 7 from 5 on, and 5 lost", len(waiting), waiting[0].Seq, last.Kind, last.Count)
	}
	r.Taken(waiting[:6])
	if n := len(r.Waiting()); n != 1 || r.Waiting()[0].Kind != events.Lost {
		t.Errorf("%d events wait after 6 of 7 were taken", n)
	}
}

// What was dropped while a request was under way is not forgotten twice.
func TestTakenAfterShedding(t *testing.T) {
	t.Parallel()
	r := newReporter("web", 10)
	r.State(noon, "r", events.Logining, 0, "", "login")
	sent := append([]events.Event(nil), r.Waiting()...)
	for range 11 {
		r.App(noon, "r", "hidden")
	}
	before := len(r.Waiting())
	r.Taken(sent)
	r.Taken(nil)
	if got := len(r.Waiting()); got != before {
		t.Errorf("%d events wait, want %d: what was taken had been dropped before", got, before)
	}
}

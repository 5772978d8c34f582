package pipeline_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"roomtrail/projections/projectionstest"
	"roomtrail/sim"
)

const callbackSecret = "a callback secret"

// callBack posts a server callback through the real door.
func (s *stack) callBack(t testing.TB, c sim.Callback) {
	t.Helper()
	s.now.Store(&c.At)
	res, err := http.Post(s.IntakeURL()+"/v1/zego/callbacks", "application/json", bytes.NewReader(c.Body("1", c.SentAt, c.Nonce, callbackSecret)))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
		t.Fatalf("the door answers a callback %s: %s", res.Status, text)
	}
}

// heard is what arrived of the callbacks about one stay.
type heard struct{ login, logout bool }

// With a twentieth of all requests and callbacks dropped, what the server saw
// is put beside what the clients said as the simulator knows it to be.
func TestWitnessesAgainstTruth(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a smaller world proves too little")
	}
	d := &day{breaks: map[string][]sim.Interruption{}, happened: map[string]time.Time{}, set: map[string]bool{}, ahead: map[string]time.Duration{}}
	s := start(t, 4)
	world, err := sim.New(sim.Config{Seed: 12, Scenario: "mixed,ghosts", Logins: 1000, Over: 12 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	chance := rand.New(rand.NewPCG(5, 5))
	arrived, calls, ahead := map[string]heard{}, map[string]int{}, map[string]time.Duration{}
	numbers := map[uint64]map[uint64]bool{} // user_update_seq by room_seq, 0 for room_create
	since := time.Time{}
	for {
		if _, ok := world.Next(); !ok {
			break
		}
		out := world.Step()
		for _, delivery := range out.Deliveries {
			if chance.Float64() >= 0.05 {
				d.post(t, s, delivery, ahead)
			}
		}
		for _, c := range out.Callbacks {
			if chance.Float64() < 0.05 {
				continue
			}
			s.callBack(t, c)
			if since.IsZero() {
				since = c.Callback.At
			}
			h := arrived[c.Session]
			h.login, h.logout = h.login || c.Event == "room_login", h.logout || c.Event == "room_logout"
			arrived[c.Session] = h
			if numbers[c.RoomSeq] == nil {
				numbers[c.RoomSeq] = map[uint64]bool{}
			}
			if c.Event != "room_close" {
				numbers[c.RoomSeq][c.UpdateSeq] = true
			}
			calls[fmt.Sprint(c.Event, c.RoomSeq, c.Session)]++
		}
		d.logins = append(d.logins, out.Logins...)
	}
	d.now = world.Now().Add(24 * time.Hour)
	views := s.views(t, d.now)
	d.sessions = bySession(views["sessions"])
	w := witnesses{day: d, arrived: arrived, since: since, visits: map[string]projectionstest.Row{}, timeouts: map[string]bool{}, clientOnly: map[string]int{}}
	for _, row := range views["server_visits"] {
		if id, ok := row["server_session_id"].(string); ok {
			w.visits[id] = row
		} else {
			w.clientOnly[row["session_id"].(string)]++
		}
	}
	for _, row := range views["heartbeat_timeouts"] {
		if row["provenance"] == "witnessed" {
			w.timeouts[row["server_session_id"].(string)] = true
		}
	}
	copies, wantCopies := 0, 0
	for _, row := range views["room_events"] {
		if row["source"] == "server" && row["is_copy"] == true && row["user_id"] != nil {
			copies++
		}
	}
	for key, n := range calls {
		if bytes.HasPrefix([]byte(key), []byte("room_log")) {
			wantCopies += n - 1
		}
	}
	if copies != wantCopies || copies == 0 {
		t.Errorf("%d callbacks are marked as copies, want %d", copies, wantCopies)
	}
	checkGaps(t, numbers, views["anomalies"])
	w.check(t)
}

// checkGaps counts the numbers that are missing between those that came.
func checkGaps(t *testing.T, numbers map[uint64]map[uint64]bool, anomalies []projectionstest.Row) {
	t.Helper()
	want := map[string]int{}
	for roomSeq, came := range numbers {
		last := -1
		for n := range uint64(10_000) {
			if !came[n] {
				continue
			}
			if missing := int(n) - last - 1; last >= 0 && missing > 0 {
				want[fmt.Sprintf("%d missing before user_update_seq %d of room_seq %d", missing, n, roomSeq)]++
			}
			last = int(n)
		}
	}
	for _, a := range anomalies {
		if a["kind"] == "missing_callback" {
			want[a["detail"].(string)]--
		}
	}
	for detail, n := range want {
		if n != 0 {
			t.Errorf("%s: told %d times too often", detail, -n)
		}
	}
	if len(want) < 20 {
		t.Errorf("%d gaps prove too little", len(want))
	}
}

type witnesses struct {
	*day
	arrived    map[string]heard
	since      time.Time
	visits     map[string]projectionstest.Row
	timeouts   map[string]bool
	clientOnly map[string]int

	agree, unmatched, only, witnessed int
}

func (w *witnesses) check(t *testing.T) {
	t.Helper()
	stays := 0
	for i := range w.logins {
		l := &w.logins[i]
		for n := range l.Visits {
			stays++
			w.checkStay(t, l, n)
		}
		w.checkLogin(t, l)
	}
	t.Logf("%d stays: %d agree, %d have no login of a client; %d seen by a client alone; %d ends witnessed, %d heartbeat timeouts",
		stays, w.agree, w.unmatched, w.only, w.witnessed, len(w.timeouts))
	if w.agree < stays/2 || w.unmatched == 0 || w.only == 0 || w.witnessed < 20 || len(w.timeouts) < 50 {
		t.Error("too little of something to prove anything")
	}
}

// checkStay holds one stay that really was against what is told of it.
func (w *witnesses) checkStay(t *testing.T, l *sim.Login, n int) {
	t.Helper()
	v := &l.Visits[n]
	h := w.arrived[v.SessionID]
	row, isThere := w.visits[v.SessionID]
	if isThere != (h.login || h.logout) {
		t.Errorf("stay %s: told is %v, its callbacks %+v", v.SessionID, isThere, h)
		return
	}
	isTimeout := h.logout && (v.Reason == 1 || v.Reason == 2)
	if w.timeouts[v.SessionID] != isTimeout {
		t.Errorf("stay %s: a witnessed timeout is %v, want %v", v.SessionID, w.timeouts[v.SessionID], isTimeout)
	}
	if !isThere {
		return
	}
	is(t, l, row, "login_at", v.LoginAt.Truncate(time.Millisecond))
	if h.logout {
		is(t, l, row, "logout_at", v.LogoutAt.Truncate(time.Millisecond))
		is(t, l, row, "logout_reason", v.Reason)
	} else {
		is(t, l, row, "logout_at", nil)
	}
	came, ok := w.entry(l, n)
	switch {
	case ok && came.Sub(v.LoginAt).Abs() < 9*time.Second:
		is(t, l, row, "session_id", l.SessionID)
		if row["agreement"] != "agree" {
			t.Errorf("stay %s of %s: agreement is %v: %v %v ended %v by %v, stays %+v", v.SessionID, l.SessionID, row["agreement"],
				row["logout_reason"], row["logout_at"], w.sessions[l.SessionID][0]["ended_at"], w.sessions[l.SessionID][0]["ended_by"], l.Visits)
		}
		w.agree++
	case row["session_id"] == nil:
		is(t, l, row, "agreement", "server_only")
		w.unmatched++
	}
}

// entry is when the client's word for its n-th stay must read to have been
// said, false where it was not delivered.
func (w *witnesses) entry(l *sim.Login, n int) (time.Time, bool) {
	v := &l.Visits[n]
	for _, e := range l.Events {
		happened, delivered := w.happened[fmt.Sprintf("%s/%d", l.SessionID, e.Seq)]
		if (e.Reason == "Logined" || e.Reason == "Reconnected") && delivered && e.At.Sub(v.LoginAt).Abs() < 2*time.Second {
			return happened, true
		}
	}
	return time.Time{}, false
}

// checkLogin looks for stays that only the client tells of, and for ends that
// only the server saw.
func (w *witnesses) checkLogin(t *testing.T, l *sim.Login) {
	t.Helper()
	unseen, isOut := 0, true
	var last *sim.Visit // that is known to be of this login
	for n := range l.Visits {
		v := &l.Visits[n]
		h := w.arrived[v.SessionID]
		if h.login || h.logout {
			if isOut = h.logout; w.visits[v.SessionID]["session_id"] == l.SessionID {
				last = v
			}
			continue
		}
		if came, ok := w.entry(l, n); ok && isOut && v.LoginAt.After(w.since) && came.Sub(v.LoginAt).Abs() < 9*time.Second {
			unseen++
		}
	}
	if got := w.clientOnly[l.SessionID]; got != unseen && !w.isClockOff(l) {
		t.Errorf("%s: %d stays are told by the client alone, want %d: %+v", l.SessionID, got, unseen, *l)
	}
	w.only += unseen
	rows := w.sessions[l.SessionID]
	if len(rows) != 1 || rows[0]["end_provenance"] != "witnessed" {
		return
	}
	w.witnessed++
	want := map[int]string{0: "server_logout", 1: "heartbeat_timeout", 2: "heartbeat_timeout", 3: "server_kick", 4: "token_expired"}[last.Reason]
	is(t, l, rows[0], "ended_by", want)
	is(t, l, rows[0], "ended_at", last.LogoutAt.Truncate(time.Millisecond))
	for _, e := range l.Events {
		if _, delivered := w.happened[fmt.Sprintf("%s/%d", l.SessionID, e.Seq)]; delivered && e.Seq > 0 && e.Reason == l.EndedBy && l.EndedBy != "" {
			t.Errorf("%s: it reads as witnessed, and the client said %s", l.SessionID, e.Reason)
		}
	}
}

// isClockOff says whether the client's times may be far from the truth.
func (w *witnesses) isClockOff(l *sim.Login) bool {
	return w.set[l.SessionID] || l.ClockMS != 0
}

package pipeline_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"roomtrail/events"
	"roomtrail/projections/projectionstest"
	"roomtrail/sim"
)

// A simulated day goes through the door, JetStream and Postgres. What was
// delivered whole reads in SQL as it really was; what was not reads as what is
// left of it says, told again here from the contract's rules.
func TestTruthAgainstFigures(t *testing.T) {
	t.Parallel()
	logins := 1200
	if testing.Short() {
		logins = 300
	}
	for _, partitions := range []int{1, 4} {
		t.Run(fmt.Sprint(partitions, " partitions"), func(t *testing.T) {
			t.Parallel()
			d := simulateDay(t, partitions, sim.Config{Seed: uint64(partitions), Scenario: "mixed,late-flood,bad-clocks,mixed", Logins: logins, Over: 24 * time.Hour})
			d.compare(t)
		})
	}
}

// day is a world that has been, and what SQL says of it.
type day struct {
	logins   []sim.Login
	breaks   map[string][]sim.Interruption // by session
	happened map[string]time.Time          // by session/seq: on the intake's clock
	set      map[string]bool               // sessions during which the clock was set, or before their reports went
	ahead    map[string]time.Duration      // by session: how much ahead its device was when it sent
	now      time.Time

	sessions, interruptions, kicks, anomalies map[string][]projectionstest.Row
}

func simulateDay(t *testing.T, partitions int, c sim.Config) *day {
	t.Helper()
	world, err := sim.New(c)
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, partitions)
	d := &day{breaks: map[string][]sim.Interruption{}, happened: map[string]time.Time{}, set: map[string]bool{}, ahead: map[string]time.Duration{}}
	ahead := map[string]time.Duration{}
	for {
		if _, ok := world.Next(); !ok {
			break
		}
		out := world.Step()
		for _, delivery := range out.Deliveries {
			d.post(t, s, delivery, ahead)
		}
		d.logins = append(d.logins, out.Logins...)
		for _, b := range out.Breaks {
			d.breaks[b.SessionID] = append(d.breaks[b.SessionID], b)
		}
	}
	if len(d.logins) != c.Logins {
		t.Fatalf("the truth has %d logins, want %d", len(d.logins), c.Logins)
	}
	d.now = world.Now().Add(24 * time.Hour) // everything that is open by then is lost
	views := s.views(t, d.now)
	d.sessions, d.interruptions = bySession(views["sessions"]), bySession(views["interruptions"])
	d.kicks, d.anomalies = bySession(views["kicks"]), bySession(views["anomalies"])
	return d
}

// post brings one delivery through the door at its own time, and notes when
// each event must read to have happened (contract 4.2).
func (d *day) post(t *testing.T, s *stack, delivery sim.Delivery, ahead map[string]time.Duration) {
	t.Helper()
	s.now.Store(&delivery.At)
	body := fmt.Appendf(nil, `{"sent_at":%q,"events":[`, delivery.SentAt.Format(time.RFC3339Nano))
	offset := delivery.At.Sub(delivery.SentAt)
	for i := range delivery.Events {
		e := &delivery.Events[i]
		if i > 0 {
			body = append(body, ',')
		}
		body = events.AppendReport(body, e)
		key := fmt.Sprintf("%s/%d", e.SessionID, e.Seq)
		if _, again := d.happened[key]; !again {
			d.happened[key] = e.OccurredAt
			if offset.Abs() > 5*time.Second {
				d.happened[key] = e.OccurredAt.Add(offset)
			}
		}
		shift := e.OccurredAt.Sub(time.Time{}) - time.Duration(e.MonotonicMS)*time.Millisecond
		sent := delivery.SentAt.Sub(delivery.At)
		before, again := d.ahead[e.SessionID]
		if was, ok := ahead[e.SessionID]; ok && was != shift || again && (sent-before).Abs() > 10*time.Second {
			d.set[e.SessionID] = true
		}
		d.ahead[e.SessionID] = sent
		ahead[e.SessionID] = shift
	}
	if r := s.post(t, append(body, "]}"...)); r.Rejected != 0 {
		t.Fatalf("the door rejects what a reporter sends: %+v", r)
	}
}

func bySession(rows []projectionstest.Row) map[string][]projectionstest.Row {
	out := map[string][]projectionstest.Row{}
	for _, r := range rows {
		id := r["session_id"].(string)
		out[id] = append(out[id], r)
	}
	for _, list := range out {
		slices.SortFunc(list, func(a, b projectionstest.Row) int {
			return int(number64(a["interruption_no"]) - number64(b["interruption_no"]))
		})
	}
	return out
}

func number64(v any) int64 {
	var n int64
	fmt.Sscan(fmt.Sprint(v), &n)
	return n
}

// compare holds every login of the truth against SQL.
func (d *day) compare(t *testing.T) {
	t.Helper()
	whole, partly, nothing := 0, 0, 0
	for i := range d.logins {
		l := &d.logins[i]
		if l.IsComplete {
			whole++
			d.compareWhole(t, l)
		}
		told, ok := d.retell(l)
		if !ok {
			nothing++
			if rows := d.sessions[l.SessionID]; len(rows) != 0 {
				t.Errorf("%s: nothing of it was delivered, and SQL has %v", l.SessionID, rows)
			}
			continue
		}
		if !l.IsComplete {
			partly++
		}
		d.compareTold(t, l, told)
		if t.Failed() {
			t.Fatalf("the truth is %+v", *l)
		}
	}
	if whole < len(d.logins)/2 || partly < len(d.logins)/50 || nothing == 0 && !testing.Short() {
		t.Errorf("%d logins were delivered whole, %d partly, %d not at all: want some of each", whole, partly, nothing)
	}
	if len(d.sessions) != len(d.logins)-nothing {
		t.Errorf("SQL has %d sessions, want %d", len(d.sessions), len(d.logins)-nothing)
	}
	t.Logf("%d logins delivered whole, %d partly, %d not at all", whole, partly, nothing)
}

// compareWhole holds the simulator's own account against SQL.
func (d *day) compareWhole(t *testing.T, l *sim.Login) {
	t.Helper()
	row := only(t, d.sessions[l.SessionID], l.SessionID)
	is(t, l, row, "connected_ms", l.ConnectedMS)
	is(t, l, row, "reconnecting_ms", l.ReconnectingMS)
	is(t, l, row, "interruptions", l.Interruptions)
	is(t, l, row, "state", l.State)
	is(t, l, row, "ended_by", orNil(l.EndedBy))
	is(t, l, row, "missing_events", 0)
	if l.EndedBy != "" {
		is(t, l, row, "end_error_code", l.EndErrorCode)
	}
	if off := d.ahead[l.SessionID] - time.Duration(l.ClockMS)*time.Millisecond; !d.set[l.SessionID] && off.Abs() < 12*time.Second {
		near(t, l, row, "login_started_at", &l.StartedAt)
		near(t, l, row, "logined_at", l.LoginedAt)
		near(t, l, row, "ended_at", l.EndedAt)
	}
	for _, a := range d.anomalies[l.SessionID] {
		t.Errorf("%s: it was delivered whole and breaks a rule: %v", l.SessionID, a)
	}
	said := slices.DeleteFunc(slices.Clone(d.breaks[l.SessionID]), func(b sim.Interruption) bool { return b.InterruptionNo == 0 })
	rows := d.interruptions[l.SessionID]
	if len(rows) != len(said) {
		t.Errorf("%s: SQL has %d interruptions, in truth there were %d", l.SessionID, len(rows), len(said))
		return
	}
	for i, b := range said {
		outcome, recovery := b.Outcome, any(b.RecoveryCase)
		if outcome == "" {
			outcome, recovery = "presumed_lost", 3
		}
		if recovery == 0 {
			recovery = nil
		}
		is(t, l, rows[i], "outcome", outcome)
		is(t, l, rows[i], "recovery_case", recovery)
		is(t, l, rows[i], "error_code", b.ErrorCode)
		if b.DurationMS != nil {
			is(t, l, rows[i], "duration_ms", *b.DurationMS)
			is(t, l, rows[i], "heartbeat_timed_out", *b.DurationMS >= 90_000)
		}
	}
}

// compareTold holds what the delivered events say against SQL.
func (d *day) compareTold(t *testing.T, l *sim.Login, told *retold) {
	t.Helper()
	row := only(t, d.sessions[l.SessionID], l.SessionID)
	for column, want := range map[string]any{
		"room_id": l.RoomID, "user_id": l.UserID, "device_id": l.DeviceID, "platform": l.Platform, "family": l.Family,
		"login_started_at": told.startedAt, "logined_at": told.loginedAt, "ended_at": told.endedAt, "ended_by": orNil(told.endedBy),
		"state": told.state, "connected_ms": told.connectedMS, "reconnecting_ms": told.reconnectingMS,
		"interruptions": len(told.breaks), "missing_events": told.missing,
	} {
		is(t, l, row, column, want)
	}
	rows := d.interruptions[l.SessionID]
	if len(rows) != len(told.breaks) {
		t.Errorf("%s: SQL has %d interruptions, %d were told", l.SessionID, len(rows), len(told.breaks))
		return
	}
	for i, b := range told.breaks {
		is(t, l, rows[i], "started_at", b.startedAt)
		is(t, l, rows[i], "ended_at", b.endedAt)
		is(t, l, rows[i], "outcome", b.outcome)
		is(t, l, rows[i], "duration_ms", b.ms)
	}
	kicks := d.kicks[l.SessionID]
	if want := told.endedBy == "KickOut"; want != (len(kicks) == 1) {
		t.Errorf("%s: SQL has %d kicks, and it ended by %s", l.SessionID, len(kicks), told.endedBy)
	} else if want {
		is(t, l, kicks[0], "error_code", told.endCode)
		is(t, l, kicks[0], "while_reconnecting", told.kickedOffline)
	}
}

func only(t *testing.T, rows []projectionstest.Row, session string) projectionstest.Row {
	t.Helper()
	if len(rows) != 1 {
		t.Fatalf("%s: SQL has %d rows, want 1", session, len(rows))
	}
	return rows[0]
}

func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func is(t *testing.T, l *sim.Login, row projectionstest.Row, column string, want any) {
	t.Helper()
	got := row[column]
	if at, ok := got.(time.Time); ok {
		got = at.UTC()
	}
	if at, ok := want.(time.Time); ok {
		if want = at.UTC(); at.IsZero() {
			want = nil
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %s is %v, want %v", l.SessionID, column, got, want)
	}
}

// near allows what the network took: a clock that is more than 5 s off is put
// right by when its report came.
func near(t *testing.T, l *sim.Login, row projectionstest.Row, column string, want *time.Time) {
	t.Helper()
	got, ok := row[column].(time.Time)
	switch {
	case want == nil && !ok:
	case want == nil || !ok:
		t.Errorf("%s: %s is %v, in truth %v", l.SessionID, column, row[column], want)
	case got.Sub(*want).Abs() > 12*time.Second:
		t.Errorf("%s: %s is %v off", l.SessionID, column, got.Sub(*want))
	}
}

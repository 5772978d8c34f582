package pipeline_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/sim"
)

// living is a world whose reporters give signs of life, told through the door.
type living struct {
	*stack
	world *sim.World
	day   *day
	ahead map[string]time.Duration
	last  map[string]sim.Sign // by session, since they were told last
}

func live(t *testing.T, c sim.Config) *living {
	t.Helper()
	world, err := sim.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return &living{
		stack: start(t, 1), world: world, ahead: map[string]time.Duration{}, last: map[string]sim.Sign{},
		day: &day{breaks: map[string][]sim.Interruption{}, happened: map[string]time.Time{}, set: map[string]bool{}, ahead: map[string]time.Duration{}},
	}
}

// until lets the world live up to an instant and tells all that arrives. Of the
// signs of a session the last is enough: it is all that counts.
func (l *living) until(t *testing.T, at time.Time) {
	t.Helper()
	for {
		next, ok := l.world.Next()
		if !ok || next.After(at) {
			break
		}
		out := l.world.Step()
		for _, delivery := range out.Deliveries {
			l.day.post(t, l.stack, delivery, l.ahead)
		}
		for _, s := range out.Signs {
			l.last[s.Session] = s
		}
	}
	for session, s := range l.last {
		l.now.Store(&s.At)
		body, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.Post(l.IntakeURL()+"/v1/alive", "application/json", strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		if res.Body.Close(); res.StatusCode != http.StatusOK {
			t.Fatalf("the door answers a sign of life %s", res.Status)
		}
		delete(l.last, session)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := l.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	l.now.Store(&at)
}

// Who closes the page tells nobody; "connected now" is right all the same.
func TestConnectedNowWithoutGoodbyes(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a smaller world proves too little")
	}
	l := live(t, sim.Config{Seed: 9, Scenario: "closed-tabs", Logins: 2000, Over: 24 * time.Hour, AliveEvery: 10 * time.Second})
	begin := l.world.Now()
	truth, told := 0, 0
	for sample := 1; sample <= 72; sample++ { // every twenty minutes
		at := begin.Add(time.Duration(sample) * 20 * time.Minute)
		l.until(t, at)
		truth += l.world.Connected()
		var n int
		fmt.Sscan(l.ask(t, "SELECT count(*) FROM sessions WHERE presence = 'live' AND state IN ('Logined', 'Reconnected')"), &n)
		told += n
	}
	off := float64(told-truth) / float64(truth)
	t.Logf("%d connected in truth, %d told: %+.2f %%", truth, told, 100*off)
	if truth < 500 || off > 0.02 || off < -0.02 {
		t.Errorf("%d connected are told as %d, %+.1f %%; want within 2 %%", truth, told, 100*off)
	}
}

// When a third of a network's users are lost at once, those who cannot say so
// are known within three beats, with the time that is left to them.
func TestOutageLeavesDarkSessions(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a smaller world proves too little")
	}
	const every = 10 * time.Second
	l := live(t, sim.Config{Seed: 3, Scenario: "outage", Logins: 2600, Over: time.Hour, AliveEvery: every})
	lost := l.world.Now().Add(30 * time.Minute) // the scenario's outage is in the middle
	l.until(t, lost.Add(-time.Second))
	before, _ := l.world.Cut()
	l.until(t, lost.Add(3*every+time.Second))
	cut, all := l.world.Cut()
	conn, err := pgx.Connect(context.Background(), l.reader)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	now := *l.now.Load()
	if _, err := conn.Exec(context.Background(), "SELECT set_config('roomtrail.now', $1, false)", now.Format(time.RFC3339Nano)); err != nil {
		t.Fatal(err)
	}
	rows, err := conn.Query(context.Background(), "SELECT session_id, last_sign_at, silent_ms, until_h_ms FROM dark_sessions")
	if err != nil {
		t.Fatal(err)
	}
	dark := map[string]bool{}
	var id string
	var sign time.Time
	var silent, untilH int64
	if _, err := pgx.ForEachRow(rows, []any{&id, &sign, &silent, &untilH}, func() error {
		dark[id] = true
		if silent != now.Sub(sign).Milliseconds() || untilH != max(90_000-silent, 0) || silent < 3*every.Milliseconds() {
			t.Errorf("%s: silent for %d ms since %v, %d ms until H", id, silent, sign, untilH)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	newly, found, wrong, others := 0, 0, 0, 0
	for id := range all {
		switch {
		case cut[id] && !before[id]:
			newly++
			if dark[id] {
				found++
			}
		case !cut[id]:
			others++
			if dark[id] {
				wrong++
			}
		}
	}
	t.Logf("%d were cut and are, %d of them dark; %d others, %d of them dark", newly, found, others, wrong)
	if newly < 20 || float64(found) < 0.95*float64(newly) || float64(wrong) > 0.01*float64(others) {
		t.Error("want at least 95 % of the former and at most 1 % of the latter")
	}
}

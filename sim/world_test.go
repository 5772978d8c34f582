package sim_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"roomtrail/events"
	"roomtrail/room"
	"roomtrail/sim"
)

// run plays a world to its end, and hands out every step.
func run(t testing.TB, c sim.Config, each func(sim.Output)) *sim.World {
	t.Helper()
	w, err := sim.New(c)
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, ok := w.Next(); !ok {
			break
		}
		each(w.Step())
	}
	each(w.Finish())
	if w.Here() != 0 {
		t.Errorf("%d apps are still there", w.Here())
	}
	for _, fault := range w.Faults() {
		t.Errorf("seed %d: %s", c.Seed, fault)
	}
	return w
}

// The same seed brings the same bytes, another seed others.
func TestSameSeedSameBytes(t *testing.T) {
	t.Parallel()
	trace := func(seed uint64) [32]byte {
		h := sha256.New()
		run(t, sim.Config{Seed: seed, Scenario: "mixed", Logins: 300}, func(o sim.Output) {
			for i := range o.Deliveries {
				for j := range o.Deliveries[i].Events {
					h.Write(events.AppendReport(nil, &o.Deliveries[i].Events[j]))
				}
			}
			b, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			h.Write(b)
		})
		return [32]byte(h.Sum(nil))
	}
	first := trace(7)
	if first != trace(7) {
		t.Error("seed 7 brings other bytes the second time")
	}
	if first == trace(8) {
		t.Error("seed 8 brings what seed 7 does")
	}
}

// Small worlds of about fifty actions, each with all that can go wrong, keep
// every promise at every step, tell a truth for each login, and end.
// Ten thousand take some five seconds; ROOMTRAIL_SEEDS says how many else.
func TestSeeds(t *testing.T) {
	t.Parallel()
	seeds := 10_000
	if testing.Short() {
		seeds = 500
	}
	if text := os.Getenv("ROOMTRAIL_SEEDS"); text != "" {
		var err error
		if seeds, err = strconv.Atoi(text); err != nil {
			t.Fatalf("ROOMTRAIL_SEEDS is %q, want a number", text)
		}
	}
	names := sim.Scenarios()
	for seed := range seeds {
		c := sim.Config{Seed: uint64(seed), Scenario: names[seed%len(names)], Logins: 5, Over: 10 * time.Minute, Check: true}
		logins := 0
		w := run(t, c, func(o sim.Output) {
			logins += len(o.Logins)
			for i := range o.Logins {
				checkLogin(t, c, &o.Logins[i])
			}
		})
		if logins != c.Logins || w.Made() != c.Logins {
			t.Errorf("seed %d: %d logins were made and %d told, want %d", seed, w.Made(), logins, c.Logins)
		}
		if t.Failed() {
			t.Fatalf("seed %d, scenario %s", seed, c.Scenario)
		}
	}
}

// checkLogin says whether a truth can be true.
func checkLogin(t *testing.T, c sim.Config, l *sim.Login) {
	t.Helper()
	var before events.Reason = events.NoReason
	for i, e := range l.Events {
		if e.Seq != int64(i) || i > 0 && e.At.Before(l.Events[i-1].At) {
			t.Errorf("seed %d: %s: event %d is number %d at %v", c.Seed, l.SessionID, i, e.Seq, e.At)
		}
		if e.Kind != events.State {
			continue
		}
		reason, err := events.ParseReason(e.Reason)
		if err != nil {
			t.Error(err)
		}
		if room.Rate(before, reason) == room.Impossible {
			t.Errorf("seed %d: %s said %s after %s", c.Seed, l.SessionID, reason, before)
		}
		before = reason
	}
	for _, v := range l.Visits {
		if v.LogoutAt == nil || v.LogoutAt.Before(v.LoginAt) {
			t.Errorf("seed %d: %s sat from %v to %v", c.Seed, l.SessionID, v.LoginAt, v.LogoutAt)
		} else if ghost := v.LogoutAt.Sub(l.GoneAt); ghost > 92*time.Second {
			t.Errorf("seed %d: %s was gone at %v, and sat for %v more: longer than H", c.Seed, l.SessionID, l.GoneAt, ghost)
		}
	}
	if l.EndedBy == "" && l.EndedAt != nil || l.GoneBy == "" {
		t.Errorf("seed %d: %s ended at %v by %q, gone by %q", c.Seed, l.SessionID, l.EndedAt, l.EndedBy, l.GoneBy)
	}
}

// Every scenario shows what it is named for.
func TestScenariosShowWhatTheyAreNamedFor(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		least map[string]int
		most  map[string]int
	}{
		"calm":              {map[string]int{"by Logout": 950, "case 1": 50, "complete": 980}, map[string]int{"by KickOut": 0, "by LoginFailed": 10}},
		"outage":            {map[string]int{"cause outage": 15, "cause office": 20, "case 2": 15, "case 3": 3}, nil},
		"kick-storm":        {map[string]int{"code 1002050": 150, "code 1002055": 80, "displaced": 200}, nil},
		"token-expiry":      {map[string]int{"by LoginFailed": 20, "code 1002056": 50, "code 1102018": 50}, nil},
		"ghosts":            {map[string]int{"own ghost": 50, "gone LogoutFailed": 10, "one way": 80, "case 2": 30}, nil},
		"late-flood":        {map[string]int{"hours late": 30, "copies": 300, "out of order": 20, "lost": 15}, nil},
		"bad-clocks":        {map[string]int{"clock off": 300}, nil},
		"closed-tabs":       {map[string]int{"gone closed": 250, "by ": 300, "said closing": 60}, nil},
		"mixed":             {map[string]int{"case 1": 200, "case 2": 60, "case 3": 10, "by KickOut": 60, "by LoginFailed": 10, "lost": 20}, nil},
		"outage,kick-storm": {map[string]int{"cause outage": 10, "code 1002050": 100}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := count(t, sim.Config{Seed: 3, Scenario: name, Logins: 1000, Check: true})
			for what, n := range want.least {
				if got[what] < n {
					t.Errorf("%d times %q, want at least %d: %v", got[what], what, n, got)
				}
			}
			for what, n := range want.most {
				if got[what] > n {
					t.Errorf("%d times %q, want at most %d", got[what], what, n)
				}
			}
		})
	}
}

// count plays a world and counts what it shows.
func count(t *testing.T, c sim.Config) map[string]int {
	t.Helper()
	n, seen, last := map[string]int{}, map[string]bool{}, map[string]int64{}
	run(t, c, func(o sim.Output) {
		for _, l := range o.Logins {
			n["by "+l.EndedBy]++
			n["gone "+l.GoneBy]++
			n[fmt.Sprint("code ", l.EndErrorCode)]++
			tally(n, "complete", l.IsComplete)
			tally(n, "displaced", l.DisplacedBy != "")
			tally(n, "own ghost", l.DisplacedByDevice == l.DeviceID)
			tally(n, "clock off", l.ClockMS > 5000 || l.ClockMS < -5000)
			for _, e := range l.Events {
				tally(n, "lost", !e.Delivered)
				tally(n, "said closing", e.Kind == events.App)
			}
		}
		for _, b := range o.Breaks {
			n[fmt.Sprint("case ", b.RecoveryCase)]++
			n["cause "+b.Cause]++
			tally(n, "one way", b.Direction != "both")
		}
		for _, d := range o.Deliveries {
			for _, e := range d.Events {
				key := fmt.Sprint(e.SessionID, "/", e.Seq)
				tally(n, "copies", seen[key])
				tally(n, "out of order", !seen[key] && e.Seq < last[e.SessionID])
				tally(n, "hours late", d.SentAt.Sub(e.OccurredAt) > time.Hour)
				seen[key], last[e.SessionID] = true, max(last[e.SessionID], e.Seq)
			}
		}
	})
	return n
}

func tally(n map[string]int, what string, is bool) {
	if is {
		n[what]++
	}
}

func TestConfigsThatAreRefused(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]sim.Config{
		`scenario "storm": want one of bad-clocks, calm`: {Scenario: "calm,storm"},
		"want no negative numbers":                       {Logins: -1},
		"H is 1s; want 10s to 24h":                       {HeartbeatTimeout: time.Second},
	} {
		if _, err := sim.New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error is %v, want %q", c, err, want)
		}
	}
}

// A world without an end can be left at any time: the truth is told of those
// who are there.
func TestEndlessWorldIsLeft(t *testing.T) {
	t.Parallel()
	w, err := sim.New(sim.Config{Seed: 5, Scenario: "mixed", PerHour: 2000})
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for w.Made() < 1500 {
		told += len(w.Step().Logins)
	}
	here := w.Here()
	out := w.Finish()
	running := 0
	for _, l := range out.Logins {
		if l.GoneBy == "running" {
			running++
		}
	}
	if told+len(out.Logins) != w.Made() || running == 0 || running > here {
		t.Errorf("%d logins were told before and %d at the end, of %d; %d of %d apps were running", told, len(out.Logins), w.Made(), running, here)
	}
}

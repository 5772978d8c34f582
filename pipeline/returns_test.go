package pipeline_test

import (
	"fmt"
	"testing"
	"time"

	"roomtrail/sim"
)

// Devices that displace each other, and apps that meet their own seat: who is
// named for a kick, and how, is what really was; where the truth cannot be told
// from what was delivered, nobody is named.
func TestReturnsAgainstTruth(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a smaller world proves too little")
	}
	for seed, scenario := range []string{"kick-storm", "ghosts", "kick-storm,ghosts,late-flood,bad-clocks"} {
		t.Run(scenario, func(t *testing.T) {
			t.Parallel()
			d := simulateDay(t, 1+seed%2*3, sim.Config{Seed: 40 + uint64(seed), Scenario: scenario, Logins: 600, Over: 12 * time.Hour})
			k := kickTruth{day: d, bySession: map[string]*sim.Login{}, byUser: map[string][]*sim.Login{}, told: map[string]int{}}
			for i := range d.logins {
				l := &d.logins[i]
				k.bySession[l.SessionID] = l
				k.byUser[l.UserID] = append(k.byUser[l.UserID], l)
			}
			k.check(t)
		})
	}
}

type kickTruth struct {
	*day
	bySession map[string]*sim.Login
	byUser    map[string][]*sim.Login
	told      map[string]int // kicks by attribution

	decidable, unknown, before, returns int
}

func (k *kickTruth) check(t *testing.T) {
	t.Helper()
	for i := range k.logins {
		l := &k.logins[i]
		for _, row := range k.kicks[l.SessionID] {
			k.checkReturn(t, l, row["relogin_after_ms"])
			if row["kick_reason"] != "duplicate_login" {
				if row["attribution"] != nil || row["displaced_by_session_id"] != nil {
					t.Errorf("%s: kicked for %v, and %v by %v", l.SessionID, row["kick_reason"], row["attribution"], row["displaced_by_session_id"])
				}
				continue
			}
			k.checkKick(t, l, row)
		}
	}
	t.Logf("duplicate logins: %v; unknown are %d of %d whose displacer was heard in the window, %d came in before it; %d returns",
		k.told, k.unknown, k.decidable, k.before, k.returns)
	if k.returns < 5 || len(k.told) == 0 {
		t.Errorf("%v kicks and %d returns prove too little", k.told, k.returns)
	}
	if k.unknown*5 > k.decidable {
		t.Errorf("%d of %d kicks are unknown, want a fifth at most", k.unknown, k.decidable)
	}
}

// checkKick holds one kick by a duplicate login against the truth.
func (k *kickTruth) checkKick(t *testing.T, l *sim.Login, row map[string]any) {
	t.Helper()
	attribution := row["attribution"].(string)
	k.told[attribution]++
	by := k.bySession[l.DisplacedBy]
	isHeard, isInWindow := k.cameIn(by, row["kicked_at"].(time.Time))
	switch {
	case isInWindow:
		if k.decidable++; attribution == "unknown" {
			k.unknown++
		}
	case isHeard: // a ghost that came back late; contract 5 names nobody
		k.before++
	}
	if row["displaced_by_session_id"] != nil {
		is(t, l, row, "displaced_by_session_id", l.DisplacedBy)
		is(t, l, row, "displaced_by_device_id", l.DisplacedByDevice)
		is(t, l, row, "displaced_by_login_no", 1)
		if by != nil {
			is(t, l, row, "displaced_by_room_id", by.RoomID)
			is(t, l, row, "displaced_by_platform", by.Platform)
		}
	}
	if attribution != "unknown" && by != nil {
		is(t, l, row, "attribution", k.class(l, by))
	}
	if attribution != "unknown" && row["displaced_by_session_id"] == nil {
		t.Errorf("%s: %s by nobody", l.SessionID, attribution)
	}
}

// class is the attribution that the truth has (contract 5). Kicks that no client
// could tell of are none.
func (k *kickTruth) class(l, by *sim.Login) string {
	if l.DeviceID != by.DeviceID {
		for _, o := range k.byUser[l.UserID] {
			if o.DeviceID == by.DeviceID && o.DisplacedByDevice == l.DeviceID && len(k.kicks[o.SessionID]) == 1 &&
				o.EndedAt.Sub(*l.EndedAt).Abs() <= 5*time.Minute {
				return "ping_pong"
			}
		}
		return "other_device"
	}
	for _, b := range k.breaks[l.SessionID] {
		if b.InterruptionNo > 0 && b.Outcome == "kicked" {
			return "self_ghost"
		}
	}
	if l.BootID == by.BootID {
		return "self_ghost"
	}
	return "other_tab"
}

// cameIn says whether a client's Logined was delivered, and whether one of its
// arrivals reads to lie around the kick (contract 5).
func (k *kickTruth) cameIn(l *sim.Login, kick time.Time) (isHeard, isInWindow bool) {
	if l == nil {
		return false, false
	}
	for _, e := range l.Events {
		happened, delivered := k.happened[fmt.Sprintf("%s/%d", l.SessionID, e.Seq)]
		if !delivered || e.Reason != "Logined" && e.Reason != "Reconnected" {
			continue
		}
		isHeard = isHeard || e.Reason == "Logined"
		isInWindow = isInWindow || !happened.Before(kick.Add(-10*time.Second)) && !happened.After(kick.Add(2*time.Second))
	}
	return isHeard, isInWindow
}

// checkReturn holds relogin_after_ms against the next Logined that was delivered.
func (k *kickTruth) checkReturn(t *testing.T, l *sim.Login, got any) {
	t.Helper()
	var want any
	var at time.Time
	kicked := k.sessions[l.SessionID][0]["ended_at"].(time.Time)
	for _, o := range k.byUser[l.UserID] {
		for _, e := range o.Events {
			happened, delivered := k.happened[fmt.Sprintf("%s/%d", o.SessionID, e.Seq)]
			if o.BootID == l.BootID && e.At.Before(*l.EndedAt) {
				continue // whatever its clock was set to
			}
			if e.Reason == "Logined" && delivered && happened.After(kicked) && (at.IsZero() || happened.Before(at)) {
				if at, want = happened, happened.Sub(kicked).Milliseconds(); o.BootID == l.BootID {
					want = e.At.Sub(*l.EndedAt).Milliseconds() // the device's own clock knows better
				}
			}
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: relogin_after_ms is %v, want %v", l.SessionID, got, want)
	}
	if want != nil {
		k.returns++
	}
}

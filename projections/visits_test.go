package projections_test

import (
	"fmt"
	"testing"
	"time"

	"roomtrail/events"
	"roomtrail/projections"
)

var nine = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

func after(seconds float64) time.Time { return nine.Add(time.Duration(seconds * float64(time.Second))) }

// fact is a callback about a stay, the n-th in the log.
func fact(n int, kind events.Kind, session string, at float64, reason int64) events.Stored {
	w := &events.Witness{RoomSeq: "1", SessionID: session}
	if kind == events.RoomLogout {
		w.Reason, w.HasReason, w.LoginAt = reason, true, nine
	}
	return events.Stored{
		Ref:   events.Ref{Generation: 1, Seq: uint64(n)},
		Event: events.Event{Kind: kind, OccurredAt: after(at), Trust: events.TrustVendor, Witness: w},
	}
}

// login is a client's login that came in at 0 s and was last heard of at 60 s.
func login(state events.Reason, ended float64, entries ...projections.Entry) projections.ClientLogin {
	l := projections.ClientLogin{SetID: 7, SessionID: "s", Login: projections.Login{
		No: 1, FirstAt: nine, LoginStartedAt: nine, LoginedAt: after(0.1), State: state, LastStateAt: after(60), LastEventAt: after(60),
	}}
	l.Entries = append([]projections.Entry{{At: after(0.1)}}, entries...)
	if state.Ends() {
		l.EndedBy, l.EndedAt, l.LastStateAt, l.LastEventAt = state.String(), after(ended), after(ended), after(ended)
	}
	return l
}

func TestVisits(t *testing.T) {
	t.Parallel()
	in := fact(1, events.RoomLogin, "a", 0.05, 0)
	out := func(at float64, reason int64) events.Stored { return fact(2, events.RoomLogout, "a", at, reason) }
	for name, c := range map[string]struct {
		facts  []events.Stored
		logins []projections.ClientLogin
		since  float64
		want   string // agreement of each visit, then the witnessed end
	}{
		"both tell the same":                         {[]events.Stored{in, out(100, 0)}, []projections.ClientLogin{login(events.Logout, 100)}, 0, "[agree]"},
		"the login's callback is lost":               {[]events.Stored{out(100, 0)}, []projections.ClientLogin{login(events.Logout, 100)}, 0, "[agree]"},
		"a client alone":                             {nil, []projections.ClientLogin{login(events.Logout, 100)}, 0, "[client_only]"},
		"a client alone, where none can be expected": {nil, []projections.ClientLogin{login(events.Logout, 100)}, 3600, "[]"},
		"the server alone":                           {[]events.Stored{in, out(100, 0)}, nil, 0, "[server_only]"},
		"eleven seconds apart":                       {[]events.Stored{fact(1, events.RoomLogin, "a", 11.2, 0)}, []projections.ClientLogin{login(events.Logout, 100)}, 0, "[server_only client_only]"},
		"nobody but the server said the end":         {[]events.Stored{in, out(150, 1)}, []projections.ClientLogin{login(events.Logined, 0)}, 0, "[agree] heartbeat_timeout"},
		"a kick that the client could not tell":      {[]events.Stored{in, out(61, 3)}, []projections.ClientLogin{login(events.Logined, 0)}, 0, "[agree] server_kick"},
		"the token's end":                            {[]events.Stored{in, out(61, 4)}, []projections.ClientLogin{login(events.Logined, 0)}, 0, "[agree] token_expired"},
		"left, and the Logout was lost":              {[]events.Stored{in, out(61, 0)}, []projections.ClientLogin{login(events.Logined, 0)}, 0, "[agree] server_logout"},
		"a later word of the client":                 {[]events.Stored{in, out(20, 1)}, []projections.ClientLogin{login(events.Reconnecting, 0)}, 0, "[agree]"},
		"the client still says that it is in":        {[]events.Stored{in, out(20, 0)}, []projections.ClientLogin{login(events.Logined, 0)}, 0, "[contradict]"},
		"kicked, says the client; left, the server":  {[]events.Stored{in, out(100, 0)}, []projections.ClientLogin{login(events.KickOut, 100)}, 0, "[contradict]"},
		"one login, two stays (case 2)": {
			[]events.Stored{in, out(40, 1), fact(3, events.RoomLogin, "b", 55, 0)},
			[]projections.ClientLogin{login(events.Reconnected, 0, projections.Entry{At: after(55.1), IsReturn: true})}, 0, "[agree agree]",
		},
		"case 1: the seat lasts": {
			[]events.Stored{in}, []projections.ClientLogin{login(events.Reconnected, 0, projections.Entry{At: after(55.1), IsReturn: true})}, 0, "[agree]",
		},
		"back, and the server was not heard of it": {
			[]events.Stored{in, out(40, 1)}, []projections.ClientLogin{login(events.Reconnected, 0, projections.Entry{At: after(55.1), IsReturn: true})}, 0, "[agree client_only]",
		},
		"a retried callback": {[]events.Stored{in, fact(5, events.RoomLogin, "a", 0.05, 0)}, nil, 0, "[server_only]"},
	} {
		visits, ends, copies := projections.Visits(c.facts, c.logins, after(c.since))
		var agreement []string
		for _, v := range visits {
			agreement = append(agreement, v.Agreement)
		}
		got := fmt.Sprint(agreement)
		for _, e := range ends {
			got += " " + e.EndedBy
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if isRetry := name == "a retried callback"; isRetry != (len(copies) == 1) {
			t.Errorf("%s: copies are %v", name, copies)
		}
	}
}

// What only somebody who has seen a signature can have sent counts for nothing.
func TestUnprovenCallbacksMakeNoVisit(t *testing.T) {
	t.Parallel()
	forged := fact(1, events.RoomLogout, "a", 10, 3)
	forged.Trust = events.TrustUnproven
	if visits, ends, _ := projections.Visits([]events.Stored{forged}, []projections.ClientLogin{login(events.Logined, 0)}, time.Time{}); len(visits)+len(ends) != 0 {
		t.Errorf("a forged callback makes %v and %v", visits, ends)
	}
}

func TestGaps(t *testing.T) {
	t.Parallel()
	var updates []projections.Update
	for _, n := range []int64{0, 1, 2, 5, 6, 10} {
		updates = append(updates, projections.Update{Seq: n})
	}
	got := ""
	for _, g := range projections.Gaps(updates) {
		got += fmt.Sprintf("%d before %d;", g.Missing, g.Seq)
	}
	if want := "2 before 5;3 before 10;"; got != want {
		t.Errorf("gaps are %s, want %s", got, want)
	}
	if g := projections.Gaps(updates[2:3]); len(g) != 0 {
		t.Errorf("the first number that is known makes gaps %v", g)
	}
}

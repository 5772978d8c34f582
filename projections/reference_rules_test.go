package projections_test

import (
	"slices"
	"strings"

	"roomtrail/events"
)

// edges are the vendor's diagram, and what is plausible beside it (4.7).
const documented = `
Logout > Logining
Logining > Logined
Logining > LoginFailed
LoginFailed > Logout
Logined > Logout
Logined > LogoutFailed
LogoutFailed > Logout
Logined > Reconnecting
Logined > KickOut
Reconnecting > Reconnected
Reconnecting > ReconnectFailed
ReconnectFailed > Logout
KickOut > Logout
Reconnected > Logout
Reconnected > LogoutFailed
Reconnected > Reconnecting
Reconnected > KickOut
`

const plausible = `
LoginFailed > Logining
ReconnectFailed > Logining
KickOut > Logining
LogoutFailed > Logining
Reconnecting > KickOut
Reconnecting > Logout
Reconnecting > LogoutFailed
Logining > Logout
LogoutFailed > LogoutFailed
LogoutFailed > Reconnecting
LogoutFailed > KickOut
`

func rating(from, to events.Reason) string {
	edge := "\n" + from.String() + " > " + to.String() + "\n"
	switch {
	case from == events.NoReason && to == events.Logining, strings.Contains(documented, edge):
		return "documented"
	case from == events.NoReason, strings.Contains(plausible, edge):
		return "plausible"
	}
	return "impossible"
}

// expected are the codes by reason and family; LoginFailed and the web's
// LogoutFailed have no list (4.7).
var expected = map[events.Reason]map[events.Family][]int64{
	events.Logining:        {events.Native: {0}, events.Web: {0}},
	events.Logined:         {events.Native: {0}, events.Web: {0}},
	events.Reconnected:     {events.Native: {0}, events.Web: {0}},
	events.Logout:          {events.Native: {0}, events.Web: {0}},
	events.Reconnecting:    {events.Native: {1002051}, events.Web: {1000017, 1002051, 0}},
	events.ReconnectFailed: {events.Native: {1002053}, events.Web: {1002053, 1002031}},
	events.KickOut:         {events.Native: {1002050, 1002055, 1002056, 1002057}, events.Web: {1002050, 1002055, 1102018, 1002099}},
	events.LogoutFailed:    {events.Native: {1002002, 1000001}},
}

func codeAnomaly(e events.Stored) string {
	if _, listed := events.LookupCode(e.Family, e.ErrorCode); !listed && e.ErrorCode != 0 {
		return "unknown_code"
	}
	if e.Reason == events.LoginFailed {
		if e.ErrorCode == 0 {
			return "unexpected_code"
		}
		return ""
	}
	if list, ok := expected[e.Reason][e.Family]; ok && !slices.Contains(list, e.ErrorCode) {
		return "unexpected_code"
	}
	return ""
}

func (t told) anomaly(kind string, on events.Stored, count int64) {
	r := row{"ref": on.Ref, "count": count, "happened_at": happened(on), "platform": on.Platform}
	if on.SDKVersion != "" { // where it has none, the contract leaves open what stands there
		r["sdk_version"] = on.SDKVersion
	}
	t.put("anomalies", r, on.Seq, " ", kind)
}

func (t told) anomalies(counted []events.Stored, conflicts map[int64]events.Stored) {
	for _, copy := range conflicts {
		t.anomaly("conflicting_duplicate", copy, 0)
	}
	for i := 1; i < len(counted); i++ {
		if gap := counted[i].Seq - counted[i-1].Seq - 1; gap > 0 {
			t.anomaly("missing_seq", counted[i], gap)
		}
	}
	t.orderAnomalies(counted)
	wentBack := map[int64]events.Stored{}
	for _, s := range stays(counted) {
		stretches := append(s.connected(), s.broken()...)
		if in := s.find(events.Logined); in != nil && s.events[0].Reason == events.Logining {
			stretches = append(stretches, stretch{s.events[0], *in, false})
		}
		for _, x := range stretches {
			if !x.open && between(x.from, x.to) < 0 {
				wentBack[x.to.Seq] = x.to
			}
		}
	}
	for _, e := range wentBack {
		t.anomaly("clock_went_back", e, 0)
	}
}

// orderAnomalies are those of an event after the one before it, and of its code.
func (t told) orderAnomalies(counted []events.Stored) {
	ends := map[int64]bool{}   // events that ended a login
	inside := map[int64]bool{} // events of a login
	for _, s := range stays(counted) {
		for _, e := range s.events {
			inside[e.Seq] = true
		}
		if s.end != nil && s.endedBy != "superseded" {
			ends[s.end.Seq] = true
		}
	}
	var before *events.Stored
	for _, e := range counted {
		if e.Kind != events.State {
			continue
		}
		if before == nil {
			if e.Reason != events.Logining {
				t.anomaly("missing_login", e, 0)
			}
		} else {
			leaving := e.Reason == events.Logout && ends[before.Seq] && before.Reason != events.Logout
			switch {
			case !inside[e.Seq] && !leaving:
				t.anomaly("event_after_end", e, 0)
			case e.Reason == before.Reason && e.Reason != events.LogoutFailed:
				t.anomaly("repeated_state", e, 0)
			case rating(before.Reason, e.Reason) == "impossible":
				t.anomaly("impossible_transition", e, 0)
			}
		}
		if kind := codeAnomaly(e); kind != "" {
			t.anomaly(kind, e, 0)
		}
		before = &e
	}
}

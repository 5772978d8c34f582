package projections_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"roomtrail/events"
	"roomtrail/projections"
)

// 2 000 random cases for each property, unless -rapid.checks says otherwise.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "2000"); err != nil {
		panic(err)
	}
	_ = flag.Set("rapid.nofailfile", "true") // the seed is printed
	os.Exit(m.Run())
}

// outward are the rows of the fold by view and key, under the names of the
// reference's columns.
func outward(rows projections.Rows) told {
	t := told{}
	for _, l := range rows.Logins {
		r := where(l.Described)
		maps.Copy(r, row{
			"os": l.OS, "room_session_id": l.RoomSessionID, "via": l.Via, "state": l.State, "last_event_at": l.LastEventAt,
			"is_import": l.IsImport, "interruptions": l.Interruptions, "missing_events": l.MissingEvents, "ended_by": l.EndedBy,
			"caller_fault": l.CallerFault, "closing": l.ClosingSaid, "login_started_at": instantOrNil(l.LoginStartedAt),
			"logined_at": instantOrNil(l.LoginedAt), "time_to_login_ms": numberOrNil(l.TimeToLoginMS), "ended_at": instantOrNil(l.EndedAt),
			"end_error_code": numberOrNil(l.EndErrorCode), "login_error_code": numberOrNil(l.LoginErrorCode),
			"last_alive_at": instantOrNil(l.LastAliveAt), "connected_ms": l.ConnectedMS, "reconnecting_ms": l.ReconnectingMS,
			"first_received_at": l.FirstReceivedAt, "last_received_at": l.LastReceivedAt,
		})
		t.put("sessions", r, l.No)
	}
	for _, i := range rows.Interruptions {
		r := where(i.Described)
		maps.Copy(r, row{
			"started_at": i.StartedAt, "start_received_at": i.StartReceivedAt, "error_code": i.ErrorCode, "is_import": i.IsImport,
			"heartbeat_timeout_ms": i.HeartbeatTimeoutMS, "retry_window_ms": i.RetryWindowMS, "outcome": i.Outcome,
			"ended_at": instantOrNil(i.EndedAt), "end_received_at": instantOrNil(i.EndReceivedAt),
			"duration_ms": numberOrNil(i.DurationMS), "end_error_code": numberOrNil(i.EndErrorCode),
		})
		t.put("interruptions", r, i.LoginNo, "/", i.No)
	}
	for _, k := range rows.Kicks {
		r := row{"kicked_at": k.KickedAt, "received_at": k.ReceivedAt, "error_code": k.ErrorCode, "message": nil,
			"kick_reason": k.Reason, "while_reconnecting": k.WhileReconnecting, "is_import": k.IsImport, "session_age_ms": k.SessionAgeMS}
		if k.HasMessage {
			r["message"] = k.Message
		}
		t.put("kicks", r, k.LoginNo)
	}
	for _, a := range rows.Anomalies {
		var missing int64
		if a.Kind == "missing_seq" {
			_, _ = fmt.Sscan(a.Detail, &missing)
		}
		t.put("anomalies", row{"ref": a.Ref, "count": missing, "happened_at": a.HappenedAt, "platform": a.Platform, "sdk_version": a.SDKVersion}, a.Seq, " ", a.Kind)
	}
	for _, m := range rows.Marks {
		t.put("room_events", row{"is_copy": m.IsCopy, "previous": m.Previous, "transition": string(m.Transition)}, m.Ref)
	}
	return t
}

func where(d projections.Described) row {
	return row{"device_id": d.DeviceID, "platform": d.Platform, "family": string(d.Family), "sdk_version": d.SDKVersion,
		"app_version": d.AppVersion, "network": d.Network, "carrier": d.Carrier, "region": d.Region}
}

func instantOrNil(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}

func numberOrNil(m projections.Maybe) any {
	if !m.Known {
		return nil
	}
	return m.N
}

// differences names the cells in which two tellings differ.
func differences(got, want told) string {
	var b strings.Builder
	views := map[string]bool{}
	for _, t := range []told{got, want} {
		for view := range t {
			views[view] = true
		}
	}
	for _, view := range slices.Sorted(maps.Keys(views)) {
		for key, w := range want[view] {
			g := got[view][key]
			if g == nil {
				fmt.Fprintf(&b, "%s %s is missing: %v\n", view, key, w)
			}
			for column := range w {
				if g != nil && !reflect.DeepEqual(g[column], w[column]) {
					fmt.Fprintf(&b, "%s %s: %s is %v, want %v\n", view, key, column, g[column], w[column])
				}
			}
		}
		for key, g := range got[view] {
			if want[view][key] == nil {
				fmt.Fprintf(&b, "%s %s is too much: %v\n", view, key, g)
			}
		}
	}
	return b.String()
}

func describe(set []events.Stored) string {
	set = slices.Clone(set)
	slices.SortFunc(set, func(a, b events.Stored) int { return int(a.Seq - b.Seq) })
	var b strings.Builder
	for _, e := range set {
		fmt.Fprintf(&b, "%s seq %d %s %s %d at %d ms mono %v %g %q %s\n", e.Ref, e.Seq, e.Kind, e.Reason, e.ErrorCode,
			e.OccurredAt.Sub(nine).Milliseconds(), e.HasMonotonic, e.MonotonicMS, e.BootID, e.Why)
	}
	return b.String()
}

// datedProfiles are the default ones, and others that begin within a story.
var datedProfiles = append(projections.Profiles{
	{AppID: "app", ValidFrom: nine.Add(2 * time.Minute), Limits: projections.Limits{HeartbeatTimeoutMS: 60_000, RetryWindowMS: 200_000, LoginTimeoutMS: 200_000, AliveEveryMS: 10_000}},
	{AppID: "app", Platform: "android", ValidFrom: nine.Add(time.Minute), Limits: projections.Limits{HeartbeatTimeoutMS: 70_000, RetryWindowMS: 900_000, LoginTimeoutMS: 900_000, AliveEveryMS: 20_000}},
}, projections.DefaultProfiles...)

// The fold and the slow reference agree in every outward value, and what is
// drawn breaks every rule and ends in every way.
func TestFoldAgreesWithTheReference(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	rapid.Check(t, func(t *rapid.T) {
		set := drawStored(t)
		want := reference(datedProfiles, set)
		_, rows := projections.Fold(datedProfiles, slices.Clone(set))
		if diff := differences(outward(rows), want); diff != "" {
			t.Fatalf("%s\nof\n%s", diff, describe(set))
		}
		for key := range want["anomalies"] {
			seen[key[strings.Index(key, " ")+1:]] = true
		}
		for _, r := range want["sessions"] {
			seen[fmt.Sprint("ended by ", r["ended_by"])] = true
		}
		for _, r := range want["interruptions"] {
			seen[fmt.Sprint("outcome ", r["outcome"])] = true
		}
		for _, r := range want["kicks"] {
			seen[fmt.Sprint("kick ", r["kick_reason"])] = true
		}
	})
	for _, one := range []string{
		"event_after_end", "repeated_state", "impossible_transition", "missing_login", "unknown_code", "unexpected_code",
		"missing_seq", "conflicting_duplicate", "clock_went_back",
		"ended by ", "ended by superseded", "ended by LoginFailed", "ended by ReconnectFailed", "ended by KickOut", "ended by Logout",
		"outcome ", "outcome reconnected", "outcome reconnect_failed", "outcome kicked", "outcome logged_out", "outcome login_failed", "outcome superseded",
		"kick duplicate_login", "kick backend", "kick token_expired", "kick session_exception", "kick unknown",
	} {
		if !seen[one] {
			t.Errorf("no case drew %q", one)
		}
	}
}

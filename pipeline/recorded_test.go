package pipeline_test

import (
	"encoding/json"
	"fmt"
	"time"

	"roomtrail/projections/projectionstest"
)

// expectation is what a recorded trace must become.
type expectation struct {
	rows     map[string][]map[string]any
	rejected []string // the fields, in order
}

type rows = []map[string]any

// at is an instant of a trace: milliseconds after its start.
func at(ms int) string {
	return time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC).Add(time.Duration(ms) * time.Millisecond).Format(time.RFC3339Nano)
}

func number(n int) json.Number { return json.Number(fmt.Sprint(n)) }

// failed is a login of room that failed with the SDK's time-out.
func failed(room string, from, to int) projectionstest.Row {
	return projectionstest.Row{
		"room_id": room, "login_no": number(1), "login_outcome": "failed", "login_started_at": at(from), "ended_at": at(to),
		"ended_by": "LoginFailed", "login_error_code": number(1002031), "caller_fault": false, "state": "LoginFailed",
		"platform": "web", "sdk_version": "3.12.0", "presence": "ended",
	}
}

// left is a login that was given up before it succeeded.
func left(room string, from, to int) projectionstest.Row {
	return projectionstest.Row{
		"room_id": room, "login_no": number(1), "login_outcome": "cancelled", "login_started_at": at(from), "ended_at": at(to),
		"ended_by": "Logout", "login_error_code": nil, "end_error_code": number(0), "connected_ms": number(0),
	}
}

// noLogin is a Logout of a room that was never logged in.
func noLogin(room string, when int) projectionstest.Row {
	return projectionstest.Row{
		"room_id": room, "login_no": number(1), "login_outcome": "unknown", "login_started_at": nil, "ended_at": at(when), "ended_by": "Logout",
	}
}

// clean are traces that break no rule: these logins and nothing else.
func clean(logins ...projectionstest.Row) expectation {
	return expectation{rows: map[string][]map[string]any{
		"sessions": logins, "interruptions": {}, "kicks": {}, "anomalies": {},
	}}
}

func (e expectation) with(rejected []string, anomalies ...projectionstest.Row) expectation {
	e.rejected = rejected
	e.rows["anomalies"] = anomalies
	return e
}

var recorded = map[string]expectation{
	"login-refused":         clean(failed("room-A", 0, 299_674)),
	"login-refused-retry20": clean(failed("room-A", 0, 20_087)),
	"login-hang-tcp":        clean(failed("room-A", 0, 299_978)),
	"login-hang-ws":         clean(failed("room-A", 0, 299_989)),
	"login-close":           clean(failed("room-A", 0, 59_920)),
	"login-drop":            clean(failed("room-A", 0, 59_931)),
	"login-http503":         clean(failed("room-A", 0, 59_944)),
	"login-echo":            clean(failed("room-A", 0, 59_973)),
	"login-twice":           clean(failed("room-A", 0, 19_933)),
	"offline-online":        clean(failed("room-A", 0, 39_954)),
	"offline-before-login":  clean(failed("room-A", 0, 20_184)),
	"tab-closed":            clean(left("room-A", 0, 2_324)),
	"destroy-engine":        clean(left("room-A", 0, 2_076)),
	"page-unload": clean(projectionstest.Row{
		"room_id": "room-A", "login_outcome": "presumed_failed", "state": "Logining", "ended_at": nil, "ended_by": nil, "presence": "unmonitored",
	}),
	"switch-room": clean(left("room-A", 0, 1_486), left("room-B", 1_490, 3_411), failed("room-C", 3_416, 23_453)),
	"multi-room":  clean(failed("room-A", 0, 19_983), left("room-B", 317, 4_194), failed("room-C", 874, 20_915)),
	"multi-room-logout-all": clean(left("room-A", 0, 4_172), left("room-B", 555, 4_201),
		left("room-C", 1_054, 4_203), left("room-D", 1_239, 4_230)),
	"login-logout-same-tick": clean(left("room-A", 0, 32), left("room-A", 33, 72), left("room-A", 83, 99),
		left("room-A", 114, 135), left("room-A", 171, 231)),
	"relogin-storm": clean(storm()...),
	// The second Logout says what has been said; the one without a room is refused.
	"login-then-logout": clean(left("room-A", 0, 1_929)).with([]string{"room_id"},
		projectionstest.Row{"kind": "event_after_end", "seq": number(2), "room_id": "room-A"}),
	// undefined, null and "" are no rooms; a number is one.
	"logout-never-logged-in": clean(noLogin("room-never", 0), noLogin("12345", 1_274), left("room-A", 2_109, 3_314)).
		with([]string{"room_id", "room_id", "room_id"},
			projectionstest.Row{"kind": "missing_login", "room_id": "room-never"},
			projectionstest.Row{"kind": "missing_login", "room_id": "12345"}),
}

// storm is twelve logins, each given up after a moment.
func storm() rows {
	var out rows
	for range 12 {
		out = append(out, projectionstest.Row{"room_id": "room-A", "login_outcome": "cancelled", "ended_by": "Logout", "missing_events": number(0)})
	}
	return out
}

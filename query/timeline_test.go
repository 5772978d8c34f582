package query

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// answerOf makes an answer of records; a column that a record lacks is NULL.
func answerOf(columns string, rows ...map[string]any) Answer {
	a := Answer{Columns: strings.Fields(columns)}
	for _, r := range rows {
		row := make([]any, len(a.Columns))
		for i, c := range a.Columns {
			row[i] = r[c]
		}
		a.Rows = append(a.Rows, row)
	}
	return a
}

type row = map[string]any

// of adds the identity of a session to a row.
func of(user string, r row) row {
	r["app_id"], r["room_id"], r["user_id"], r["session_id"] = "demo", "会议室", user, "s1"
	return r
}

func at(clock string) time.Time {
	t, err := time.Parse("2006-01-02 15:04:05.000", "2026-03-01 "+clock)
	if err != nil {
		panic(err)
	}
	return t
}

const (
	identity     = "app_id room_id user_id session_id "
	eventColumns = identity + "seq kind source is_copy reason error_code error_category error_meaning happened_at gap_ms extended_data platform"
	loginColumns = identity + `login_no platform sdk_version network login_outcome login_error_code caller_fault time_to_login_ms
		ended_at ended_by end_provenance state presence gone_at connected_ms reconnecting_ms missing_events`
	interruptionColumns = identity + "login_no interruption_no started_at outcome duration_ms age_ms recovery_case heartbeat_timed_out heartbeat_ambiguous"
	kickColumns         = identity + "login_no kick_reason attribution displaced_by_session_id displaced_by_platform message relogin_after_ms"
	anomalyColumns      = identity + "seq kind detail"
)

var kicked = Result{
	Answer: answerOf(eventColumns,
		of("ann", row{"seq": int64(0), "kind": "state", "reason": "Logining", "error_code": int64(0), "happened_at": at("03:11:58.000"), "source": "client"}),
		of("ann", row{"seq": int64(1), "kind": "state", "reason": "Logined", "error_code": int64(0), "happened_at": at("03:11:58.120"), "gap_ms": int64(120)}),
		of("ann", row{"seq": int64(1), "kind": "state", "reason": "Logined", "is_copy": true, "happened_at": at("03:11:58.120")}),
		of("ann", row{"seq": int64(2), "kind": "alive", "happened_at": at("03:12:28.120"), "gap_ms": int64(30_000)}),
		of("ann", row{"seq": int64(3), "kind": "alive", "happened_at": at("03:12:58.120"), "gap_ms": int64(30_000)}),
		of("ann", row{"seq": int64(6), "kind": "state", "reason": "Reconnecting", "error_code": int64(1002051), "error_category": "network",
			"error_meaning": "The connection broke.", "happened_at": at("03:14:05.000"), "gap_ms": int64(66_880)}),
		of("ann", row{"seq": int64(7), "kind": "state", "reason": "Reconnected", "error_code": int64(0), "happened_at": at("03:14:12.000"),
			"gap_ms": int64(7_000), "extended_data": json.RawMessage(`{}`)}),
		of("ann", row{"seq": int64(8), "kind": "state", "reason": "KickOut", "error_code": int64(1002999), "happened_at": at("03:14:11.000"),
			"gap_ms": int64(-1_000), "extended_data": json.RawMessage(`"{\"custom_kickout_message\":\"另一台设备 \\u001b[31m\"}"`)}),
		of("bob", row{"seq": int64(0), "kind": "state", "reason": "Reconnecting", "error_code": int64(0), "happened_at": at("23:59:59.000")}),
		of("bob", row{"kind": "dark", "source": "monitor", "happened_at": at("23:59:59.500"), "gap_ms": int64(500)}),
	),
	With: map[string]Answer{
		"sessions": answerOf(loginColumns,
			of("ann", row{"login_no": int64(1), "platform": "android", "sdk_version": "3.12.0", "network": "wifi", "login_outcome": "logged_in",
				"time_to_login_ms": int64(120), "ended_by": "KickOut", "ended_at": at("03:14:11.000"), "end_provenance": "observed",
				"connected_ms": int64(126_880), "reconnecting_ms": int64(7_000), "missing_events": int64(2)}),
			of("bob", row{"login_no": int64(2), "platform": "web", "login_outcome": "failed", "login_error_code": int64(1102016), "caller_fault": true,
				"ended_by": "LoginFailed", "ended_at": at("23:59:59.900"), "end_provenance": "witnessed"}),
			of("bob", row{"login_no": int64(1), "platform": "web", "login_outcome": "unknown", "state": "Reconnecting", "presence": "gone",
				"gone_at": at("23:59:59.000")}),
		),
		"interruptions": answerOf(interruptionColumns,
			of("ann", row{"login_no": int64(1), "interruption_no": int64(1), "started_at": at("03:14:05.000"), "outcome": "reconnected",
				"duration_ms": int64(7_000), "recovery_case": int64(1)}),
			of("bob", row{"login_no": int64(1), "interruption_no": int64(1), "started_at": at("23:59:59.000"), "age_ms": int64(91_000),
				"heartbeat_timed_out": true, "heartbeat_ambiguous": true}),
		),
		"kicks": answerOf(kickColumns,
			of("ann", row{"login_no": int64(1), "kick_reason": "duplicate_login", "attribution": "other_device", "displaced_by_session_id": "s2",
				"displaced_by_platform": "web", "message": "另一台设备 \x1b[31m", "relogin_after_ms": int64(2_500)}),
		),
		"anomalies": answerOf(anomalyColumns,
			of("ann", row{"seq": int64(6), "kind": "missing_seq", "detail": "2 events are missing: 4 to 5"}),
			of("ann", row{"seq": int64(8), "kind": "unknown_code", "detail": "1002999"}),
			of("ann", row{"seq": int64(8), "kind": "clock_went_back"}),
		),
	},
}

const kickedTimeline = `session s1  user ann  room 会议室  app demo
platform android  sdk version 3.12.0  network wifi

Sunday, 2026-03-01 (UTC, +00:00)
03:11:58.000                0  ◌ Logining
03:11:58.120    +120 ms     1  ● Logined
03:12:28.120    +30.0 s     2  · 2 signs of life until 2026-03-01 03:12:58
                               ! missing seq: 2 events are missing: 4 to 5
03:14:05.000    +1m 06s     6  ◐ Reconnecting     1002051  network: The connection broke.
03:14:12.000     +7.0 s     7  ● Reconnected
03:14:11.000     -1.0 s     8  ⊘ KickOut          1002999  a code in no list of its family
                               “另一台设备 \x1b[31m”
                               ! unknown code: 1002999
                               ! clock went back
later copies of these events in the log: 1; the first of each counts

login 1  logged in after 120 ms, connected 2m 06s, reconnecting 7.0 s, events missing: 2, ended by KickOut at 2026-03-01 03:14:11
         interruption 1 at 2026-03-01 03:14:05: reconnected after 7.0 s; case 1: back before the heartbeat timeout, nobody else noticed
         kicked: duplicate login, other device, by session s2 on web: “另一台设备 \x1b[31m”; back after 2.5 s

session s1  user bob  room 会议室  app demo
platform web

Sunday, 2026-03-01 (UTC, +00:00)
23:59:59.000                0  ◐ Reconnecting
23:59:59.500    +500 ms     –  · dark  (said by the monitor)

login 1  start not seen, not ended, last state Reconnecting, now gone since 2026-03-01 23:59:59
         interruption 1 at 2026-03-01 23:59:59: open, 1m 31s old; past the heartbeat timeout (too close to the timeout to be sure)

login 2  login failed with 1102016 (the caller's fault), ended by LoginFailed at 2026-03-01 23:59:59 (witnessed)
`

func TestWriteTimeline(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := WriteTimeline(&b, kicked, Look{Zone: time.UTC}); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); got != kickedTimeline {
		t.Errorf("got\n%s\nwant\n%s", got, kickedTimeline)
	}
}

func TestTimelineInColour(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := WriteTimeline(&b, kicked, Look{Zone: time.UTC, Color: true}); err != nil {
		t.Fatal(err)
	}
	plain := b.String()
	for _, tone := range []Tone{Good, Doubt, Bad, Faint, Bold} {
		if !strings.Contains(plain, "\x1b["+string(tone)+"m") {
			t.Errorf("tone %s is not used", tone)
		}
		plain = strings.ReplaceAll(plain, "\x1b["+string(tone)+"m", "")
	}
	if plain = strings.ReplaceAll(plain, "\x1b[0m", ""); plain != kickedTimeline {
		t.Errorf("without its colours it reads\n%s", plain)
	}
}

func TestTimelineSaysWhenItIsCut(t *testing.T) {
	t.Parallel()
	r := kicked
	r.More, r.Limit = true, 10
	var b bytes.Buffer
	if err := WriteTimeline(&b, r, Look{Zone: time.UTC}); err != nil {
		t.Fatal(err)
	}
	if want := "only the first 10 events are shown"; !strings.Contains(b.String(), want) {
		t.Errorf("no %q in\n%s", want, b.String())
	}
}

func TestSpoken(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		v    any
		want string
	}{
		"null":                 {nil, ""},
		"json null":            {json.RawMessage(`null`), ""},
		"empty object":         {json.RawMessage(` {} `), ""},
		"empty text":           {json.RawMessage(`""`), ""},
		"kick message":         {json.RawMessage(`{"custom_kickout_message":"host"}`), "host"},
		"kick message in text": {json.RawMessage(`"{\"custom_kickout_message\":\"host\"}"`), "host"},
		"no text of a message": {json.RawMessage(`{"custom_kickout_message":7}`), `{"custom_kickout_message":7}`},
		"other data":           {json.RawMessage(`{"a":1}`), `{"a":1}`},
		"text":                 {json.RawMessage(`"free text"`), "free text"},
		"a text column":        {`{"custom_kickout_message":"host"}`, "host"},
		"text that is no JSON": {"free text", "free text"},
	} {
		if got := spoken(tc.v); got != tc.want {
			t.Errorf("%s: spoken(%s) = %q, want %q", name, tc.v, got, tc.want)
		}
	}
}

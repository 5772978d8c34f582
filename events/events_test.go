package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// report builds a valid report with members replaced; a value of "" removes.
func report(t testing.TB, changes map[string]string) []byte {
	t.Helper()
	members := map[string]string{
		"app_id": `"app"`, "room_id": `"r1"`, "user_id": `"u1"`, "session_id": `"s1"`, "seq": `0`,
		"reason": `"LOGINING"`, "error_code": `0`, "occurred_at": `"2026-03-01T10:00:00.000Z"`, "platform": `"web"`,
	}
	for k, v := range changes {
		members[k] = v
	}
	var out []string
	for _, k := range sortedKeys(members) {
		if members[k] != "" {
			name, _ := json.Marshal(k)
			out = append(out, string(name)+":"+members[k])
		}
	}
	return []byte("{" + strings.Join(out, ",") + "}")
}

func TestEverySpellingOfAReasonIsOneReason(t *testing.T) {
	t.Parallel()
	spellings := [9][]string{
		{"0", "LOGINING", "Logining", "logining", "ZegoRoomStateChangedReasonLogining", "ZEGO_ROOM_STATE_CHANGED_REASON_LOGINING", "zego_room_state_changed_reason_logining", "ZegoRoomStateChangedReason.Logining"},
		{"1", "LOGINED", "Logined", "ZegoRoomStateChangedReasonLogined", "ZEGO_ROOM_STATE_CHANGED_REASON_LOGINED"},
		{"2", "2.0", "LOGIN_FAILED", "LoginFailed", "ZegoRoomStateChangedReason.LoginFailed", "zego_room_state_changed_reason_login_failed"},
		{"3", "RECONNECTING", "Reconnecting", "ZegoRoomStateChangedReasonReconnecting"},
		{"4", "RECONNECTED", "Reconnected", "ZEGO_ROOM_STATE_CHANGED_REASON_RECONNECTED"},
		{"5", "RECONNECT_FAILED", "ReconnectFailed", "ZegoRoomStateChangedReason.ReconnectFailed"},
		{"6", "KICKOUT", "Kickout", "KickOut", "KICK_OUT", "ZegoRoomStateChangedReasonKickOut", "ZEGO_ROOM_STATE_CHANGED_REASON_KICK_OUT", "ZegoRoomStateChangedReason.Kickout"},
		{"7", "LOGOUT", "Logout", "ZegoRoomStateChangedReason.Logout"},
		{"8", "LOGOUT_FAILED", "LogoutFailed", "zego_room_state_changed_reason_logout_failed"},
	}
	for want, names := range spellings {
		for _, name := range names {
			got, err := ParseReason(name)
			if err != nil || got != Reason(want) {
				t.Errorf("ParseReason(%q) = %v, %v; want %v", name, got, err, Reason(want))
			}
		}
	}
	for _, name := range []string{"", "9", "-1", "2.5", "KICK OUT", "CONNECTED", "Reason.Logout"} {
		if got, err := ParseReason(name); err == nil {
			t.Errorf("ParseReason(%q) = %v; want an error", name, got)
		}
	}
}

func TestPlatformsAndFamilies(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]struct {
		name   string
		family Family
	}{
		"web": {"web", Web}, "Flutter-Web": {"flutter_web", Web}, "MINI_PROGRAM": {"mini_program", Web},
		"React-Native": {"react_native", Native}, "iOS": {"ios", Native}, "tizen": {"unknown", Native}, "": {"unknown", Native},
	} {
		if name, family := NormalizePlatform(in); name != want.name || family != want.family {
			t.Errorf("NormalizePlatform(%q) = %q, %q; want %q, %q", in, name, family, want.name, want.family)
		}
	}
}

func TestRefusedReportsNameFieldAndReason(t *testing.T) {
	t.Parallel()
	long := `"` + strings.Repeat("x", 256) + `"`
	deep := strings.Repeat("[", 32) + strings.Repeat("]", 32)
	manyAttributes := `{"a":"1","b":"1","c":"1","d":"1","e":"1","f":"1","g":"1","h":"1","i":"1","j":"1","k":"1","l":"1","m":"1","n":"1","o":"1","p":"1","q":"1"}`
	for name, c := range map[string]struct {
		changes       map[string]string
		field, reason string
	}{
		"room id missing":       {map[string]string{"room_id": ""}, "room_id", "missing"},
		"room id null":          {map[string]string{"room_id": "null"}, "room_id", "missing"},
		"room id empty":         {map[string]string{"room_id": `""`}, "room_id", "empty"},
		"room id an object":     {map[string]string{"room_id": `{}`}, "room_id", "string or a number"},
		"room id true":          {map[string]string{"room_id": `true`}, "room_id", "string or a number"},
		"room id with NUL":      {map[string]string{"room_id": `"a\u0000b"`}, "room_id", "U+0000"},
		"user id of 256 bytes":  {map[string]string{"user_id": long}, "user_id", "256 bytes"},
		"session id too long":   {map[string]string{"session_id": `"` + strings.Repeat("x", 129) + `"`}, "session_id", "at most 128"},
		"seq negative":          {map[string]string{"seq": "-1"}, "seq", "0 to 999999"},
		"seq too large":         {map[string]string{"seq": "1000000"}, "seq", "0 to 999999"},
		"seq a fraction":        {map[string]string{"seq": "1.5"}, "seq", "whole number"},
		"reason missing":        {map[string]string{"reason": ""}, "reason", "missing"},
		"reason unknown":        {map[string]string{"reason": `"CONNECTED"`}, "reason", `"CONNECTED"`},
		"reason a list":         {map[string]string{"reason": `[1]`}, "reason", "[1]"},
		"error code missing":    {map[string]string{"error_code": ""}, "error_code", "missing"},
		"error code too large":  {map[string]string{"error_code": "9223372036854775808"}, "error_code", "64 bits"},
		"error code words":      {map[string]string{"error_code": `"none"`}, "error_code", `"none"`},
		"time without zone":     {map[string]string{"occurred_at": `"2026-03-01T10:00:00"`}, "occurred_at", "zone"},
		"time of 1999":          {map[string]string{"occurred_at": `"1999-12-31T23:59:59Z"`}, "occurred_at", "2000 to 2100"},
		"time in seconds":       {map[string]string{"occurred_at": `1772359200`}, "occurred_at", "2000 to 2100"},
		"platform an object":    {map[string]string{"platform": "{}"}, "platform", "no platform"},
		"platform missing":      {map[string]string{"platform": ""}, "platform", "missing"},
		"kind unknown":          {map[string]string{"kind": `"status"`}, "kind", "state, alive, lost, app or peer"},
		"app without why":       {map[string]string{"kind": `"app"`}, "why", "hidden, visible or closing"},
		"peer without user":     {map[string]string{"kind": `"peer"`, "update": `"ADD"`}, "peer_user_id", "no id"},
		"attributes nested":     {map[string]string{"attributes": `{"a":{}}`}, "attributes", "want a string"},
		"attributes a list":     {map[string]string{"attributes": `[]`}, "attributes", "object of strings"},
		"seventeen attributes":  {map[string]string{"attributes": manyAttributes}, "attributes", "at most 16"},
		"attributes too large":  {map[string]string{"attributes": `{"a":"` + strings.Repeat("x", 4096) + `"}`}, "attributes", "4096 bytes"},
		"nested 33 deep":        {map[string]string{"extended_data": deep}, "extended_data", "33 deep"},
		"not UTF-8":             {map[string]string{"carrier": "\"\xff\""}, "carrier", "UTF-8"},
		"not UTF-8 and unknown": {map[string]string{"x": "\"\xff\""}, "x", "UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := FromReport(noon, report(t, c.changes))
			var r *Refused
			if !errors.As(err, &r) || r.Field != c.field || !strings.Contains(r.Reason, c.reason) {
				t.Errorf("got %v; want field %q and a reason with %q", err, c.field, c.reason)
			}
		})
	}
	for name, body := range map[string]string{
		"a number": "5", "nothing": "", "half": `{"app_id":`, "trailing": `{"app_id":1}x`, "twice": `{"seq":1,"seq":2}`, "comma": `{"seq":1,}`,
	} {
		if _, err := FromReport(noon, []byte(body)); err == nil {
			t.Errorf("%s: %q was taken", name, body)
		}
	}
}

func TestReportsAreNormalized(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		changes map[string]string
		got     func(Event) any
		want    any
	}{
		"app id as a number":            {map[string]string{"app_id": "4000000001"}, func(e Event) any { return e.AppID }, "4000000001"},
		"a large number keeps digits":   {map[string]string{"session_id": "12345678901234567890123"}, func(e Event) any { return e.SessionID }, "12345678901234567890123"},
		"255 bytes of CJK":              {map[string]string{"user_id": `"` + strings.Repeat("用", 85) + `"`}, func(e Event) any { return len(e.UserID) }, 255},
		"seq as 5.0":                    {map[string]string{"seq": "5.0"}, func(e Event) any { return e.Seq }, int64(5)},
		"seq as text":                   {map[string]string{"seq": `"5"`}, func(e Event) any { return e.Seq }, int64(5)},
		"seq as 50e-1":                  {map[string]string{"seq": "50e-1"}, func(e Event) any { return e.Seq }, int64(5)},
		"ten-digit error code":          {map[string]string{"error_code": `"1100001016"`}, func(e Event) any { return e.ErrorCode }, int64(1100001016)},
		"Unix milliseconds":             {map[string]string{"occurred_at": "1772359200123"}, func(e Event) any { return e.OccurredAt }, time.UnixMilli(1772359200123).UTC()},
		"another zone":                  {map[string]string{"occurred_at": `"2026-03-01t18:00:00.5+08:00"`}, func(e Event) any { return e.OccurredAt }, time.Date(2026, 3, 1, 10, 0, 0, 5e8, time.UTC)},
		"null is absent":                {map[string]string{"carrier": "null"}, func(e Event) any { return e.Carrier }, ""},
		"a number where text is due":    {map[string]string{"sdk_version": "3.12"}, func(e Event) any { return e.SDKVersion }, "3.12"},
		"NUL in optional text":          {map[string]string{"carrier": `"a\u0000b"`}, func(e Event) any { return e.Carrier }, "a\uFFFDb"},
		"a list where text is due":      {map[string]string{"carrier": `["x"]`}, func(e Event) any { return e.Carrier }, ""},
		"long text is cut at a letter":  {map[string]string{"region": `"` + strings.Repeat("用", 100) + `"`}, func(e Event) any { return e.Region }, strings.Repeat("用", 85)},
		"extended data as sent":         {map[string]string{"extended_data": `{ "a" : 9007199254740993 }`}, func(e Event) any { return string(e.ExtendedData) }, `{ "a" : 9007199254740993 }`},
		"extended data loses NUL":       {map[string]string{"extended_data": `"a\u0000b\\u0000"`}, func(e Event) any { return string(e.ExtendedData) }, `"a\ufffdb\\u0000"`},
		"half a surrogate":              {map[string]string{"extended_data": `"\ud800x\ud83d\ude00"`}, func(e Event) any { return string(e.ExtendedData) }, `"\ufffdx\ud83d\ude00"`},
		"extended data null":            {map[string]string{"extended_data": `null`}, func(e Event) any { return e.ExtendedData == nil }, true},
		"family overrules":              {map[string]string{"platform": `"electron"`, "family": `"web"`}, func(e Event) any { return e.Family }, Web},
		"an unknown family does not":    {map[string]string{"family": `"tv"`}, func(e Event) any { return e.Family }, Web},
		"network folded":                {map[string]string{"network": `"WiFi"`}, func(e Event) any { return e.Network }, "wifi"},
		"attributes full of NUL":        {map[string]string{"attributes": `{"a":"` + strings.Repeat(`\u0000`, 2000) + `"}`}, func(e Event) any { return len(e.Attributes) }, 6008},
		"attributes sorted":             {map[string]string{"attributes": `{"b":"2","a":1,"c":null}`}, func(e Event) any { return e.Attributes }, `{"a":"1","b":"2"}`},
		"retry window of wrong type":    {map[string]string{"retry_window_ms": `"300000"`}, func(e Event) any { return e.RetryWindowMS }, int64(0)},
		"retry window":                  {map[string]string{"retry_window_ms": `20000`}, func(e Event) any { return e.RetryWindowMS }, int64(20000)},
		"monotonic fraction":            {map[string]string{"monotonic_ms": `12.5`}, func(e Event) any { return e.MonotonicMS }, 12.5},
		"a client cannot set the trust": {map[string]string{"trust": `"vendor"`, "received_at": `"2020-01-01T00:00:00Z"`}, func(e Event) any { return string(e.Trust) + e.ReceivedAt.Format("15:04") }, "12:00"},
		"alive needs no reason":         {map[string]string{"kind": `"alive"`, "reason": "", "error_code": ""}, func(e Event) any { return e.Reason }, NoReason},
		"lost counts":                   {map[string]string{"kind": `"lost"`, "count": `3`, "why": `"buffer full"`}, func(e Event) any { return e.Count }, int64(3)},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := FromReport(noon, report(t, c.changes))
			if err != nil {
				t.Fatal(err)
			}
			if got := c.got(e); got != c.want {
				t.Errorf("got %v; want %v", got, c.want)
			}
			back, err := Decode(SchemaVersion, Encode(&e))
			if err != nil || !back.Same(&e) || !bytes.Equal(Encode(&back), Encode(&e)) {
				t.Errorf("the message reads back as %+v, %v", back, err)
			}
		})
	}
}

func TestClockOffset(t *testing.T) {
	t.Parallel()
	e, err := FromReport(noon, report(t, map[string]string{"occurred_at": `"2026-03-01T10:00:00Z"`}))
	if err != nil {
		t.Fatal(err)
	}
	for sent, want := range map[time.Duration]time.Duration{0: 0, -5000 * time.Millisecond: 0, -5001 * time.Millisecond: 5001 * time.Millisecond, 3 * time.Hour: -3 * time.Hour} {
		e.SetSentAt(noon.Add(sent))
		if got := e.HappenedAt().Sub(e.OccurredAt); got != want {
			t.Errorf("sent %v off: corrected by %v, want %v", sent, got, want)
		}
	}
}

func TestBucketsAreConstantForEver(t *testing.T) {
	t.Parallel()
	// Computed once; a change here would tear users apart.
	for who, want := range map[[2]string]int{{"app", "u1"}: 691, {"4000000001", "用户"}: 720} {
		if got := Bucket(who[0], who[1]); got != want {
			t.Errorf("Bucket(%q) = %d, want %d", who, got, want)
		}
	}
	for b := range Buckets {
		if Partition(b, 1) != 0 || Partition(b, 4) != b/256 {
			t.Fatalf("bucket %d: partition %d of 1, %d of 4", b, Partition(b, 1), Partition(b, 4))
		}
	}
}

// Samples of the message format are kept for ever: each must still be read.
func TestStoredSamplesStayReadable(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/v*/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	kindsSeen := map[Kind]bool{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		version := strings.TrimPrefix(filepath.Base(filepath.Dir(f)), "v")
		e, err := Decode(version, bytes.TrimSpace(b))
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		kindsSeen[e.Kind] = true
		if got := Encode(&e); version == SchemaVersion && !bytes.Equal(got, bytes.TrimSpace(b)) {
			t.Errorf("%s is written as\n%s", f, got)
		}
	}
	for _, k := range append(slices.Collect(maps.Values(kinds)), RoomCreate, RoomClose, RoomLogin, RoomLogout) {
		if !kindsSeen[k] {
			t.Errorf("kind %s has no sample in testdata", k)
		}
	}
}

func TestSameTreatsExtendedDataAsAValue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{`{"a":1,"b":[1,2]}`, `{ "b" : [1.0, 2], "a":1 }`, true},
		{`9007199254740993`, `9007199254740992`, false},
		{`"x"`, `"x"`, true}, {`"x"`, `"y"`, false}, {`{}`, `[]`, false}, {`{"a":null}`, `{"b":null}`, false},
	} {
		if got := sameJSON([]byte(c.a), []byte(c.b)); got != c.want {
			t.Errorf("sameJSON(%s, %s) = %v", c.a, c.b, got)
		}
	}
}

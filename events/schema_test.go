package events_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"roomtrail/events"
	"roomtrail/recordings"
)

// holder says what the schema and the parser each think of a report.
type holder struct{ schema *jsonschema.Schema }

func newHolder(t testing.TB) holder {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(events.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat() // of dates, as validators that care do
	if err := c.AddResource("urn:roomtrail:event", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("urn:roomtrail:event")
	if err != nil {
		t.Fatal(err)
	}
	return holder{schema}
}

func (h holder) ask(report []byte) (valid, taken error) {
	_, taken = events.FromReport(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), report)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(report))
	if err != nil {
		return err, taken
	}
	return h.schema.Validate(doc), taken
}

// values are spellings of a field: those that any event may have, and odd ones
// on which schema and parser must agree all the same.
type values struct {
	name       string
	good, odd  []string
	isOptional bool
}

var (
	ids   = []string{`"a"`, `"用户 \"1\""`, `4000000001`, `-1.5e3`, `"` + strings.Repeat("x", 128) + `"`}
	noIDs = []string{`""`, `null`, `{}`, `[1]`, `true`, `"a\u0000b"`, `"` + strings.Repeat("x", 256) + `"`, ``}
	texts = []string{`"x"`, `""`, `7`, `null`, `"a\u0000"`, `"` + strings.Repeat("x", 300) + `"`}

	fields = []values{
		{"app_id", ids, noIDs, false},
		{"room_id", ids, noIDs, false},
		{"user_id", ids, noIDs, false},
		{"session_id", ids, append(noIDs, `"`+strings.Repeat("x", 129)+`"`), false},
		{"seq", []string{`0`, `999999`, `5.0`, `50e-1`, `"7"`}, []string{`-1`, `1000000`, `1.5`, `"1000000"`, `"-1"`, `"x"`, `""`, `null`, `[]`, `true`, ``}, false},
		{"kind", []string{`"state"`, `"alive"`, `"lost"`, `"app"`, `"peer"`, `null`}, []string{`"State"`, `"status"`, `0`, `{}`}, true},
		{"reason", []string{`0`, `8`, `4.0`, `"3"`, `"LOGINING"`, `"KickOut"`, `"kick_out"`, `"ZegoRoomStateChangedReason.Logout"`, `"ZEGO_ROOM_STATE_CHANGED_REASON_LOGOUT_FAILED"`},
			[]string{`9`, `-1`, `2.5`, `"9"`, `""`, `"KICK OUT"`, `"CONNECTED"`, `"Reason.Logout"`, `"Logout."`, `"..Logout"`, `"_._logout_"`}, false},
		{"error_code", []string{`0`, `1002051`, `-1`, `9223372036854775807`, `"1100001016"`, `1e3`}, []string{`9223372036854775808`, `1.5`, `"none"`, `""`, `"1.5"`}, false},
		{"extended_data", []string{`null`, `""`, `{"a":[1,null]}`, `"{broken"`, `false`}, nil, true},
		{"via", []string{`"login"`, `"switch"`, `null`}, nil, true},
		{"occurred_at", []string{`1772359200123`, `1772359200123.5`, `"2026-03-01T10:00:00Z"`, `"2026-03-01t10:00:00.123456789+08:00"`, `"2100-12-31T23:59:59Z"`, `"1999-12-31T20:00:00-08:00"`},
			[]string{`1772359200`, `4133980800000`, `"2026-03-01T10:00:00"`, `"2026-03-01"`, `"2026-02-30T10:00:00Z"`, `"2026-03-01T24:00:00Z"`, `"2026-03-01T10:00:60Z"`, `"2026-03-01T10:00:00+8:00"`, `"1998-03-01T10:00:00Z"`, `"now"`, `null`, `{}`, ``}, false},
		{"monotonic_ms", []string{`12.5`, `0`, `-3`, `null`}, nil, true},
		{"boot_id", texts, nil, true},
		{"platform", []string{`"web"`, `"React-Native"`, `"tizen"`, `""`, `5`}, []string{`null`, `{}`, `true`, ``}, false},
		{"family", []string{`"web"`, `"native"`, `null`}, nil, true},
		{"device_id", texts, nil, true}, {"sdk_version", texts, nil, true}, {"app_version", texts, nil, true}, {"os", texts, nil, true},
		{"network", texts, nil, true}, {"carrier", texts, nil, true}, {"region", texts, nil, true}, {"room_session_id", texts, nil, true},
		{"retry_window_ms", []string{`1`, `86400000`, `2e4`, `null`}, nil, true},
		{"attributes", []string{`{}`, `{"a":"1","b":2,"c":null}`, `null`, members(16)}, []string{`[]`, `"x"`, `{"a":{}}`, `{"a":true}`, members(17)}, true},
		{"count", []string{`0`, `3`, `"3"`, `null`}, nil, true},
		{"why", []string{`"hidden"`, `"visible"`, `"closing"`}, []string{`"asleep"`, `null`, ``}, false},
		{"update", []string{`"ADD"`, `"DELETE"`}, []string{`"add"`, `null`, ``}, false},
		{"peer_user_id", []string{`"u2"`, `77`}, []string{`null`, ``}, false},
		{"anything_else", []string{`{"a":1}`, `null`}, nil, true},
	}
)

func members(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`"k%d":"v"`, i))
	}
	return "{" + strings.Join(list, ",") + "}"
}

// drawReport is a report that is mostly right: about every second one has
// a field in a spelling that is odd.
func drawReport(t *rapid.T) []byte {
	var list []string
	for _, f := range fields {
		choices := f.good
		if f.isOptional && rapid.IntRange(0, 2).Draw(t, f.name+" absent") == 0 {
			continue
		}
		if len(f.odd) > 0 && rapid.IntRange(0, 15).Draw(t, f.name+" odd") == 0 {
			choices = f.odd
		}
		value := rapid.SampledFrom(choices).Draw(t, f.name)
		if f.name == "reason" && rapid.IntRange(0, 3).Draw(t, "reason drawn") == 0 {
			value = `"` + drawReason(t) + `"`
		}
		if value != "" {
			list = append(list, fmt.Sprintf("%q:%s", f.name, value))
		}
	}
	return []byte("{" + strings.Join(list, ",") + "}")
}

// drawReason spells a room state in cases and underscores of chance.
func drawReason(t *rapid.T) string {
	name := rapid.SampledFrom([]string{"", "ZegoRoomStateChangedReason", "ZegoRoomStateChangedReason."}).Draw(t, "prefix") +
		rapid.SampledFrom(events.Reasons[:]).Draw(t, "state").String()
	var out strings.Builder
	for _, c := range name {
		letter := string(c)
		switch rapid.IntRange(0, 5).Draw(t, "letter") {
		case 0:
			letter = strings.ToUpper(letter)
		case 1:
			letter = strings.ToLower(letter)
		case 2:
			letter += "_"
		}
		out.WriteString(letter)
	}
	return out.String()
}

// What the schema takes the parser takes, and the other way round.
func TestTheSchemaSaysWhatTheParserDoes(t *testing.T) {
	t.Parallel()
	h := newHolder(t)
	taken := 0
	rapid.Check(t, func(t *rapid.T) {
		report := drawReport(t)
		schemaSays, parserSays := h.ask(report)
		if (schemaSays == nil) != (parserSays == nil) {
			t.Fatalf("%s\nschema: %v\nparser: %v", report, schemaSays, parserSays)
		}
		if parserSays == nil {
			taken++
		}
	})
	if taken == 0 {
		t.Error("no report was taken: the test shows nothing")
	}
}

func TestTheSchemaTakesWhatWasRecorded(t *testing.T) {
	t.Parallel()
	h := newHolder(t)
	check := func(name string, report []byte) {
		if schemaSays, parserSays := h.ask(report); (schemaSays == nil) != (parserSays == nil) {
			t.Errorf("%s: %s\nschema: %v\nparser: %v", name, report, schemaSays, parserSays)
		}
	}
	cases, err := recordings.Cases()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		for _, e := range c.Events {
			check(c.Name, e)
		}
	}
	traces, err := recordings.Traces()
	if err != nil {
		t.Fatal(err)
	}
	for _, trace := range traces {
		for _, r := range trace.Reports {
			check(trace.Name, r.JSON(time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)))
		}
	}
	for name, sample := range samples(t) {
		check(name, sample)
	}
}

// The short list of what a schema cannot say: it takes these, the parser does not.
func TestWhatASchemaCannotSay(t *testing.T) {
	t.Parallel()
	h := newHolder(t)
	for name, members := range map[string]string{
		"bytes that are not characters": `"room_id":"` + strings.Repeat("用", 200) + `"`,
		"an id of many digits":          `"room_id":1` + strings.Repeat("0", 255),
		"nesting":                       `"extended_data":` + strings.Repeat("[", 40) + strings.Repeat("]", 40),
		"a name twice":                  `"carrier":"a","carrier":"b"`,
		"the size of attributes":        `"attributes":{"a":"` + strings.Repeat("x", 4096) + `"}`,
		"the size of the event":         `"extended_data":"` + strings.Repeat("x", events.MaxEventBytes) + `"`,
		"64 bits in a string":           `"error_code":"9999999999999999999"`,
		"the year in UTC":               `"occurred_at":"2101-01-01T00:00:00Z"`,
		"a number without end":          `"seq":1.` + strings.Repeat("0", 100),
	} {
		schemaSays, parserSays := h.ask(with(members))
		if schemaSays != nil || parserSays == nil {
			t.Errorf("%s: schema: %v; parser: %v; want it taken by the schema alone", name, schemaSays, parserSays)
		}
	}
}

// The short list of what the parser forgives: the schema tells a sender that
// it is wrong, the door drops the field or reads it all the same.
func TestWhatTheParserForgives(t *testing.T) {
	t.Parallel()
	h := newHolder(t)
	for name, members := range map[string]string{
		"text of a wrong type":            `"carrier":{"name":"x"}`,
		"a clock as text":                 `"monotonic_ms":"12"`,
		"a window out of bounds":          `"retry_window_ms":-1`,
		"a way in that is none":           `"via":"door"`,
		"a family in another case":        `"family":"Web"`,
		"a number in a string, respelled": `"seq":"5.0"`,
		"a count that is none":            `"kind":"lost","count":"many"`,
		"a comma in a time":               `"occurred_at":"2026-03-01T10:00:00,5Z"`,
		"a field of another kind":         `"kind":"alive","peer_user_id":{}`,
		"nulls among many attributes":     `"attributes":{"z":null,` + membersOf(16) + `}`,
	} {
		schemaSays, parserSays := h.ask(with(members))
		if schemaSays == nil || parserSays != nil {
			t.Errorf("%s: schema: %v; parser: %v; want it taken by the parser alone", name, schemaSays, parserSays)
		}
	}
}

func membersOf(n int) string { return strings.Trim(members(n), "{}") }

// with is a report with members put in; those that it would have twice are
// left to the ones given.
func with(given string) []byte {
	list := []string{given}
	for name, value := range map[string]string{
		"app_id": `"a"`, "room_id": `"r"`, "user_id": `"u"`, "session_id": `"s"`, "seq": `0`,
		"reason": `0`, "error_code": `0`, "occurred_at": `1772359200000`, "platform": `"web"`,
	} {
		if !strings.Contains(given, `"`+name+`":`) {
			list = append(list, fmt.Sprintf("%q:%s", name, value))
		}
	}
	return []byte("{" + strings.Join(list, ",") + "}")
}

func samples(t *testing.T) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("testdata/v1/*.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	out := map[string][]byte{}
	for _, name := range names {
		if out[name], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

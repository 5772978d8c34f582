package events

import (
	"bytes"
	"encoding/json"
	"sort"
	"strings"
	"testing"
	"unicode/utf8"
)

func sortedKeys(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// FuzzScanner holds the scanner equal to encoding/json.
func FuzzScanner(f *testing.F) {
	for _, s := range []string{`{}`, `[]`, `[1,2]`, `{"a":[{"b":null}],"c":"\u00e9\n"}`, `"\ud83d\ude00"`, `-0.5e+10`, `[1,]`, `{"a"}`, `{,}`, `[[`, `tru`, `01`, `"\x"`, ` 1 `, `[]]`, `{"a":1,}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		end, depth, err := NextValue(b, SkipSpace(b, 0))
		got := err == nil && SkipSpace(b, end) == len(b)
		if depth > 9000 {
			return // encoding/json gives up there
		}
		if want := json.Valid(b); got != want {
			t.Fatalf("%q: scanner says %v (%v), encoding/json %v", b, got, err, want)
		}
		if got && b[SkipSpace(b, 0)] == '"' && utf8.Valid(b) {
			var want string
			if err := json.Unmarshal(b, &want); err != nil {
				t.Fatal(err)
			}
			if s := unquote(bytes.TrimSpace(b)); s != want {
				t.Fatalf("%q: unquoted as %q, encoding/json says %q", b, s, want)
			}
		}
	})
}

// FuzzFromReport: never a panic; what is taken can be stored and reads back.
func FuzzFromReport(f *testing.F) {
	f.Add(report(f, nil))
	f.Add(report(f, map[string]string{"extended_data": `"\u0000"`, "attributes": `{"a":1}`, "kind": `"app"`, "why": `"closing"`}))
	f.Add([]byte(`{"app_id":1,"room_id":"\ud800"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := FromReport(noon, line)
		if err != nil {
			r, ok := err.(*Refused)
			if !ok || r.Reason == "" || !utf8.ValidString(r.Field+r.Reason) {
				t.Fatalf("error %T %q", err, err)
			}
			return
		}
		msg := Encode(&e)
		if !utf8.Valid(msg) || !json.Valid(msg) {
			t.Fatalf("message %q is no JSON text", msg)
		}
		if strings.ContainsRune(e.RoomID+e.UserID+e.SessionID+e.Carrier+e.DeviceID+e.Attributes, 0) {
			t.Fatalf("U+0000 came through: %q", msg)
		}
		back, err := Decode(SchemaVersion, msg)
		if err != nil || !back.Same(&e) {
			t.Fatalf("%s reads back as %+v, %v", msg, back, err)
		}
	})
}

// FuzzDecode: a damaged message is an error, never a panic.
func FuzzDecode(f *testing.F) {
	e, _ := FromReport(noon, report(f, nil))
	f.Add(Encode(&e))
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = Decode(SchemaVersion, b) })
}

func BenchmarkFromReport(b *testing.B) {
	line := report(b, map[string]string{
		"reason": `"RECONNECTING"`, "error_code": "1000017", "sdk_version": `"3.12.0"`, "network": `"wifi"`,
		"device_id": `"d-0f3a9c"`, "boot_id": `"b-1"`, "monotonic_ms": "123456.7", "carrier": `"cmcc"`, "region": `"cn-east"`,
	})
	b.ReportAllocs()
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		if _, err := FromReport(noon, line); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	e, _ := FromReport(noon, report(b, map[string]string{"sdk_version": `"3.12.0"`, "network": `"wifi"`, "device_id": `"d-0f3a9c"`}))
	msg := Encode(&e)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(SchemaVersion, msg); err != nil {
			b.Fatal(err)
		}
	}
}

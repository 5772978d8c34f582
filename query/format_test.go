package query

import (
	"encoding/json"
	"math"
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		ms   int64
		want string
	}{
		{0, "0 ms"}, {1, "1 ms"}, {120, "120 ms"}, {999, "999 ms"}, {1000, "1.0 s"}, {7250, "7.2 s"},
		{59_999, "59.9 s"}, {60_000, "1m 00s"}, {89_999, "1m 29s"}, {90_000, "1m 30s"},
		{3_599_999, "59m 59s"}, {3_600_000, "1h 00m"}, {7_500_000, "2h 05m"},
		{86_399_999, "23h 59m"}, {86_400_000, "1d 0h"}, {273_600_000, "3d 4h"},
		{-120, "-120 ms"}, {-90_000, "-1m 30s"}, {math.MinInt64, "-106751991167d 7h"},
	} {
		if got := Duration(tc.ms); got != tc.want {
			t.Errorf("Duration(%d) = %q, want %q", tc.ms, got, tc.want)
		}
	}
}

func TestPercent(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		share float64
		want  string
	}{
		{0, "0.0 %"}, {1, "100.0 %"}, {0.5, "50.0 %"}, {0.973, "97.3 %"}, {0.9996, "99.9 %"},
		{0.0004, "<0.1 %"}, {0.001, "0.1 %"}, {0.07, "7.0 %"}, {0.29, "29.0 %"}, {0.58, "58.0 %"},
	} {
		if got := Percent(tc.share); got != tc.want {
			t.Errorf("Percent(%g) = %q, want %q", tc.share, got, tc.want)
		}
	}
}

func TestCell(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("CST", 8*3600)
	for _, tc := range []struct {
		column string
		v      any
		want   string
	}{
		{"room_id", nil, "–"},
		{"room_id", "会议室", "会议室"},
		{"duration_ms", int64(90_000), "1m 30s"},
		{"error_code", int64(1_002_033), "1002033"},
		{"login_success_rate", 0.973, "97.3 %"},
		{"share", 1.0, "100.0 %"},
		{"lag_seconds", 1.5, "1.5"},
		{"is_import", true, "yes"},
		{"is_import", false, "no"},
		{"started_at", time.Date(2026, 3, 1, 20, 0, 0, 0, time.UTC), "2026-03-02 04:00:00"},
		{"extended_data", json.RawMessage(`{"a": "b"}`), `{"a": "b"}`},
		{"by", []string{"a", "b"}, "a, b"},
	} {
		if got := Cell(tc.column, tc.v, zone); got != tc.want {
			t.Errorf("Cell(%s, %v) = %q, want %q", tc.column, tc.v, got, tc.want)
		}
	}
}

func TestClean(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, want string }{
		{"plain", "plain"},
		{"会议室 👩‍💻", "会议室 👩‍💻"},
		{"\x1b[31mred\x1b[0m", `\x1b[31mred\x1b[0m`},
		{"two\nlines\ttab", `two\nlines\ttab`},
		{"\u202eturned", `\u202eturned`},
		{"a\u200bb\u2028c", `a\u200bb\u2028c`},
		{"\xff", "\uFFFD"},
		{"it's \"quoted\" \\", "it's \"quoted\" \\"},
	} {
		if got := Clean(tc.in); got != tc.want {
			t.Errorf("Clean(%q) = %q, want %q", tc.in, got, tc.want)
		}
	}
}

func TestSpan(t *testing.T) {
	t.Parallel()
	r := Range{time.Date(2026, 3, 1, 2, 12, 0, 0, time.UTC), time.Date(2026, 3, 1, 3, 12, 0, 0, time.UTC)}
	if got, want := r.Span(time.UTC), "2026-03-01 02:12:00 to 03:12:00 UTC"; got != want {
		t.Errorf("Span = %q, want %q", got, want)
	}
	r.Since = r.Since.AddDate(0, 0, -1)
	if got, want := r.Span(time.UTC), "2026-02-28 02:12:00 to 2026-03-01 03:12:00 UTC"; got != want {
		t.Errorf("Span = %q, want %q", got, want)
	}
}

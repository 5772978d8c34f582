package query

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skipf("time zones: %v", err)
	}
	utcNow := time.Date(2026, 3, 1, 10, 30, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		now  time.Time
		text string
		want string // RFC 3339 in UTC
	}{
		"minutes back":             {utcNow, "15m", "2026-03-01T10:15:00Z"},
		"hours back":               {utcNow, "2h", "2026-03-01T08:30:00Z"},
		"days back":                {utcNow, "7d", "2026-02-22T10:30:00Z"},
		"weeks back":               {utcNow, "1w", "2026-02-22T10:30:00Z"},
		"mixed":                    {utcNow, "1d2h30m", "2026-02-28T08:00:00Z"},
		"half an hour":             {utcNow, "0.5h", "2026-03-01T10:00:00Z"},
		"milliseconds":             {utcNow, "500ms", "2026-03-01T10:29:59.5Z"},
		"clock today":              {utcNow, "03:12", "2026-03-01T03:12:00Z"},
		"clock with one digit":     {utcNow, "3:12", "2026-03-01T03:12:00Z"},
		"clock with seconds":       {utcNow, "03:12:45", "2026-03-01T03:12:45Z"},
		"clock that is now":        {utcNow, "10:30", "2026-03-01T10:30:00Z"},
		"clock in the future":      {utcNow, "23:50", "2026-02-28T23:50:00Z"},
		"clock of now's zone":      {utcNow.In(berlin), "03:12", "2026-03-01T02:12:00Z"},
		"yesterday of now's zone":  {time.Date(2026, 3, 1, 0, 30, 0, 0, berlin), "23:50", "2026-02-28T22:50:00Z"},
		"RFC 3339":                 {utcNow, "2026-02-01T03:12:00Z", "2026-02-01T03:12:00Z"},
		"RFC 3339 with zone":       {utcNow, "2026-02-01T03:12:00+02:00", "2026-02-01T01:12:00Z"},
		"RFC 3339 with fraction":   {utcNow, "2026-02-01T03:12:00.25Z", "2026-02-01T03:12:00.25Z"},
		"RFC 3339 in the future":   {utcNow, "2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z"},
		"a duration of no length":  {utcNow, "0m", "2026-03-01T10:30:00Z"},
		"as far back as it allows": {utcNow, "365d", "2025-03-01T10:30:00Z"},
	} {
		got, err := ParseTime("since", tc.now, tc.text)
		if err != nil {
			t.Errorf("%s: ParseTime(%q): %v", name, tc.text, err)
			continue
		}
		if got := got.UTC().Format(time.RFC3339Nano); got != tc.want {
			t.Errorf("%s: ParseTime(%q) = %s, want %s", name, tc.text, got, tc.want)
		}
	}
}

func TestParseTimeRefuses(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 10, 30, 0, 0, time.UTC)
	for _, text := range []string{
		"yesterday", "15", "m", "-15m", "15 m", "15M", "1h-5m", "24:00", "12:60", "1:2:3:4", "2026-03-01", "2026-03-01 03:12",
		"2026-03-01T03:12:00", "2026-13-01T00:00:00Z", "99999w", "0001-01-01T00:00:00Z", "9999-01-01T00:00:00Z", "1e9h", " 1h",
		strings.Repeat("9", 400) + "h",
	} {
		_, err := ParseTime("until", now, text)
		var invalid *InvalidError
		if !errors.As(err, &invalid) {
			t.Errorf("ParseTime(%q): %v, want an InvalidError", text, err)
			continue
		}
		if invalid.Param != "until" || invalid.Value != text || invalid.Want == "" {
			t.Errorf("ParseTime(%q): %+v names not what was wrong", text, invalid)
		}
	}
}

func TestParseRange(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 10, 30, 0, 0, time.UTC)
	for name, tc := range map[string]struct{ since, until, wantSince, wantUntil string }{
		"last hour without both":     {"", "", "09:30", "10:30"},
		"since alone":                {"2h", "", "08:30", "10:30"},
		"until alone":                {"", "2h", "07:30", "08:30"},
		"both":                       {"03:00", "03:30", "03:00", "03:30"},
		"an end that is yet to come": {"1h", "2026-03-01T11:00:00Z", "09:30", "11:00"},
	} {
		r, err := ParseRange(now, tc.since, tc.until)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := r.Since.Format("15:04"); got != tc.wantSince {
			t.Errorf("%s: since %s, want %s", name, got, tc.wantSince)
		}
		if got := r.Until.Format("15:04"); got != tc.wantUntil {
			t.Errorf("%s: until %s, want %s", name, got, tc.wantUntil)
		}
	}
	for name, tc := range map[string]struct{ since, until, param string }{
		"since after until":  {"1h", "2h", "since"},
		"since is until":     {"1h", "1h", "since"},
		"since is now":       {"0m", "", "since"},
		"unreadable since":   {"soon", "1h", "since"},
		"unreadable until":   {"1h", "soon", "until"},
		"since in future":    {"2027-01-01T00:00:00Z", "", "since"},
		"clocks the way not": {"10:00", "09:00", "since"},
	} {
		_, err := ParseRange(now, tc.since, tc.until)
		var invalid *InvalidError
		if !errors.As(err, &invalid) || invalid.Param != tc.param {
			t.Errorf("%s: %v, want an InvalidError of %s", name, err, tc.param)
		}
	}
}

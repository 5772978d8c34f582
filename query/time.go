package query

import (
	"regexp"
	"strconv"
	"time"
)

// A Range is a span of time, Since included and Until not.
type Range struct{ Since, Until time.Time }

// DefaultSpan is how far back a question looks that names no time.
const DefaultSpan = time.Hour

const wantTime = "a duration back from now (15m, 2h, 7d), a clock time (03:12) or RFC 3339 (2026-03-01T03:12:00Z)"

// ParseRange reads the two ends of a span as ParseTime does. Until is now where
// it is empty, Since one DefaultSpan before Until.
func ParseRange(now time.Time, since, until string) (Range, error) {
	r := Range{Until: now}
	var err error
	if until != "" {
		if r.Until, err = ParseTime("until", now, until); err != nil {
			return Range{}, err
		}
	}
	r.Since = r.Until.Add(-DefaultSpan)
	if since != "" {
		if r.Since, err = ParseTime("since", now, since); err != nil {
			return Range{}, err
		}
	}
	if !r.Since.Before(r.Until) {
		return Range{}, &InvalidError{
			"since", since, "is " + r.Since.Format(time.RFC3339) + ", not before until",
			"a time before " + r.Until.Format(time.RFC3339),
		}
	}
	return r, nil
}

// ParseTime reads a duration back from now, a clock time of now's zone (the
// latest one that is not in the future), or RFC 3339.
func ParseTime(param string, now time.Time, text string) (time.Time, error) {
	if d, ok := parseSpan(text); ok {
		return now.Add(-d), nil
	}
	for _, layout := range []string{"15:04", "15:04:05"} {
		if clock, err := time.Parse(layout, text); err == nil {
			return lastClock(now, clock), nil
		}
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, &InvalidError{param, text, "is no time", wantTime}
	}
	// Beyond these years Postgres and RFC 3339 stop agreeing on spelling.
	if t.Year() < 1970 || t.Year() > 2262 {
		return time.Time{}, &InvalidError{param, text, "is out of bounds", "a year from 1970 to 2262"}
	}
	return t, nil
}

func lastClock(now, clock time.Time) time.Time {
	on := func(day int) time.Time {
		return time.Date(now.Year(), now.Month(), day, clock.Hour(), clock.Minute(), clock.Second(), 0, now.Location())
	}
	today := on(now.Day())
	if today.After(now) {
		return on(now.Day() - 1)
	}
	return today
}

var (
	span     = regexp.MustCompile(`^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d|w))+$`)
	spanPart = regexp.MustCompile(`(\d+(?:\.\d+)?)(ms|s|m|h|d|w)`)
	units    = map[string]time.Duration{
		"ms": time.Millisecond, "s": time.Second, "m": time.Minute,
		"h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
	}
)

// parseSpan is time.ParseDuration with days and weeks and without signs. More
// than fifty years is no span but a slip of the finger.
func parseSpan(text string) (time.Duration, bool) {
	if !span.MatchString(text) {
		return 0, false
	}
	var sum float64
	for _, part := range spanPart.FindAllStringSubmatch(text, -1) {
		n, err := strconv.ParseFloat(part[1], 64)
		if err != nil {
			return 0, false
		}
		sum += n * float64(units[part[2]])
	}
	if sum > float64(50*365*24*time.Hour) {
		return 0, false
	}
	return time.Duration(sum), true
}

package query

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// What people read. Everything here loses something; machine formats carry the
// raw values.

// Nil stands for NULL where people read: not known, or not yet.
const Nil = "–"

// Heading is a column's name for people: no underscores, no unit, which the
// values carry.
func Heading(column string) string {
	return strings.ReplaceAll(strings.TrimSuffix(column, "_ms"), "_", " ")
}

// Cell is a value for people, by its type and the ending of its column's name:
// _ms is a duration, rate and share are parts of one.
func Cell(column string, v any, zone *time.Location) string {
	switch v := v.(type) {
	case nil:
		return Nil
	case time.Time:
		return v.In(zone).Format(time.DateTime)
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case int64:
		if strings.HasSuffix(column, "_ms") {
			return Duration(v)
		}
		return strconv.FormatInt(v, 10)
	case float64:
		if strings.HasSuffix(column, "rate") || strings.HasSuffix(column, "share") {
			return Percent(v)
		}
		if strings.HasSuffix(column, "_ms") && column != "monotonic_ms" {
			return Duration(int64(v)) // a percentile of durations, say
		}
		if v == math.Trunc(v) && math.Abs(v) < 1e15 {
			return strconv.FormatFloat(v, 'f', 0, 64)
		}
		return strconv.FormatFloat(v, 'g', 6, 64)
	case string:
		return Clean(v)
	case []string:
		return Clean(strings.Join(v, ", "))
	case json.RawMessage:
		return Clean(string(v))
	}
	return Clean(fmt.Sprint(v))
}

// Duration spells milliseconds for people: 120 ms, 7.2 s, 1m 30s, 2h 05m, 3d 4h.
// It cuts and never rounds up: 89 999 ms has not passed 90 s and must not look
// as if it had.
func Duration(ms int64) string {
	if ms < 0 {
		if ms == math.MinInt64 {
			ms++
		}
		return "-" + Duration(-ms)
	}
	s := ms / 1000
	switch {
	case ms < 1000:
		return fmt.Sprintf("%d ms", ms)
	case s < 60:
		return fmt.Sprintf("%d.%d s", s, ms%1000/100)
	case s < 3600:
		return fmt.Sprintf("%dm %02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh %02dm", s/3600, s%3600/60)
	}
	return fmt.Sprintf("%dd %dh", s/86400, s%86400/3600)
}

// Percent spells a share for people. Like Duration it cuts: 99.96 % of the
// logins is not all of them. What is more than nothing does not read 0.
func Percent(share float64) string {
	tenths := math.Floor(share*1000 + 1e-9)
	if tenths == 0 && share > 0 {
		return "<0.1 %"
	}
	return fmt.Sprintf("%.1f %%", tenths/10)
}

// Clean makes text from outside safe to print: what is not meant to be seen
// (escape sequences of a terminal, marks that turn the direction of writing,
// line ends) is spelled out, as is what is not UTF-8.
func Clean(s string) string {
	hidden := func(r rune) bool {
		// The joiner is part of many emoji and of some scripts.
		return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && r != '\u200d' || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r)
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	if strings.IndexFunc(s, hidden) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if hidden(r) {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Span spells a range for people: the date once where both ends share it.
func (r Range) Span(zone *time.Location) string {
	since, until := r.Since.In(zone), r.Until.In(zone)
	end := until.Format(time.DateTime)
	if since.Format(time.DateOnly) == until.Format(time.DateOnly) {
		end = until.Format(time.TimeOnly)
	}
	return since.Format(time.DateTime) + " to " + end + " " + until.Format("MST")
}

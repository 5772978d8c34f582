package events

import (
	"bytes"
	"encoding/json"
	"math"
	"sort"
	"strconv"
	"strings"
	"time"
)

// maxRetryWindowMS bounds what an event may say of its own retry window: the
// web SDK takes at most an hour, a day leaves room for others.
const maxRetryWindowMS = 24 * 60 * 60 * 1000

// show prints a JSON value for a message: short, and "nothing" where absent.
func show(raw []byte) string {
	if raw == nil {
		return "nothing"
	}
	if raw[0] == '"' {
		return quoteShort(unquote(raw))
	}
	return strings.ToValidUTF8(cut(string(raw), 40), "\uFFFD")
}

func isNumber(raw []byte) bool { return len(raw) > 0 && (raw[0] == '-' || isDigit(raw[0])) }

// identifier reads a required id: a string, or a number kept as its literal.
func identifier(field string, raw []byte, limit int) (string, *Refused) {
	var s string
	switch {
	case isNumber(raw):
		s = string(raw)
	case len(raw) > 0 && raw[0] == '"':
		s = unquote(raw)
	default:
		return "", refuse(field, "%s is no id; want a string or a number", show(raw))
	}
	switch {
	case s == "":
		return "", refuse(field, "it is empty; want 1 to %d bytes", limit)
	case len(s) > limit:
		return "", refuse(field, "it has %d bytes; at most %d are taken", len(s), limit)
	case strings.IndexByte(s, 0) >= 0:
		return "", refuse(field, "%s holds U+0000, which no id may", quoteShort(s))
	}
	return s, nil
}

// text reads an optional string: a number is kept as its literal, U+0000
// becomes U+FFFD, what is longer than 255 bytes is cut, any other type is
// dropped.
func text(raw []byte) string {
	var s string
	switch {
	case isNumber(raw):
		s = string(raw)
	case len(raw) > 0 && raw[0] == '"':
		s = unquote(raw)
	default:
		return ""
	}
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	}
	return cut(s, maxTextBytes)
}

// integer reads a whole number, also as text.
func integer(raw []byte) (int64, bool) {
	if len(raw) > 1 && raw[0] == '"' {
		return parseInteger([]byte(unquote(raw)))
	}
	return parseInteger(raw)
}

// milliseconds reads a monotonic clock: a number, fractions allowed.
func milliseconds(raw []byte) (float64, bool) {
	if !isNumber(raw) {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || math.Abs(f) > 1e15 {
		return 0, false
	}
	return f, true
}

// network folds the case; what is not of the vocabulary is unknown.
func network(s string) string {
	switch s = strings.ToLower(s); s {
	case "", "wifi", "cellular", "ethernet", "none", "unknown":
		return s
	}
	return "unknown"
}

// Instant reads RFC 3339 with a zone or Unix milliseconds, in the years 2000
// to 2100, cut to microseconds. The error is a *Refused for field, or nil.
func Instant(field string, raw []byte) (time.Time, *Refused) {
	var t time.Time
	switch {
	case isNumber(raw):
		ms, err := strconv.ParseFloat(string(raw), 64)
		if err != nil || ms < minUnixMS || ms >= maxUnixMS {
			return t, refuse(field, "%s is no instant of the years 2000 to 2100; want RFC 3339 with zone, or Unix milliseconds", show(raw))
		}
		if n, ok := parseInteger(raw); ok {
			return time.UnixMilli(n).UTC(), nil
		}
		return time.UnixMicro(int64(math.Floor(ms * 1000))).UTC(), nil
	case len(raw) > 0 && raw[0] == '"':
		if err := t.UnmarshalText(bytes.ToUpper([]byte(unquote(raw)))); err != nil {
			return t, refuse(field, "%s is no instant; want RFC 3339 with zone such as 2026-03-01T10:00:00.000Z, or Unix milliseconds", show(raw))
		}
		t = t.UTC().Truncate(time.Microsecond)
		if ms := t.UnixMilli(); ms < minUnixMS || ms >= maxUnixMS {
			return t, refuse(field, "%s lies outside the years 2000 to 2100", show(raw))
		}
		return t, nil
	}
	return t, refuse(field, "%s is no instant; want RFC 3339 with zone, or Unix milliseconds", show(raw))
}

const (
	minUnixMS = 946_684_800_000   // 2000-01-01T00:00:00Z
	maxUnixMS = 4_133_980_800_000 // 2101-01-01T00:00:00Z
)

// attributes reads the flat map of strings into its canonical JSON: sorted
// names, so that equal maps are equal texts. What is stored already is not
// measured again: a replaced U+0000 has grown.
func attributes(raw []byte, limited bool) (string, *Refused) {
	const field = "attributes"
	if len(raw) == 0 || raw[0] != '{' {
		return "", refuse(field, "%s is no map; want an object of strings", show(raw))
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil {
		return "", refuse(field, "it cannot be read: %v", err)
	}
	names := make([]string, 0, len(m))
	size := 0
	for name, v := range m {
		if string(v) == "null" {
			continue
		}
		if v[0] != '"' && !isNumber(v) {
			return "", refuse(field, "%s is %s; want a string", quoteShort(name), show(v))
		}
		names = append(names, name)
		if size += len(name) + len(attributeText(v)); limited && size > maxAttributeBytes {
			return "", refuse(field, "its names and values have more than %d bytes together", maxAttributeBytes)
		}
	}
	if limited && len(names) > maxAttributes {
		return "", refuse(field, "it has %d members; at most %d are taken", len(names), maxAttributes)
	}
	if len(names) == 0 {
		return "", nil
	}
	sort.Strings(names)
	out := []byte{'{'}
	for i, name := range names {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendString(out, strings.ReplaceAll(name, "\x00", "\uFFFD"))
		out = append(out, ':')
		out = appendString(out, strings.ReplaceAll(attributeText(m[name]), "\x00", "\uFFFD"))
	}
	return string(append(out, '}')), nil
}

func attributeText(v []byte) string {
	if v[0] == '"' {
		return unquote(v)
	}
	return string(v)
}

// CanonicalAttributes spells a map of attributes the one way that compares.
func CanonicalAttributes(raw []byte) (string, error) {
	s, r := attributes(raw, false)
	if r != nil {
		return "", r
	}
	return s, nil
}

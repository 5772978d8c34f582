package query

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Look is how text for people is dressed.
type Look struct {
	Zone  *time.Location
	Color bool
}

// Tone is what a word says at a glance.
type Tone string

const (
	Plain Tone = ""
	Good  Tone = "32" // green
	Doubt Tone = "33" // yellow
	Bad   Tone = "31" // red
	Faint Tone = "2"
	Bold  Tone = "1"
)

// Paint dresses text in a tone, where the look has colours.
func (l Look) Paint(t Tone, text string) string {
	if !l.Color || t == Plain || text == "" {
		return text
	}
	return "\x1b[" + string(t) + "m" + text + "\x1b[0m"
}

// glyphs draws each state, so that an eye finds the trouble before it reads.
var glyphs = map[string]struct {
	sign string
	tone Tone
}{
	"Logining":        {"◌", Plain},
	"Logined":         {"●", Good},
	"LoginFailed":     {"✕", Bad},
	"Reconnecting":    {"◐", Doubt},
	"Reconnected":     {"●", Good},
	"ReconnectFailed": {"✕", Bad},
	"KickOut":         {"⊘", Bad},
	"Logout":          {"○", Plain},
	"LogoutFailed":    {"⚠", Doubt},
}

// who names a session. A session_id alone may be shared.
type who struct{ app, room, user, session string }

func whoOf(r map[string]any) who {
	return who{text(r["app_id"]), text(r["room_id"]), text(r["user_id"]), text(r["session_id"])}
}

// timeline is one session, gathered from the question and those beside it.
type timeline struct {
	who
	events, logins, interruptions, kicks []map[string]any
	anomalies                            map[int64][]map[string]any // by seq
	copies                               int
}

// WriteTimeline writes what a result of the question session says, one session
// after the other, as a person likes to read it.
func WriteTimeline(w io.Writer, r Result, look Look) error {
	var b bytes.Buffer
	for i, t := range gather(r) {
		if i > 0 {
			b.WriteString("\n")
		}
		t.writeHeader(&b, look)
		t.writeEvents(&b, look)
		t.writeSummary(&b, look)
	}
	if r.More {
		fmt.Fprintf(&b, "\n%s\n", look.Paint(Doubt, fmt.Sprintf("only the first %d events are shown; there are more", r.Limit)))
	}
	_, err := w.Write(b.Bytes())
	return err
}

// gather splits a result by session, in the order of its events.
func gather(r Result) []*timeline {
	var all []*timeline
	byWho := make(map[who]*timeline)
	for _, e := range r.Records() {
		k := whoOf(e)
		t, ok := byWho[k]
		if !ok {
			t = &timeline{who: k, anomalies: make(map[int64][]map[string]any)}
			byWho[k] = t
			all = append(all, t)
		}
		if truth(e["is_copy"]) {
			t.copies++
			continue
		}
		t.events = append(t.events, e)
	}
	each := func(name string, add func(*timeline, map[string]any)) {
		for _, row := range r.With[name].Records() {
			if t, ok := byWho[whoOf(row)]; ok {
				add(t, row)
			}
		}
	}
	each("sessions", func(t *timeline, row map[string]any) { t.logins = append(t.logins, row) })
	each("interruptions", func(t *timeline, row map[string]any) { t.interruptions = append(t.interruptions, row) })
	each("kicks", func(t *timeline, row map[string]any) { t.kicks = append(t.kicks, row) })
	each("anomalies", func(t *timeline, row map[string]any) {
		if seq, ok := row["seq"].(int64); ok {
			t.anomalies[seq] = append(t.anomalies[seq], row)
		}
	})
	for _, t := range all {
		sortBy(t.logins, "login_no")
		sortBy(t.interruptions, "interruption_no")
	}
	return all
}

func sortBy(rows []map[string]any, column string) {
	slices.SortStableFunc(rows, func(a, b map[string]any) int {
		return cmp.Compare(number(a[column]), number(b[column]))
	})
}

func (t *timeline) writeHeader(b *bytes.Buffer, look Look) {
	fmt.Fprintf(b, "%s  user %s  room %s  app %s\n", look.Paint(Bold, "session "+Clean(t.session)),
		look.Paint(Bold, Clean(t.user)), look.Paint(Bold, Clean(t.room)), Clean(t.app))
	said := t.events
	if len(t.logins) > 0 {
		said = t.logins // they know what any event of the login carried
	}
	if len(said) == 0 {
		return
	}
	var parts []string
	for _, column := range []string{"platform", "sdk_version", "app_version", "os", "network", "carrier", "region", "device_id"} {
		if v := text(said[0][column]); v != "" {
			parts = append(parts, look.Paint(Faint, strings.TrimSuffix(Heading(column), " id"))+" "+Clean(v))
		}
	}
	fmt.Fprintf(b, "%s\n\n", strings.Join(parts, "  "))
}

// Values of a row whose column may be missing or NULL.

func text(v any) string {
	s, _ := v.(string)
	return s
}

func number(v any) int64 {
	n, _ := v.(int64)
	return n
}

func truth(v any) bool {
	b, _ := v.(bool)
	return b
}

// spoken is what extended data says beyond being there: the text of a kick, or
// the data itself, on one line. A reporter may have sent JSON within a string.
func spoken(v any) string {
	raw, ok := v.(json.RawMessage)
	if !ok {
		raw = json.RawMessage(text(v))
	}
	var inner string
	if json.Unmarshal(raw, &inner) == nil {
		if !json.Valid([]byte(inner)) {
			return inner
		}
		raw = json.RawMessage(inner)
	}
	var kick struct {
		Message *string `json:"custom_kickout_message"`
	}
	if json.Unmarshal(raw, &kick) == nil && kick.Message != nil {
		return *kick.Message
	}
	switch s := strings.TrimSpace(string(raw)); s {
	case "null", "{}", "[]", `""`:
		return ""
	default:
		return s
	}
}

package query

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"
)

const eventFormat = "%-12s  %9s  %4s  "

// writeEvents writes one line for each event and one below it for each thing
// worth a second look. Runs of signs of life are one line: they say one thing.
func (t *timeline) writeEvents(b *bytes.Buffer, look Look) {
	var day string
	for i := 0; i < len(t.events); i++ {
		e := t.events[i]
		at, _ := e["happened_at"].(time.Time)
		if d := at.In(look.Zone).Format("Monday, 2006-01-02 (MST, -07:00)"); d != day {
			day = d
			fmt.Fprintln(b, look.Paint(Faint, d))
		}
		t.writeAnomalies(b, look, e, true)
		gap := ""
		if v, ok := e["gap_ms"].(int64); ok {
			gap = signed(v)
		}
		seq := Nil
		if v, ok := e["seq"].(int64); ok {
			seq = fmt.Sprint(v)
		}
		fmt.Fprintf(b, eventFormat, at.In(look.Zone).Format("15:04:05.000"), gap, seq)
		last := i
		for quiet(t, e) && last+1 < len(t.events) && quiet(t, t.events[last+1]) {
			last++
		}
		if last > i {
			fmt.Fprintf(b, "%s\n", look.Paint(Faint, fmt.Sprintf("· %d signs of life until %s", last-i+1,
				Cell("", t.events[last]["happened_at"], look.Zone))))
			i = last
			continue
		}
		writeEvent(b, look, e)
		t.writeAnomalies(b, look, e, false)
	}
	if t.copies > 0 {
		fmt.Fprintln(b, look.Paint(Faint, fmt.Sprintf("later copies of these events in the log: %d; the first of each counts", t.copies)))
	}
}

// quiet is a sign of life about which there is nothing to say.
func quiet(t *timeline, e map[string]any) bool {
	return text(e["kind"]) == "alive" && len(t.anomalies[number(e["seq"])]) == 0
}

func writeEvent(b *bytes.Buffer, look Look, e map[string]any) {
	reason := text(e["reason"])
	if reason == "" {
		fmt.Fprintln(b, look.Paint(Faint, "· "+Clean(text(e["kind"]))+from(e)))
	} else {
		g, ok := glyphs[reason]
		if !ok {
			g.sign = "?"
		}
		line := g.sign + " " + Clean(reason)
		if code := number(e["error_code"]); code != 0 {
			fmt.Fprintf(b, "%s  %d%s%s\n", look.Paint(g.tone, fmt.Sprintf("%-17s", line)), code, explain(e), from(e))
		} else {
			fmt.Fprintf(b, "%s%s\n", look.Paint(g.tone, line), from(e))
		}
	}
	if said := spoken(e["extended_data"]); said != "" {
		below(b, look, Faint, "“"+cut(Clean(said), 160)+"”")
	}
}

// from names a source other than the client, which is the usual one.
func from(e map[string]any) string {
	if s := text(e["source"]); s != "" && s != "client" {
		return "  (said by the " + Clean(s) + ")"
	}
	return ""
}

func explain(e map[string]any) string {
	meaning, category := Clean(text(e["error_meaning"])), Clean(text(e["error_category"]))
	switch {
	case meaning == "":
		return "  a code in no list of its family"
	case category == "":
		return "  " + meaning
	}
	return "  " + category + ": " + meaning
}

// writeAnomalies writes what is wrong at an event: before it the events that
// are missing there, after it the rest.
func (t *timeline) writeAnomalies(b *bytes.Buffer, look Look, e map[string]any, before bool) {
	seq, ok := e["seq"].(int64)
	if !ok {
		return
	}
	for _, a := range t.anomalies[seq] {
		kind := text(a["kind"])
		if (kind == "missing_seq") != before {
			continue
		}
		line := "! " + Clean(strings.ReplaceAll(kind, "_", " "))
		if detail := text(a["detail"]); detail != "" {
			line += ": " + cut(Clean(detail), 160)
		}
		below(b, look, Bad, line)
	}
}

// below writes a line under the state column.
func below(b *bytes.Buffer, look Look, tone Tone, line string) {
	fmt.Fprintf(b, eventFormat+"%s\n", "", "", "", look.Paint(tone, line))
}

func signed(ms int64) string {
	if ms < 0 {
		return Duration(ms)
	}
	return "+" + Duration(ms)
}

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// writeSummary says of each login what became of it.
func (t *timeline) writeSummary(b *bytes.Buffer, look Look) {
	for _, l := range t.logins {
		no := number(l["login_no"])
		mine := func(r map[string]any) bool { return number(r["login_no"]) == no }
		fmt.Fprintf(b, "\n%s  %s\n", look.Paint(Bold, fmt.Sprintf("login %d", no)), loginStory(l, look))
		for _, i := range t.interruptions {
			if mine(i) {
				writeInterruption(b, look, i)
			}
		}
		if i := slices.IndexFunc(t.kicks, mine); i >= 0 {
			writeKick(b, look, t.kicks[i])
		}
	}
	if len(t.logins) == 0 {
		fmt.Fprintln(b, "\nno state event, so no login")
	}
}

// loginOutcomes spells the outcomes of contract 4.6.
var loginOutcomes = map[string]struct {
	words string
	tone  Tone
}{
	"logged_in":       {"logged in", Good},
	"failed":          {"login failed", Bad},
	"cancelled":       {"cancelled before it was logged in", Plain},
	"pending":         {"still logging in", Doubt},
	"presumed_failed": {"presumed failed: no answer within the login timeout", Bad},
	"unknown":         {"start not seen", Doubt},
}

func loginStory(l map[string]any, look Look) string {
	o, ok := loginOutcomes[text(l["login_outcome"])]
	if !ok {
		o.words = Clean(text(l["login_outcome"]))
	}
	first := look.Paint(o.tone, o.words)
	if v, ok := l["time_to_login_ms"].(int64); ok {
		first += " after " + Duration(v)
	}
	if code, ok := l["login_error_code"].(int64); ok {
		first += fmt.Sprintf(" with %d", code)
		if truth(l["caller_fault"]) {
			first += " (the caller's fault)"
		}
	}
	parts := []string{first}
	if v := number(l["connected_ms"]); v > 0 {
		parts = append(parts, "connected "+Duration(v))
	}
	if v := number(l["reconnecting_ms"]); v > 0 {
		parts = append(parts, "reconnecting "+Duration(v))
	}
	if v := number(l["missing_events"]); v > 0 {
		parts = append(parts, look.Paint(Doubt, fmt.Sprintf("events missing: %d", v)))
	}
	return strings.Join(append(parts, ending(l, look)), ", ")
}

// ending says how a login ended, or what is known of one that has not.
func ending(l map[string]any, look Look) string {
	by := text(l["ended_by"])
	if by == "" {
		story := "not ended, last state " + Clean(text(l["state"]))
		if p := text(l["presence"]); p != "" {
			story += ", now " + Clean(p)
		}
		if v, ok := l["gone_at"].(time.Time); ok {
			story += " since " + Cell("", v, look.Zone)
		}
		return story
	}
	story := "ended by " + strings.ReplaceAll(Clean(by), "_", " ") + " at " + Cell("", l["ended_at"], look.Zone)
	if p := text(l["end_provenance"]); p != "" && p != "observed" {
		story += " (" + Clean(p) + ")"
	}
	return story
}

// cases spells the three documented cases of contract 4.10.
var cases = map[int64]struct {
	words string
	tone  Tone
}{
	1: {"case 1: back before the heartbeat timeout, nobody else noticed", Good},
	2: {"case 2: back after the heartbeat timeout, the others saw the user leave and return", Doubt},
	3: {"case 3: never back, the others saw the user leave", Bad},
}

func writeInterruption(b *bytes.Buffer, look Look, i map[string]any) {
	story := "open"
	if o := text(i["outcome"]); o != "" {
		story = strings.ReplaceAll(Clean(o), "_", " ")
	}
	if v, ok := i["duration_ms"].(int64); ok {
		story += " after " + Duration(v)
	} else if v, ok := i["age_ms"].(int64); ok {
		story += ", " + Duration(v) + " old"
	}
	if c, ok := cases[number(i["recovery_case"])]; ok {
		story += "; " + look.Paint(c.tone, c.words)
	} else if truth(i["heartbeat_timed_out"]) {
		story += "; " + look.Paint(Doubt, "past the heartbeat timeout")
	}
	if truth(i["heartbeat_ambiguous"]) {
		story += " (too close to the timeout to be sure)"
	}
	fmt.Fprintf(b, "         interruption %d at %s: %s\n", number(i["interruption_no"]), Cell("", i["started_at"], look.Zone), story)
}

func writeKick(b *bytes.Buffer, look Look, k map[string]any) {
	words := strings.ReplaceAll(Clean(text(k["kick_reason"])), "_", " ")
	if a := text(k["attribution"]); a != "" {
		words += ", " + strings.ReplaceAll(Clean(a), "_", " ")
	}
	if s := text(k["displaced_by_session_id"]); s != "" {
		words += ", by session " + Clean(s)
		if p := text(k["displaced_by_platform"]); p != "" {
			words += " on " + Clean(p)
		}
	}
	if m := text(k["message"]); m != "" {
		words += ": “" + cut(Clean(m), 160) + "”"
	}
	if v, ok := k["relogin_after_ms"].(int64); ok {
		words += "; back after " + Duration(v)
	}
	fmt.Fprintf(b, "         %s %s\n", look.Paint(Bad, "kicked:"), words)
}

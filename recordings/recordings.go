// Package recordings holds real and scripted input: callbacks recorded from
// the vendor's web SDK, and the conformance cases. Tests are checked against
// it, and the demo plays it.
//
// It promises the callbacks as they were recorded; what a reporter must add
// (user, session, number, time, platform) is added here and nowhere else.
package recordings

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"path"
	"sort"
	"strings"
	"time"
)

//go:embed conformance/*.json real/zego-web-sdk/*.ndjson
var files embed.FS

// Case is one conformance case: events in order of arrival, the time at which
// the views are read, and rows with the columns that matter.
type Case struct {
	Name   string
	About  string                      `json:"about"`
	Events []json.RawMessage           `json:"events"`
	Now    time.Time                   `json:"now"`
	Expect map[string][]map[string]any `json:"expect"`
}

// Cases reads all of them, in the order of their numbers.
func Cases() ([]Case, error) {
	var cases []Case
	err := each("conformance", ".json", func(name string, b []byte) error {
		c := Case{Name: name}
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		if err := d.Decode(&c); err != nil {
			return err
		}
		cases = append(cases, c)
		return nil
	})
	return cases, err
}

// Report is one event as a reporter would send it, its time counted from the
// first of its trace.
type Report struct {
	After  time.Duration
	Fields map[string]any // all but occurred_at; room_id may be missing or odd
}

// JSON is the event, where the trace begins at start.
func (r Report) JSON(start time.Time) []byte {
	fields := map[string]any{"occurred_at": start.Add(r.After).UnixMilli()}
	for k, v := range r.Fields {
		fields[k] = v
	}
	b, err := json.Marshal(fields)
	if err != nil {
		panic(fmt.Sprintf("fields that were read as JSON cannot be written: %v", err))
	}
	return b
}

// Trace is one recording.
type Trace struct {
	Name    string
	Reports []Report
}

// callback is a line of a recording.
type callback struct {
	TMS   int64    `json:"t_ms"`
	Event string   `json:"event"`
	Types []string `json:"types"`
	Args  []any    `json:"args"`
}

// Traces reads the recorded callbacks and adds what a reporter adds: it hears
// roomStateChanged alone (its coarse twin says the same once more), makes a
// session at each login, and counts in it.
func Traces() ([]Trace, error) {
	var traces []Trace
	err := each("real/zego-web-sdk", ".ndjson", func(name string, b []byte) error {
		if strings.Contains(name, ".") {
			return nil // what the page did and the wire saw
		}
		t, err := readTrace(name, b)
		traces = append(traces, t)
		return err
	})
	return traces, err
}

func readTrace(name string, b []byte) (Trace, error) {
	t := Trace{Name: name}
	type session struct {
		id  string
		seq int
	}
	sessions := map[string]*session{}
	var first int64
	for line := range bytes.Lines(b) {
		var c callback
		d := json.NewDecoder(bytes.NewReader(line))
		d.UseNumber()
		if err := d.Decode(&c); err != nil {
			return t, err
		}
		if c.Event != "roomStateChanged" {
			continue
		}
		if first == 0 {
			first = c.TMS
		}
		room := fmt.Sprint(c.Args[0])
		s := sessions[room]
		if s == nil || c.Args[1] == "LOGINING" {
			s = &session{id: fmt.Sprintf("%s-%d", name, len(t.Reports))}
			sessions[room] = s
		}
		fields := map[string]any{
			"app_id": "1234567890", "user_id": "user-1", "session_id": s.id, "seq": s.seq,
			"reason": c.Args[1], "error_code": c.Args[2], "extended_data": c.Args[3],
			"platform": "web", "sdk_version": "3.12.0", "device_id": "chromium-1",
		}
		if c.Types[0] != "undefined" { // JSON drops a member that is undefined
			fields["room_id"] = c.Args[0]
		}
		s.seq++
		t.Reports = append(t.Reports, Report{After: time.Duration(c.TMS-first) * time.Millisecond, Fields: fields})
	}
	return t, nil
}

// each calls do with every file of a folder, by name without its ending.
func each(folder, ending string, do func(name string, b []byte) error) error {
	entries, err := files.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("read recordings: %w", err)
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].Name() < entries[j].Name() })
	for _, e := range entries {
		b, err := files.ReadFile(path.Join(folder, e.Name()))
		if err != nil {
			return fmt.Errorf("read recordings: %w", err)
		}
		if err := do(strings.TrimSuffix(e.Name(), ending), b); err != nil {
			return fmt.Errorf("read recording %s: %w", e.Name(), err)
		}
	}
	return nil
}

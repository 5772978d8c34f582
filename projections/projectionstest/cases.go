// Package projectionstest reads the conformance cases and compares rows with
// what they expect. It is for tests.
package projectionstest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"roomtrail/events"
	"roomtrail/recordings"
)

// Case is a conformance case that can check rows.
type Case struct{ recordings.Case }

// Row is a row of a view by column.
type Row = map[string]any

// Cases reads all of them.
func Cases(t testing.TB) []Case {
	t.Helper()
	list, err := recordings.Cases()
	if err != nil || len(list) < 27 {
		t.Fatalf("found %d conformance cases (%v); want at least 27", len(list), err)
	}
	var cases []Case
	for _, c := range list {
		cases = append(cases, Case{c})
	}
	return cases
}

// Times are the two instants that a case may give an event: when its batch
// was sent (zero where it was not said) and when it was received.
func Times(raw json.RawMessage) (sent, received time.Time, err error) {
	var m struct {
		SentAt     *time.Time      `json:"sent_at"`
		ReceivedAt *time.Time      `json:"received_at"`
		OccurredAt json.RawMessage `json:"occurred_at"`
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return sent, received, err
	}
	if m.SentAt != nil {
		sent = *m.SentAt
	}
	if m.ReceivedAt != nil {
		return sent, *m.ReceivedAt, nil
	}
	at, r := events.Instant("occurred_at", m.OccurredAt)
	if r != nil {
		return sent, received, r
	}
	return sent, at, nil
}

// Facts are the case's events as the log would hold them, in order of arrival.
func (c *Case) Facts(t testing.TB) []events.Stored {
	t.Helper()
	var out []events.Stored
	for i, raw := range c.Events {
		sent, received, err := Times(raw)
		if err != nil {
			t.Fatalf("%s: event %d: %v", c.Name, i, err)
		}
		e, err := events.FromReport(received, raw)
		if err != nil {
			t.Fatalf("%s: event %d: %v", c.Name, i, err)
		}
		if !sent.IsZero() {
			e.SetSentAt(sent)
		}
		out = append(out, events.Stored{
			Event: e, StoredAt: received,
			Ref: events.Ref{Generation: 1, Partition: 0, Seq: uint64(i + 1)},
		})
	}
	return out
}

// complete are the views of which a case lists every row.
var complete = map[string]bool{"sessions": true, "interruptions": true, "kicks": true, "anomalies": true}

// keys name a row, where the case gives them.
var keys = []string{"app_id", "session_id", "login_no", "interruption_no", "seq", "kind"}

// Check compares the rows of the views with what the case expects.
func (c *Case) Check(t testing.TB, got map[string][]Row) {
	t.Helper()
	for view, want := range c.Expect {
		rows := got[view]
		if complete[view] && len(rows) != len(want) {
			t.Errorf("%s: %d rows, want %d:\n%s", view, len(rows), len(want), show(rows))
		}
		used := make([]bool, len(rows))
		for _, w := range want {
			if !take(w, rows, used) {
				t.Errorf("%s: no row is\n  %s\namong\n%s", view, show([]Row{w}), show(near(w, rows)))
			}
		}
	}
}

// take finds an unused row that has all wanted columns.
func take(want Row, rows []Row, used []bool) bool {
	for i, r := range rows {
		if !used[i] && matches(want, r) {
			used[i] = true
			return true
		}
	}
	return false
}

func matches(want, row Row) bool {
	for column, w := range want {
		if column == "count" {
			detail, _ := row["detail"].(string)
			if !strings.HasPrefix(detail, fmt.Sprint(w)+" ") {
				return false
			}
			continue
		}
		got, ok := row[column]
		if !ok || !equal(w, got) {
			return false
		}
	}
	return true
}

func equal(want, got any) bool {
	switch w := want.(type) {
	case nil:
		return got == nil
	case json.Number:
		return got != nil && w.String() == fmt.Sprint(got)
	case string:
		if at, ok := got.(time.Time); ok {
			t, err := time.Parse(time.RFC3339Nano, w)
			return err == nil && t.Equal(at)
		}
	}
	return reflect.DeepEqual(want, got)
}

// near keeps the rows that agree on the keys, for the message.
func near(want Row, rows []Row) []Row {
	var out []Row
next:
	for _, r := range rows {
		for _, k := range keys {
			if w, ok := want[k]; ok && !equal(w, r[k]) {
				continue next
			}
		}
		out = append(out, r)
	}
	if len(out) == 0 {
		return rows
	}
	return out
}

func show(rows []Row) string {
	var b strings.Builder
	for _, r := range rows {
		j, _ := json.Marshal(r)
		fmt.Fprintf(&b, "  %s\n", j)
	}
	return b.String()
}

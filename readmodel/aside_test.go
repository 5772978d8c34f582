package readmodel_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"roomtrail/events"
	"roomtrail/readmodel"
	"roomtrail/readmodel/readmodeltest"
)

// twoSessions is a session that a fault will meet and one beside it, turn by
// turn, in the order of the log.
func twoSessions(t *testing.T) []events.Stored {
	t.Helper()
	var facts []events.Stored
	for seq, reason := range []events.Reason{events.Logining, events.Logined, events.Reconnecting, events.Reconnected, events.Logout} {
		for _, session := range []string{"ill", "well"} {
			e := events.Event{
				AppID: "a", RoomID: "r", UserID: "u-" + session, SessionID: session, Seq: int64(seq), Kind: events.State, Reason: reason,
				Platform: "web", Family: events.Web, Source: events.FromClient, Trust: events.TrustPublic,
				OccurredAt: time.Date(2026, 3, 1, 10, 0, seq, 0, time.UTC),
			}
			e.ReceivedAt = e.OccurredAt
			facts = append(facts, events.Stored{Event: e})
		}
	}
	return facts
}

// A fold that panics over one session takes that session's messages out, and
// nothing else: the partition goes on, and so does the session where the fault
// does not meet it again. Appended once more to a program that has no fault,
// the messages fall into their places.
func TestAFoldThatPanicsStopsNothing(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 3, 4, 10} {
		t.Run(fmt.Sprintf("batches of %d", limit), func(t *testing.T) {
			t.Parallel()
			owner, reader := readmodeltest.Database(t)
			m := readmodeltest.Open(t, owner)
			m.Break(func(f events.Stored) bool { return f.SessionID == "ill" && f.Reason == events.Reconnecting })
			facts := twoSessions(t)
			readmodeltest.Apply(t, m, facts, limit)
			now := time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC)

			got := views(t, reader, now)
			if p := got["pipeline_status"][0]; p["position"] != int64(len(facts)) {
				t.Errorf("the partition stands at %v, want %d", p["position"], len(facts))
			}
			if ended := endedBy(got["sessions"]); ended["well"] != "Logout" {
				t.Errorf("the session beside it ended by %q, want Logout", ended["well"])
			}
			if limit < len(facts) && endedBy(got["sessions"])["ill"] != "Logout" {
				t.Errorf("the session did not go on: %v", got["sessions"])
			}
			aside := got["quarantine"]
			if len(aside) == 0 || len(aside)+len(got["room_events"]) != len(facts) {
				t.Fatalf("%d messages are in quarantine and %d are facts, of %d", len(aside), len(got["room_events"]), len(facts))
			}
			for _, q := range aside {
				if r := q["reason"].(string); !strings.Contains(r, "there is no such state (export_test.go:") {
					t.Errorf("the reason is %q", r)
				}
			}

			mended := readmodeltest.Open(t, owner)
			readmodeltest.Apply(t, mended, retried(t, owner), 0)
			got = views(t, reader, now)
			if ended := endedBy(got["sessions"]); ended["ill"] != "Logout" || len(got["interruptions"]) != 2 || len(got["quarantine"]) != 0 {
				t.Errorf("after the retry: %v, %d interruptions, %d in quarantine", ended, len(got["interruptions"]), len(got["quarantine"]))
			}
			if len(got["anomalies"]) != 0 {
				t.Errorf("after the retry: %v", got["anomalies"])
			}
		})
	}
}

func endedBy(sessions []map[string]any) map[string]string {
	out := map[string]string{}
	for _, s := range sessions {
		out[s["session_id"].(string)] = fmt.Sprint(s["ended_by"])
	}
	return out
}

// retried takes everything out of quarantine, as it would be appended again.
func retried(t *testing.T, owner string) (facts []events.Stored) {
	t.Helper()
	ctx := context.Background()
	q, err := readmodel.OpenQuarantine(ctx, owner)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close(ctx)
	list, err := q.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		err := q.Retry(ctx, a.Ref, func(e events.Event) error {
			facts = append(facts, events.Stored{Event: e})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return facts
}

func TestDroppingLeavesAnEntryInTheLedger(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	owner, reader := readmodeltest.Database(t)
	m, at := claimed(t, owner)
	facts := place(hour()[:3], 0)
	facts[1].Err, facts[1].Raw, facts[1].Version = errors.New("no\x00JSON \xff"), []byte("\x00broken"), "9"
	if _, err := m.Apply(ctx, at, events.Batch{Facts: facts}); err != nil {
		t.Fatal(err)
	}
	q, err := readmodel.OpenQuarantine(ctx, owner)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close(ctx)
	ref := facts[1].Ref
	a, err := q.Get(ctx, ref)
	if err != nil || a.Reason != "no\uFFFDJSON \uFFFD" || a.SchemaVersion != "9" || string(a.Bytes) != "\x00broken" || a.Size != 7 {
		t.Errorf("got %+v, %v", a, err)
	}
	err = q.Retry(ctx, ref, func(events.Event) error { t.Error("it was appended"); return nil })
	if err == nil || !strings.Contains(err.Error(), `schema version "9" is not known`) {
		t.Errorf("a retry gives %v", err)
	}
	if err := q.Drop(ctx, ref, "ops@host", ""); err == nil {
		t.Error("it was dropped without a reason")
	}
	if err := q.Drop(ctx, ref, "ops@host", "noise of a scanner"); err != nil {
		t.Fatal(err)
	}
	if err := q.Drop(ctx, ref, "ops@host", "again"); !errors.Is(err, readmodel.ErrNotAside) {
		t.Errorf("a second drop gives %v; want ErrNotAside", err)
	}
	got := views(t, reader, time.Now())
	if n := len(got["quarantine"]); n != 0 {
		t.Errorf("%d messages are in quarantine", n)
	}
	ledger := got["audit_ledger"]
	if len(ledger) != 1 || ledger[0]["actor"] != "ops@host" || ledger[0]["act"] != "quarantine_drop" ||
		ledger[0]["subject"] != "1/0/2" || ledger[0]["why"] != "noise of a scanner" {
		t.Errorf("the ledger holds %v", ledger)
	}
}

// What could not be appended stays where it is.
func TestARetryThatIsNotDurableKeepsTheMessage(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	owner, _ := readmodeltest.Database(t)
	m := readmodeltest.Open(t, owner)
	m.Break(func(events.Stored) bool { return true })
	readmodeltest.Apply(t, m, twoSessions(t)[:1], 0)
	q, err := readmodel.OpenQuarantine(ctx, owner)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close(ctx)
	silent := errors.New("the log does not answer")
	if err := q.Retry(ctx, events.Ref{Generation: 1, Seq: 1}, func(events.Event) error { return silent }); !errors.Is(err, silent) {
		t.Errorf("got %v; want %v", err, silent)
	}
	if list, err := q.List(ctx); err != nil || len(list) != 1 {
		t.Errorf("%v, %v; want the message still there", list, err)
	}
}

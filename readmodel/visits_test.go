package readmodel_test

import (
	"context"
	"testing"
	"time"

	"roomtrail/events"
	"roomtrail/readmodel/readmodeltest"
)

// A copy that says something else counts for nothing: also where it alone says
// that the client had come in.
func TestAConflictingCopyIsNoEntry(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	fact := func(seq int64, reason events.Reason) events.Stored {
		e := events.Event{
			AppID: "a", RoomID: "r", UserID: "u", SessionID: "s", Seq: seq, Kind: events.State, Reason: reason, Platform: "web", Family: events.Web,
			Source: events.FromClient, Trust: events.TrustPublic, OccurredAt: start.Add(time.Duration(seq) * time.Minute),
		}
		e.ReceivedAt = e.OccurredAt
		return events.Stored{Event: e}
	}
	server := fact(0, events.NoReason)
	server.SessionID, server.Kind, server.Source, server.Trust = "", events.RoomLogin, events.FromServer, events.TrustVendor
	server.OccurredAt = start.Add(time.Minute)
	server.Witness = &events.Witness{RoomSeq: "1", SessionID: "9", UpdateSeq: 1}
	owner, reader := readmodeltest.Database(t)
	m := readmodeltest.Open(t, owner)
	readmodeltest.Apply(t, m, []events.Stored{
		server, fact(0, events.Logining), fact(1, events.Logined), fact(2, events.LogoutFailed), fact(2, events.Logined),
	}, 0)
	if _, err := m.Settle(context.Background()); err != nil {
		t.Fatal(err)
	}
	visits := views(t, reader, start.Add(time.Hour))["server_visits"]
	if len(visits) != 1 || visits[0]["agreement"] != "agree" {
		t.Errorf("server_visits holds %v, want the stay on which both agree, alone", visits)
	}
}

// The first callback of an app may come after clients that it concerns: their
// stays are told by them alone all the same.
func TestTheFirstCallbackComesLate(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	var facts []events.Stored
	for i, user := range []string{"before", "after"} {
		for seq, reason := range []events.Reason{events.Logining, events.Logined} {
			e := events.Event{
				AppID: "a", RoomID: "r", UserID: user, SessionID: user, Seq: int64(seq), Kind: events.State, Reason: reason, Platform: "web", Family: events.Web,
				Source: events.FromClient, Trust: events.TrustPublic, OccurredAt: start.Add(time.Duration(i) * time.Hour),
			}
			e.ReceivedAt = e.OccurredAt
			facts = append(facts, events.Stored{Event: e})
		}
	}
	e := events.Event{
		AppID: "a", RoomID: "r", UserID: "another", Kind: events.RoomLogin, Reason: events.NoReason, Platform: "web", Family: events.Web,
		Source: events.FromServer, Trust: events.TrustVendor, OccurredAt: start.Add(30 * time.Minute),
		Witness: &events.Witness{RoomSeq: "1", SessionID: "9", UpdateSeq: 1},
	}
	e.ReceivedAt = e.OccurredAt
	facts = append(facts, events.Stored{Event: e})
	owner, reader := readmodeltest.Database(t)
	m := readmodeltest.Open(t, owner)
	readmodeltest.Apply(t, m, facts, 1)
	settle(t, m)
	got := map[any]any{}
	for _, v := range views(t, reader, start.Add(2*time.Hour))["server_visits"] {
		got[v["user_id"]] = v["agreement"]
	}
	if len(got) != 2 || got["after"] != "client_only" || got["another"] != "server_only" {
		t.Errorf("agreement by user is %v, want after: client_only, another: server_only", got)
	}
}

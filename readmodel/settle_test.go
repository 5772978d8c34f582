package readmodel_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"roomtrail/events"
	"roomtrail/projections"
	"roomtrail/projections/projectionstest"
	"roomtrail/readmodel"
	"roomtrail/readmodel/readmodeltest"
)

// visitors are stays of users in one room as client and server tell them, in
// two partitions; the server numbers what it says in the room, and some numbers
// are lost. Users come again and again, so that their keys do.
func visitors(t testing.TB) [2][]events.Stored {
	t.Helper()
	var parts [2][]events.Stored
	for n := range 120 {
		user := fmt.Sprintf("u%d", n%8)
		at := time.Date(2026, 3, 1, 10, 0, n*20, 0, time.UTC)
		var list []events.Event
		for i, r := range []events.Reason{events.Logining, events.Logined, events.Logout} {
			list = append(list, events.Event{
				AppID: "a", RoomID: "r", UserID: user, SessionID: fmt.Sprint(user, "-", n), Seq: int64(i), Kind: events.State, Reason: r,
				OccurredAt: at.Add(time.Duration(i) * 5 * time.Second), ReceivedAt: at.Add(15 * time.Second),
				Platform: "web", Family: events.Web, Source: events.FromClient, Trust: events.TrustPublic,
			})
		}
		for i, kind := range []string{"room_login", "room_logout"} {
			number := 2*n + i
			if number%7 == 3 {
				continue
			}
			body := fmt.Sprintf(`{"event":%q,"appid":"a","timestamp":"%d","nonce":"n","signature":"s","room_id":"r","room_seq":"7","user_account":%q,"session_id":"%d","login_time":"%d","logout_time":"%d","user_update_seq":"%d","reason":"0"}`,
				kind, at.Unix(), user, n+1, at.Add(5*time.Second).UnixMilli(), at.Add(10*time.Second).UnixMilli(), number+1)
			c, err := events.FromCallback(at, []byte(body))
			if err != nil {
				t.Fatal(err)
			}
			c.Event.Trust = events.TrustVendor
			list = append(list, c.Event)
		}
		p := events.Partition(list[0].Bucket(), 2)
		for _, e := range list {
			seq := uint64(len(parts[p]) + 1)
			parts[p] = append(parts[p], events.Stored{
				Event: e, Ref: events.Ref{Generation: 1, Partition: p, Seq: seq},
				StoredAt: made.Add(time.Duration(seq) * time.Millisecond), Digest: events.Digest(events.Encode(&e)),
			})
		}
	}
	return parts
}

// Two processes apply a partition each, in small batches, and both work out the
// same keys of the second stage at once: the rows are those of all events.
func TestTwoProcessesSettleTheSameKeys(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	parts := visitors(t)
	owner, reader := readmodeltest.Database(t)
	applying, stop := context.WithCancel(ctx)
	var appliers, settlers sync.WaitGroup
	settled := make([]int, 4)
	for p, who := range []string{"one", "two"} {
		m, err := readmodel.Open(ctx, owner, readmodel.Config{Owner: who})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		appliers.Go(func() { applyPart(t, m, parts[p], p, 3) })
		for i := range 2 {
			settlers.Go(func() {
				for applying.Err() == nil {
					n, err := m.Settle(ctx)
					if err != nil {
						t.Error(err)
					}
					settled[2*p+i] += n
				}
			})
		}
	}
	appliers.Wait()
	stop()
	settlers.Wait()
	last := readmodeltest.Open(t, owner)
	settle(t, last)

	onceOwner, onceReader := readmodeltest.Database(t)
	once := readmodeltest.Open(t, onceOwner)
	for p := range parts {
		applyPart(t, once, parts[p], p, len(parts[p]))
	}
	settle(t, once)
	got := views(t, reader, now)
	projectionstest.Same(t, got, views(t, onceReader, now))
	for i, n := range settled {
		if n == 0 {
			t.Errorf("settler %d took nothing: %v", i, settled)
		}
	}
	if len(got["server_visits"]) < 100 || len(got["anomalies"]) == 0 {
		t.Errorf("%d visits, %d anomalies: too little to prove anything", len(got["server_visits"]), len(got["anomalies"]))
	}
}

func applyPart(t testing.TB, m *readmodel.ReadModel, facts []events.Stored, partition, limit int) {
	r := &projections.Runner{Log: &tape{facts: facts}, Store: m, Generation: 1, Partition: partition, Limit: limit}
	for n := 0; n < len(facts); {
		done, err := r.Step(context.Background())
		if err != nil {
			t.Error(err)
			return
		}
		n += done
	}
}

package readmodel_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/events"
	"roomtrail/projections"
	"roomtrail/projections/projectionstest"
	"roomtrail/readmodel"
	"roomtrail/readmodel/readmodeltest"
)

// views reads the outward views as a reader would, at the case's time.
func views(t testing.TB, readerURL string, now time.Time) map[string][]projectionstest.Row {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, readerURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "SELECT set_config('roomtrail.now', $1, false)", now.Format(time.RFC3339Nano)); err != nil {
		t.Fatal(err)
	}
	got := map[string][]projectionstest.Row{}
	for _, view := range projections.PublicViews {
		rows, err := conn.Query(ctx, "SELECT * FROM public."+view)
		if err != nil {
			t.Fatal(err)
		}
		if got[view], err = pgx.CollectRows(rows, pgx.RowToMap); err != nil {
			t.Fatalf("%s: %v", view, err)
		}
	}
	return got
}

// Every conformance case through Apply and the views: as it arrives, one
// event at a time, shuffled and repeated.
func TestConformanceCasesInPostgres(t *testing.T) {
	t.Parallel()
	for _, c := range projectionstest.Cases(t) {
		facts := c.Facts(t)
		for how, run := range map[string]struct {
			facts []events.Stored
			limit int
		}{
			"all at once":           {facts, 0},
			"one by one":            {facts, 1},
			"repeated and shuffled": {disturbed(facts), 3},
		} {
			t.Run(c.Name+"/"+how, func(t *testing.T) {
				t.Parallel()
				owner, reader := readmodeltest.Database(t)
				readmodeltest.Apply(t, readmodeltest.Open(t, owner), run.facts, run.limit)
				c.Check(t, views(t, reader, c.Now))
			})
		}
	}
}

// disturbed repeats events and changes their order; copies that differ keep
// theirs, since there the order of the log decides.
func disturbed(facts []events.Stored) []events.Stored {
	random := rand.New(rand.NewSource(1))
	type identity struct {
		key events.SetKey
		seq int64
	}
	copies := map[identity]int{}
	for _, f := range facts {
		copies[identity{f.Key(), f.Seq}]++
	}
	var out, fixed []events.Stored
	for _, f := range facts {
		if copies[identity{f.Key(), f.Seq}] > 1 {
			fixed = append(fixed, f)
			continue
		}
		for range 1 + random.Intn(3) {
			out = append(out, f)
		}
	}
	random.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	for _, f := range fixed {
		at := len(out)
		out = append(out[:at:at], f)
	}
	return out
}

func hour() []events.Stored {
	return readmodeltest.Hour(time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC))
}

// place gives facts their places in the log.
func place(facts []events.Stored, from uint64) []events.Stored {
	out := append([]events.Stored(nil), facts...)
	for i := range out {
		out[i].Ref = events.Ref{Generation: 1, Seq: from + uint64(i) + 1}
	}
	return out
}

// claimed opens the read model as the owner of one partition.
func claimed(t testing.TB, ownerURL string) (*readmodel.ReadModel, events.Position) {
	t.Helper()
	m := readmodeltest.Open(t, ownerURL)
	at, err := m.Claim(context.Background(), 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	return m, at
}

func TestApplyIsFencedByTheEpoch(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	owner, _ := readmodeltest.Database(t)
	first, old := claimed(t, owner)
	second, err := readmodel.Open(ctx, owner, readmodel.Config{Owner: "second"})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if _, err := second.Claim(ctx, 1, 0); !errors.Is(err, projections.ErrOwned) {
		t.Fatalf("a claim within the lease gives %v; want ErrOwned", err)
	}
	if err := first.Release(ctx); err != nil {
		t.Fatal(err)
	}
	now, err := second.Claim(ctx, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Apply(ctx, old, events.Batch{Facts: place(hour()[:3], 0)}); !errors.Is(err, projections.ErrFenced) {
		t.Errorf("the old owner's Apply gives %v; want ErrFenced", err)
	}
	if err := first.Idle(ctx, old, 0); !errors.Is(err, projections.ErrFenced) {
		t.Errorf("the old owner's Idle gives %v; want ErrFenced", err)
	}
	if n := count(t, owner, "SELECT count(*) FROM roomtrail.events"); n != 0 {
		t.Errorf("the old owner wrote %d facts", n)
	}
	if _, err := second.Apply(ctx, now, events.Batch{Facts: place(hour()[:3], 0)}); err != nil {
		t.Error(err)
	}
}

// A commit whose reply was lost is found again by its position.
func TestApplyAfterALostReplyChangesNothing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	owner, reader := readmodeltest.Database(t)
	m, at := claimed(t, owner)
	batch := events.Batch{Facts: place(hour(), 0)}
	next, err := m.Apply(ctx, at, batch)
	if err != nil {
		t.Fatal(err)
	}
	before := fmt.Sprint(views(t, reader, hour()[0].OccurredAt)["sessions"])
	again, err := m.Apply(ctx, at, batch)
	if err != nil || again.Seq != next.Seq {
		t.Errorf("applied again: %+v, %v; want the stored position %+v", again, err, next)
	}
	if after := fmt.Sprint(views(t, reader, hour()[0].OccurredAt)["sessions"]); after != before {
		t.Errorf("rows changed from\n%s\nto\n%s", before, after)
	}
	if n := count(t, owner, "SELECT count(*) FROM room_events"); n != len(hour()) {
		t.Errorf("%d events, want %d", n, len(hour()))
	}
}

func TestAHoleHaltsAndNamesTheRange(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	owner, reader := readmodeltest.Database(t)
	m, at := claimed(t, owner)
	_, err := m.Apply(ctx, at, events.Batch{Facts: place(hour()[:3], 4)})
	var halt *events.HaltError
	if !errors.As(err, &halt) || halt.Why != "stream sequence 5 follows 0 in partition 1/0; messages 1 to 4 are missing" {
		t.Fatalf("got %v; want a halt that names messages 1 to 4", err)
	}
	if err := m.Halt(ctx, at, err); err != nil {
		t.Fatal(err)
	}
	if got := views(t, reader, time.Now())["pipeline_status"][0]; got["state"] != "halted" || got["position"] != int64(0) {
		t.Errorf("pipeline_status is %v", got)
	}
}

func TestWhatCannotBeReadGoesToQuarantine(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	owner, reader := readmodeltest.Database(t)
	m, at := claimed(t, owner)
	facts := place(hour()[:4], 0)
	facts[1].Err, facts[1].Raw = errors.New("decode message: no JSON"), []byte("\x00broken")
	if _, err := m.Apply(ctx, at, events.Batch{Facts: facts}); err != nil {
		t.Fatal(err)
	}
	got := views(t, reader, time.Now())
	if q := got["quarantine"]; len(q) != 1 || q[0]["event_ref"] != "1/0/2" || string(q[0]["bytes"].([]byte)) != "\x00broken" {
		t.Errorf("quarantine holds %v", q)
	}
	if n := len(got["room_events"]); n != 3 {
		t.Errorf("%d events were kept, want the 3 others", n)
	}
}

// Long sessions keep their state; it must give what a fold gives.
func TestLongSessionsThroughKeptStates(t *testing.T) {
	t.Parallel()
	owner, reader := readmodeltest.Database(t)
	m := readmodeltest.Open(t, owner)
	start := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	var facts []events.Stored
	add := func(r events.Reason, code int64) {
		e := events.Event{
			AppID: "a", RoomID: "r", UserID: "u", SessionID: "long", Seq: int64(len(facts)), Kind: events.State, Reason: r,
			ErrorCode: code, Platform: "web", Family: events.Web, OccurredAt: start.Add(time.Duration(len(facts)) * time.Second),
			Source: events.FromClient, Trust: events.TrustPublic,
		}
		e.ReceivedAt = e.OccurredAt
		facts = append(facts, events.Stored{Event: e, StoredAt: e.OccurredAt})
	}
	add(events.Logining, 0)
	add(events.Logined, 0)
	for range 60 {
		add(events.Reconnecting, 1000017)
		add(events.Reconnected, 0)
	}
	late := facts[50]
	facts = append(append(facts[:50:50], facts[51:]...), late)
	readmodeltest.Apply(t, m, facts[:90], 7)
	if n := count(t, owner, "SELECT count(*) FROM "+projections.Schema()+".states"); n != 1 {
		t.Errorf("%d states are kept, want 1", n)
	}
	readmodeltest.Apply(t, m, facts[90:], 7)
	// Retries of all that is stored are copies and change nothing else.
	readmodeltest.Apply(t, m, facts, 50)
	if n := count(t, owner, "SELECT count(*) FROM room_events WHERE is_copy"); n != len(facts) {
		t.Errorf("%d copies, want %d", n, len(facts))
	}
	got := views(t, reader, start)
	s := got["sessions"][0]
	if s["interruptions"] != int32(60) || s["reconnecting_ms"] != int64(60_000) || s["connected_ms"] != int64(60_000) || s["missing_events"] != int64(0) {
		t.Errorf("the login is %v", s)
	}
	if n := len(got["interruptions"]); n != 60 || len(got["anomalies"]) != 0 {
		t.Errorf("%d interruptions and anomalies %v; want 60 and none", n, got["anomalies"])
	}
}

func count(t testing.TB, url, sql string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(context.Background(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A late event may take rows away and write none: the anomaly of a gap
// goes with the event that fills it.
func TestALateEventOnlyRemovesRows(t *testing.T) {
	t.Parallel()
	owner, _ := readmodeltest.Database(t)
	alive := make([]events.Stored, 3)
	for i, seq := range []int64{0, 2, 1} {
		alive[i] = hour()[0]
		alive[i].Seq, alive[i].Kind, alive[i].Reason = seq, events.Alive, events.NoReason
		alive[i].OccurredAt = alive[i].OccurredAt.Add(time.Duration(seq) * time.Second)
	}
	const anomalies = "SELECT count(*) FROM anomalies"
	m := readmodeltest.Open(t, owner)
	readmodeltest.Apply(t, m, alive[:2], 1)
	if n := count(t, owner, anomalies); n != 1 {
		t.Fatalf("%d anomalies before the late event, want missing_seq alone", n)
	}
	readmodeltest.Apply(t, m, alive[2:], 1)
	if n := count(t, owner, anomalies); n != 0 {
		t.Errorf("%d anomalies after the late event, want none", n)
	}
}

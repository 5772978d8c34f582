package projections_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand"
	"reflect"
	"sort"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"roomtrail/events"
	"roomtrail/projections"
)

// store keeps rows as the read model does, through Advance alone.
type store struct {
	facts  []events.Stored
	saved  *projections.Session
	rows   projections.Rows
	counts projections.Counts
}

// counted are counts without what is zero, to be compared.
func counted(c projections.Counts) map[string]int64 {
	out := map[string]int64{}
	for cell, tally := range c {
		for m, n := range tally.N {
			if n != 0 {
				out[fmt.Sprint(cell, projections.MeasureColumns[m])] = n
			}
		}
		for b, n := range tally.Spans {
			if n != 0 {
				out[fmt.Sprint(cell, b)] = n
			}
		}
	}
	return out
}

// apply takes one batch; the state goes through its saved form every time,
// and is kept from the first fact on or from the usual number.
func (s *store) apply(batch []events.Stored, saveFrom int) {
	var old []events.Stored
	if projections.NeedsFacts(s.saved, batch) {
		old = s.facts
	}
	state, changed, gone := projections.Advance(projections.DefaultProfiles, s.saved, append([]events.Stored(nil), old...), append([]events.Stored(nil), batch...))
	s.facts = append(s.facts, batch...)
	s.rows = merge(s.rows, changed, gone)
	if s.counts == nil {
		s.counts = projections.Counts{}
	}
	s.counts.Add(changed.Counts, 1)
	s.saved = nil
	if state.Facts >= saveFrom {
		b, err := json.Marshal(state)
		if err != nil {
			panic(err)
		}
		s.saved = new(projections.Session)
		if err := json.Unmarshal(b, s.saved); err != nil {
			panic(err)
		}
	}
}

func merge(rows, changed projections.Rows, gone projections.Gone) projections.Rows {
	return projections.Rows{
		Logins: put(rows.Logins, changed.Logins, gone.Logins, func(r projections.Login) int { return r.No }),
		Interruptions: put(rows.Interruptions, changed.Interruptions, gone.Interruptions, func(r projections.Interruption) projections.InterruptionKey {
			return projections.InterruptionKey{LoginNo: r.LoginNo, No: r.No}
		}),
		Kicks: put(rows.Kicks, changed.Kicks, gone.Kicks, func(r projections.Kick) int { return r.LoginNo }),
		Anomalies: put(rows.Anomalies, changed.Anomalies, gone.Anomalies, func(r projections.Anomaly) projections.AnomalyKey {
			return projections.AnomalyKey{Seq: r.Seq, Kind: r.Kind}
		}),
		Marks: put(rows.Marks, changed.Marks, nil, func(r projections.Mark) events.Ref { return r.Ref }),
	}
}

func put[R any, K comparable](rows, changed []R, gone []K, key func(R) K) []R {
	m := map[K]R{}
	for _, r := range rows {
		m[key(r)] = r
	}
	for _, k := range gone {
		delete(m, k)
	}
	for _, r := range changed {
		m[key(r)] = r
	}
	out := make([]R, 0, len(m))
	for _, r := range m {
		out = append(out, r)
	}
	sort.Slice(out, func(i, j int) bool { return fmt.Sprint(key(out[i])) < fmt.Sprint(key(out[j])) })
	return out
}

// arrive gives the events places in the log in the given order.
func arrive(order []events.Event) []events.Stored {
	out := make([]events.Stored, len(order))
	for i, e := range order {
		out[i] = events.Stored{Event: e, Ref: events.Ref{Generation: 1, Seq: uint64(i + 1)}}
	}
	return out
}

// withoutRefs drops the places in the log, which do differ between orders.
func withoutRefs(rows projections.Rows) projections.Rows {
	rows = merge(projections.Rows{}, rows, projections.Gone{})
	for i := range rows.Anomalies {
		rows.Anomalies[i].Ref = events.Ref{}
	}
	rows.Marks = nil
	return rows
}

// Any order, repetition and split of a set gives the rows of the set in order.
func TestAnyOrderRepetitionAndSplitGivesTheSameRows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		set := drawSet(t)
		_, want := projections.Fold(projections.DefaultProfiles, arrive(set))
		random := rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed")))
		order := append([]events.Event(nil), set...)
		for range random.Intn(len(set) + 2) {
			if len(set) > 0 {
				order = append(order, set[random.Intn(len(set))])
			}
		}
		if random.Intn(2) == 0 {
			random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		}
		var s store
		for facts := arrive(order); len(facts) > 0; {
			n := 1 + random.Intn(len(facts))
			s.apply(facts[:n], 1+random.Intn(20))
			facts = facts[n:]
		}
		counts := counted(want.Counts)
		if got, want := withoutRefs(s.rows), withoutRefs(want); !reflect.DeepEqual(got, want) {
			t.Fatalf("got\n%+v\nwant\n%+v", got, want)
		}
		got := counted(s.counts)
		maps.DeleteFunc(got, func(k string, _ int64) bool { return strings.HasSuffix(k, "copies") }) // it was sent once only
		if !maps.Equal(got, counts) {
			t.Fatalf("counted\n%v\nwant\n%v", got, counts)
		}
	})
}

// Copies that differ: the first in the log counts, however batches are cut.
func TestConflictingCopiesDoNotDependOnBatches(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		set := rapid.Permutation(drawCopies(t, drawSet(t))).Draw(t, "order")
		_, want := projections.Fold(projections.DefaultProfiles, arrive(set))
		counts := counted(want.Counts)
		want = merge(projections.Rows{}, want, projections.Gone{})
		var s store
		for facts := arrive(set); len(facts) > 0; {
			n := rapid.IntRange(1, len(facts)).Draw(t, "batch")
			s.apply(facts[:n], 1)
			facts = facts[n:]
		}
		if got := merge(projections.Rows{}, s.rows, projections.Gone{}); !reflect.DeepEqual(got, want) {
			t.Fatalf("got\n%+v\nwant\n%+v", got, want)
		}
		if got := counted(s.counts); !maps.Equal(got, counts) {
			t.Fatalf("counted\n%v\nwant\n%v", got, counts)
		}
	})
}

func TestProfilesMostSpecificAndNewest(t *testing.T) {
	t.Parallel()
	day := func(d int) time.Time { return time.Date(2026, 1, d, 0, 0, 0, 0, time.UTC) }
	ps := append(projections.Profiles{
		{AppID: "a", ValidFrom: day(5), Limits: projections.Limits{HeartbeatTimeoutMS: 1}},
		{AppID: "a", ValidFrom: day(9), Limits: projections.Limits{HeartbeatTimeoutMS: 2}},
		{Platform: "ios", ValidFrom: day(1), Limits: projections.Limits{HeartbeatTimeoutMS: 3}},
		{AppID: "a", Platform: "ios", ValidFrom: day(7), Limits: projections.Limits{HeartbeatTimeoutMS: 4}},
	}, projections.DefaultProfiles...)
	for _, c := range []struct {
		app, platform string
		at            time.Time
		want          int64
	}{
		{"a", "android", day(4), 90_000}, {"a", "android", day(5), 1}, {"a", "android", day(10), 2},
		{"b", "ios", day(2), 3}, {"a", "ios", day(6), 1}, {"a", "ios", day(8), 4}, {"b", "android", day(8), 90_000},
	} {
		if got := ps.At(c.app, events.Native, c.platform, c.at).HeartbeatTimeoutMS; got != c.want {
			t.Errorf("%s on %s at %s: H = %d, want %d", c.app, c.platform, c.at.Format("01-02"), got, c.want)
		}
	}
}

func BenchmarkFold(b *testing.B) {
	r := []events.Reason{events.Logining, events.Logined, events.Reconnecting, events.Reconnected, events.Logout}
	var set []events.Event
	for i, reason := range r {
		set = append(set, events.Event{AppID: "app", RoomID: "r", UserID: "u", SessionID: "s", Seq: int64(i), Kind: events.State, Reason: reason,
			OccurredAt: time.UnixMilli(1_772_359_200_000 + int64(i)*1000), Platform: "web", Family: events.Web})
	}
	facts := arrive(set)
	b.ReportAllocs()
	for b.Loop() {
		projections.Fold(projections.DefaultProfiles, facts)
	}
}

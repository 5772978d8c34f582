package readmodel_test

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"roomtrail/events"
	"roomtrail/projections/projectionstest"
	"roomtrail/readmodel/readmodeltest"
)

var ten = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

// lived is a session's events: its reasons at so many seconds after ten.
func lived(user, room, platform string, about events.Event, said ...any) []events.Stored {
	var out []events.Stored
	for i := 0; i < len(said); i += 2 {
		e := about
		e.AppID, e.RoomID, e.UserID, e.SessionID, e.Seq = "a", room, user, room+"-"+user, int64(i/2)
		e.Source, e.Trust, e.Platform = events.FromClient, events.TrustPublic, platform
		_, e.Family = events.NormalizePlatform(platform)
		e.OccurredAt = ten.Add(time.Duration(said[i].(float64) * float64(time.Second)))
		switch what := said[i+1].(type) {
		case events.Reason:
			e.Kind, e.Reason = events.State, what
		case string: // a word about another
			e.Kind, e.Reason = events.Peer, events.NoReason
			e.Update, e.PeerUserID, _ = strings.Cut(what, " ")
		}
		e.ReceivedAt = e.OccurredAt
		out = append(out, events.Stored{Event: e, StoredAt: e.OccurredAt})
	}
	return out
}

const lin, in, rc, rd, lo = events.Logining, events.Logined, events.Reconnecting, events.Reconnected, events.Logout

// handWorked is the room that projections.TestImpactsOfARoom works out.
func handWorked() (facts []events.Stored) {
	var no events.Event
	for _, l := range [][]events.Stored{
		lived("A", "r", "web", no, 0.0, lin, 0.0, in, 60.0, rc, 240.0, rd, 400.0, rc, 520.0, rd, 600.0, lo),
		lived("B", "r", "web", no, 0.0, lin, 0.0, in, 200.0, lo),
		lived("C", "r", "web", no, 100.0, lin, 100.0, in, 160.0, rc, 180.0, rd, 600.0, lo),
		lived("D", "r", "web", no, 0.0, lin, 0.0, in, 480.0, "DELETE A", 515.0, "ADD A", 700.0, rc),
		lived("E", "r", "web", no, 800.0, lin, 800.0, in),
		lived("X", "another", "web", no, 0.0, lin, 0.0, in),
	} {
		facts = append(facts, l...)
	}
	return facts
}

func tellImpact(rows []projectionstest.Row) string {
	var out []string
	for _, r := range rows {
		out = append(out, fmt.Sprintf("%v/%v own %v peers %v", r["user_id"], r["interruption_no"], r["own_ms"], r["peer_ms"]))
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

func TestImpactOfARoomInPostgres(t *testing.T) {
	t.Parallel()
	for how, run := range map[string]struct {
		facts []events.Stored
		limit int
	}{
		"all at once":           {handWorked(), 0},
		"one by one":            {handWorked(), 1},
		"repeated and shuffled": {disturbed(handWorked()), 4},
		"backwards":             {backwards(handWorked()), 3},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			owner, reader := readmodeltest.Database(t)
			m := readmodeltest.Open(t, owner)
			for facts := run.facts; len(facts) > 0; {
				n := len(facts)
				if run.limit > 0 {
					n = min(n, run.limit)
				}
				readmodeltest.Apply(t, m, facts[:n], 0)
				settle(t, m)
				facts = facts[n:]
			}
			for seconds, want := range map[int]string{
				830:  "A/1 own 180000 peers 210000; A/2 own 120000 peers 70000; C/1 own 20000 peers 0; D/1 own 130000 peers 30000",
				2000: "A/1 own 180000 peers 210000; A/2 own 120000 peers 70000; C/1 own 20000 peers 0; D/1 own 300000 peers 200000",
			} {
				got := views(t, reader, ten.Add(time.Duration(seconds)*time.Second))
				if told := tellImpact(got["interruption_impact"]); told != want {
					t.Errorf("asked at %d s: %s\nwant %s", seconds, told, want)
				}
				var rooms []string
				for _, r := range got["room_impact"] {
					rooms = append(rooms, fmt.Sprint(r["room_id"], r["interruptions"], r["own_ms"], r["peer_ms"], r["connected_ms"]))
				}
				slices.Sort(rooms)
				// 60+160+80, 200, 60+420, 700 and 0 s connected.
				wantRooms := fmt.Sprint("r", 4, map[int]int{830: 450_000, 2000: 620_000}[seconds], map[int]int{830: 310_000, 2000: 480_000}[seconds], 300_000+200_000+480_000+700_000)
				if len(rooms) != 2 || rooms[1] != wantRooms {
					t.Errorf("asked at %d s: rooms are %v, want %v", seconds, rooms, wantRooms)
				}
			}
		})
	}
}

func backwards(facts []events.Stored) []events.Stored {
	out := slices.Clone(facts)
	slices.Reverse(out)
	return out
}

// stormy is half an hour in which two offices fail, one across the border of a
// cell, while others are lost alone.
func stormy() (facts []events.Stored) {
	random := rand.New(rand.NewSource(3))
	campus := events.Event{Network: "wifi", Carrier: "campus", Region: "eu", SDKVersion: "1"}
	north := events.Event{Network: "cellular", Carrier: "north", Region: "us", SDKVersion: "2"}
	for i := range 60 {
		about, platform := campus, "web"
		if i%2 == 0 {
			about, platform = north, "android"
		}
		at, outcome := 100+random.Float64()*1500, rd
		switch {
		case i < 10: // the web says so 8 s late, and at 10:06 a cell ends
			at = 348 + float64(i)
			if i%2 == 1 {
				at += 8
			}
		case i < 20 && i%2 == 0:
			at, outcome = 900+float64(i)/10, lo
		}
		at = float64(int(at*1000)) / 1000
		facts = append(facts, lived(fmt.Sprint("u", i), fmt.Sprint("room", i%7), platform, about, 0.0, lin, 0.5, in, at, rc, at+20, outcome)...)
	}
	return facts
}

// tellStorms is all that the views say of storms, and the cause of each.
func tellStorms(t testing.TB, reader string) (told string, unsettled int) {
	t.Helper()
	var out []string
	got := views(t, reader, ten.Add(time.Hour))
	for _, r := range got["storms"] {
		out = append(out, fmt.Sprint(r))
	}
	for _, r := range got["interruptions"] {
		if r["cause"] == nil {
			unsettled++
		}
		if (r["cause"] == "common_cause") != (r["storm_id"] != nil) {
			t.Errorf("the cause of %v is %v, its storm %v", r["user_id"], r["cause"], r["storm_id"])
		}
		out = append(out, fmt.Sprint(r["user_id"], r["cause"], r["storm_id"]))
	}
	slices.Sort(out)
	return strings.Join(out, "\n"), unsettled
}

func TestStormsInPostgres(t *testing.T) {
	t.Parallel()
	owner, reader := readmodeltest.Database(t)
	m := readmodeltest.Open(t, owner)
	readmodeltest.Apply(t, m, stormy(), 0)
	if _, unsettled := tellStorms(t, reader); unsettled != 60 {
		t.Errorf("before anything is settled %d causes are null, want all 60", unsettled)
	}
	settle(t, m)
	want, unsettled := tellStorms(t, reader)
	if unsettled != 0 {
		t.Errorf("%d causes are null and everything is settled", unsettled)
	}
	if n := strings.Count(want, "common_cause"); strings.Count(want, "scope:") != 3 || n < 15 || n > 18 {
		t.Errorf("three offices failed for 15 users: %s", want)
	}
	for how, run := range map[string]struct {
		facts []events.Stored
		limit int
	}{
		"one by one":            {stormy(), 7},
		"repeated and shuffled": {disturbed(stormy()), 40},
		"backwards":             {backwards(stormy()), 11},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			owner, reader := readmodeltest.Database(t)
			m := readmodeltest.Open(t, owner)
			for facts := run.facts; len(facts) > 0; {
				n := min(run.limit, len(facts))
				readmodeltest.Apply(t, m, facts[:n], 0)
				settle(t, m)
				facts = facts[n:]
			}
			if got, _ := tellStorms(t, reader); got != want {
				t.Errorf("storms are\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// What a late event takes away, it takes out of its storm too.
func TestALateEventTakesAnInterruptionOutOfItsStorm(t *testing.T) {
	t.Parallel()
	owner, reader := readmodeltest.Database(t)
	m := readmodeltest.Open(t, owner)
	about := events.Event{Network: "wifi", Carrier: "campus", Region: "eu"}
	var facts, late []events.Stored
	for _, user := range []string{"u", "v", "w", "x"} {
		facts = append(facts, lived(user, "room-"+user, "android", about, 0.0, lin, 1.0, in, 1000.0, rc)...)
	}
	// u was lost long before, and that Reconnecting comes last: the one that is
	// known repeats it.
	early := facts[2]
	early.Seq, early.OccurredAt = 2, ten.Add(30*time.Second)
	early.ReceivedAt = early.OccurredAt
	facts[2].Seq = 3
	late = append(late, early)
	readmodeltest.Apply(t, m, facts, 0)
	settle(t, m)
	if told, _ := tellStorms(t, reader); strings.Count(told, "common_cause") != 4 {
		t.Fatalf("four are lost at once: %s", told)
	}
	readmodeltest.Apply(t, m, late, 0)
	settle(t, m)
	if told, unsettled := tellStorms(t, reader); strings.Count(told, "common_cause") != 3 || !strings.Contains(told, "ualone") || unsettled != 0 {
		t.Errorf("u was lost before: %s", told)
	}
}

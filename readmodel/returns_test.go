package readmodel_test

import (
	"context"
	"fmt"
	"math/rand"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/events"
	"roomtrail/projections"
	"roomtrail/readmodel"
	"roomtrail/readmodel/readmodeltest"
)

var lossNoon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// word is what a client says at a second.
type word struct {
	at     float64
	reason events.Reason
}

// speak is a session of a user as its client tells it.
func speak(user, session, device string, words ...word) []events.Stored {
	var out []events.Stored
	for seq, w := range words {
		e := events.Event{
			AppID: "a", RoomID: "room of " + session, UserID: user, SessionID: session, Seq: int64(seq), Kind: events.State, Reason: w.reason,
			DeviceID: device, BootID: "boot of " + session, Platform: "web", Family: events.Web, Source: events.FromClient, Trust: events.TrustPublic,
			OccurredAt: lossNoon.Add(time.Duration(w.at * float64(time.Second))),
		}
		if w.reason == events.KickOut {
			e.ErrorCode = 1002050
		}
		e.ReceivedAt = e.OccurredAt
		out = append(out, events.Stored{Event: e, StoredAt: e.OccurredAt})
	}
	return out
}

// settle works everything out that is marked, and says how much that was.
func settle(t testing.TB, m *readmodel.ReadModel) (marks int) {
	t.Helper()
	for {
		n, err := m.Settle(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if marks += n; n == 0 {
			return marks
		}
	}
}

func kicks(t testing.TB, reader string) string {
	t.Helper()
	out := ""
	for _, k := range views(t, reader, lossNoon)["kicks"] {
		out += fmt.Sprint(k["session_id"], ": ", k["attribution"], " by ", k["displaced_by_session_id"], " ", k["displaced_by_login_no"], " ", k["displaced_by_room_id"], " ",
			k["displaced_by_device_id"], " ", k["displaced_by_platform"], ", back ", k["relogin_after_ms"], "\n")
	}
	return out
}

func TestALateDisplacerIsNamed(t *testing.T) {
	t.Parallel()
	owner, reader := readmodeltest.Database(t)
	m := readmodeltest.Open(t, owner)
	victim := speak("u", "v", "A", word{0, events.Logining}, word{1, events.Logined}, word{60, events.KickOut})
	other := speak("u", "o", "B", word{59, events.Logining}, word{59.9, events.Logined})
	back := speak("u", "w", "A", word{64, events.Logining}, word{65, events.Logined})
	later := speak("u", "x", "A", word{600, events.Logining}, word{601, events.Logined})
	stranger := speak("s", "y", "A", word{60, events.Logining}, word{61, events.Logined})
	const nobody = "v: unknown by <nil> <nil> <nil> <nil> <nil>, back "
	for _, step := range []struct {
		about string
		facts []events.Stored
		marks int
		want  string
	}{
		{"the kick", victim, 1, nobody + "<nil>\n"},
		{"somebody else", stranger, 0, nobody + "<nil>\n"},
		{"its next login, before that of who displaced it", back, 1, nobody + "5000\n"},
		{"who displaced it", other, 1, "v: other_device by o 1 room of o B web, back 5000\n"},
		{"a login after the return", later, 0, "v: other_device by o 1 room of o B web, back 5000\n"},
		{"all again", slices.Concat(victim, other), 1, "v: other_device by o 1 room of o B web, back 5000\n"},
	} {
		readmodeltest.Apply(t, m, step.facts, 0)
		if got := kicks(t, reader); step.about == "the kick" && got != nobody+"<nil>\n" {
			t.Errorf("before it is settled: %s", got)
		}
		if n := settle(t, m); n != step.marks {
			t.Errorf("%s: %d marks, want %d", step.about, n, step.marks)
		}
		if got := kicks(t, reader); got != step.want {
			t.Errorf("%s: got\n%swant\n%s", step.about, got, step.want)
		}
	}
}

// A Logout that comes late and stands before the KickOut: there was no kick.
func TestALossThatIsNoneAnyMoreGoes(t *testing.T) {
	t.Parallel()
	owner, reader := readmodeltest.Database(t)
	m := readmodeltest.Open(t, owner)
	victim := speak("u", "v", "A", word{0, events.Logining}, word{1, events.Logined}, word{59, events.Logout}, word{60, events.KickOut})
	other := speak("u", "o", "B", word{59, events.Logining}, word{59.9, events.Logined})
	failed := speak("u", "f", "B", word{100, events.Logining}, word{101, events.Logined}, word{160, events.Reconnecting}, word{460, events.ReconnectFailed})
	back := speak("u", "g", "B", word{490, events.Logining}, word{490.25, events.Logined})
	readmodeltest.Apply(t, m, slices.Concat(victim[:2], victim[3:], other, failed, back), 0)
	settle(t, m)
	if got, want := kicks(t, reader), "v: other_device by o 1 room of o B web, back 41000\n"; got != want {
		t.Errorf("got %s want %s", got, want)
	}
	returns := "SELECT count(*) FROM " + projections.Schema() + ".returns"
	if n := count(t, owner, returns+" WHERE ended_by = 'ReconnectFailed' AND relogin_after_ms = 30250 AND app_id = 'a' AND user_id = 'u'"); n != 1 {
		t.Errorf("%d rows of the ReconnectFailed, want 1", n)
	}
	readmodeltest.Apply(t, m, victim[2:3], 0)
	settle(t, m)
	if n := count(t, owner, returns); n != 1 {
		t.Errorf("%d losses, want that of the ReconnectFailed", n)
	}
	if n := count(t, owner, "SELECT count(*) FROM "+projections.Schema()+".losses"); n != 1 {
		t.Errorf("%d losses are looked for, want 1", n)
	}
}

// Whatever comes in whatever order, batches and turns of the second stage: the
// rows are those of the facts. What is not marked would show here.
func TestReturnsHoweverTheyCome(t *testing.T) {
	t.Parallel()
	for seed := range int64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			owner, _ := readmodeltest.Database(t)
			m := readmodeltest.Open(t, owner)
			random := rand.New(rand.NewSource(seed))
			facts := crowd(random, 60)
			for _, f := range facts {
				if random.Intn(6) == 0 {
					facts = append(facts, f)
				}
			}
			random.Shuffle(len(facts), func(i, j int) { // mostly in order
				if random.Intn(4) == 0 || max(i-j, j-i) < 40 {
					facts[i], facts[j] = facts[j], facts[i]
				}
			})
			for rest := facts; len(rest) > 0; {
				n := min(1+random.Intn(len(facts)/20), len(rest))
				readmodeltest.Apply(t, m, rest[:n], 0)
				if rest = rest[n:]; random.Intn(2) == 0 {
					settle(t, m)
				}
			}
			settle(t, m)
			got, want := storedReturns(t, owner), pureReturns(facts)
			if len(want) < 60 {
				t.Fatalf("%d losses prove too little", len(want))
			}
			for key, w := range want {
				if got[key] != w {
					t.Errorf("%s: got %s, want %s", key, got[key], w)
				}
				delete(got, key)
			}
			if len(got) > 0 {
				t.Errorf("rows that should not be there: %v", got)
			}
		})
	}
}

// crowd are users with a few sessions each that get into each other's way.
func crowd(random *rand.Rand, users int) (facts []events.Stored) {
	for u := range users {
		start := float64(random.Intn(600))
		for s := range 2 + random.Intn(4) {
			var words []word
			at := start + float64(random.Intn(100))
			for range 1 + random.Intn(9) {
				words = append(words, word{at, []events.Reason{
					events.Logining, events.Logined, events.Logined, events.Reconnecting, events.Reconnected, events.ReconnectFailed, events.KickOut, events.KickOut, events.Logout,
				}[random.Intn(9)]})
				at += float64(random.Intn(40)) / 4
			}
			of := speak(fmt.Sprint("user ", u), fmt.Sprint(u, "-", s), []string{"", "A", "B"}[random.Intn(3)], words...)
			if random.Intn(3) == 0 {
				of[0].DeviceID = "" // it says so later
			}
			facts = append(facts, of...)
		}
	}
	return facts
}

func pureReturns(facts []events.Stored) map[string]string {
	var keys []string
	bySession := map[string][]events.Stored{}
	for i, f := range facts {
		f.Ref = events.Ref{Generation: 1, Seq: uint64(i + 1)}
		if bySession[f.SessionID] == nil {
			keys = append(keys, f.SessionID)
		}
		bySession[f.SessionID] = append(bySession[f.SessionID], f)
	}
	byUser := map[string][]projections.UserLogin{}
	for i, session := range keys {
		user := bySession[session][0].UserID
		byUser[user] = append(byUser[user], projections.UserLogins(projections.DefaultProfiles, int64(i+1), bySession[session])...)
	}
	out := map[string]string{}
	for _, logins := range byUser {
		for _, r := range projections.Returns(logins) {
			by, back := "", ""
			if r.DisplacedBySet != 0 {
				by = fmt.Sprint(keys[r.DisplacedBySet-1], "/", r.DisplacedByNo)
			}
			if r.ReloginAfterMS.Known {
				back = fmt.Sprint(r.ReloginAfterMS.N)
			}
			out[fmt.Sprint(keys[r.SetID-1], "/", r.LoginNo)] = fmt.Sprint(r.EndedAt.Sub(lossNoon), r.EndedBy, " ", r.Attribution, " ", by, " ", back)
		}
	}
	return out
}

func storedReturns(t testing.TB, owner string) map[string]string {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), owner)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(context.Background(), `
SELECT i.session_id || '/' || r.login_no, r.ended_at, r.ended_by, coalesce(r.attribution, ''), coalesce(o.session_id || '/' || r.displaced_by_login_no, ''), coalesce(r.relogin_after_ms::text, '')
FROM `+projections.Schema()+`.returns r
JOIN roomtrail.identities i ON i.id = r.set_id
LEFT JOIN roomtrail.identities o ON o.id = r.displaced_by_set_id`)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	var key, by, attribution, displacer, back string
	var at time.Time
	if _, err := pgx.ForEachRow(rows, []any{&key, &at, &by, &attribution, &displacer, &back}, func() error {
		out[key] = fmt.Sprint(at.UTC().Sub(lossNoon), by, " ", attribution, " ", displacer, " ", back)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// A user's loss may stand in one generation of the log, and who displaced them
// in the next.
func TestReturnsAcrossGenerations(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	owner, reader := readmodeltest.Database(t)
	m := readmodeltest.Open(t, owner)
	readmodeltest.Apply(t, m, speak("u", "v", "A", word{0, events.Logining}, word{1, events.Logined}, word{60, events.KickOut}), 0)
	at, err := m.Claim(ctx, 2, 0)
	if err != nil {
		t.Fatal(err)
	}
	settle(t, m)
	other := speak("u", "o", "B", word{59, events.Logining}, word{59.9, events.Logined})
	for i := range other {
		other[i].Ref = events.Ref{Generation: 2, Seq: uint64(i + 1)}
	}
	if _, err := m.Apply(ctx, at, events.Batch{Facts: other}); err != nil {
		t.Fatal(err)
	}
	settle(t, m)
	if got, want := kicks(t, reader), "v: other_device by o 1 room of o B web, back <nil>\n"; got != want {
		t.Errorf("got %s want %s", got, want)
	}
}

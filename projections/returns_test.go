package projections_test

import (
	"fmt"
	"math/rand"
	"testing"
	"time"

	"pgregory.net/rapid"

	"roomtrail/events"
	"roomtrail/projections"
)

// asTold is one session's facts: device and boot, then words and when they were
// said, in seconds.
func asTold(set int64, device, boot string, words ...any) (int64, []events.Stored) {
	var facts []events.Stored
	for i := 0; i < len(words); i += 2 {
		e := events.Event{
			AppID: "app", UserID: "u", SessionID: fmt.Sprint(set), Seq: int64(i / 2), Kind: events.State, Reason: events.NoReason, Platform: "web", Family: events.Web,
			DeviceID: device, BootID: boot, Source: events.FromClient, OccurredAt: after(words[i+1].(float64)),
		}
		switch word := words[i].(type) {
		case events.Reason:
			if e.Reason = word; word == events.KickOut {
				e.ErrorCode = 1002050
			}
		case events.Kind:
			if e.Kind = word; word == events.Dark || word == events.Back {
				e.Source = events.FromMonitor
			}
		case int64: // a KickOut for another reason
			e.Reason, e.ErrorCode = events.KickOut, word
		case nil: // lost on its way
			continue
		}
		e.ReceivedAt = e.OccurredAt
		facts = append(facts, events.Stored{Event: e, Ref: events.Ref{Generation: 1, Seq: uint64(set)*100 + uint64(i)}})
	}
	return set, facts
}

type session struct {
	set   int64
	facts []events.Stored
}

func of(set int64, facts []events.Stored) session { return session{set, facts} }

// returnsOf says of the first loss of set 1 by whom it was, how, and when the
// user was back.
func returnsOf(sessions ...session) string {
	var logins []projections.UserLogin
	for _, s := range sessions {
		logins = append(logins, projections.UserLogins(projections.DefaultProfiles, s.set, s.facts)...)
	}
	for _, r := range projections.Returns(logins) {
		if r.SetID == 1 {
			return fmt.Sprintf("%s by %d/%d, back %v", r.Attribution, r.DisplacedBySet, r.DisplacedByNo, r.ReloginAfterMS)
		}
	}
	return "no loss"
}

const (
	lin, in, rc, rd, rf, ko, lo = events.Logining, events.Logined, events.Reconnecting, events.Reconnected, events.ReconnectFailed, events.KickOut, events.Logout
)

func TestReturns(t *testing.T) {
	t.Parallel()
	victim := func(kick float64) session { return of(asTold(1, "A", "a", lin, 0.0, in, 0.2, ko, kick)) }
	other := func(set int64, device, boot string, at float64) session {
		return of(asTold(set, device, boot, lin, at-0.1, in, at))
	}
	for name, c := range map[string]struct {
		sessions []session
		want     string
	}{
		"another device":                    {[]session{victim(100), other(2, "B", "b", 99.9)}, "other_device by 2/1, back {0 false}"},
		"another tab":                       {[]session{victim(100), other(2, "A", "b", 99.9)}, "other_tab by 2/1, back {0 false}"},
		"the same boot":                     {[]session{victim(100), other(2, "A", "a", 99.9)}, "self_ghost by 2/1, back {0 false}"},
		"in an interruption":                {[]session{of(asTold(1, "A", "a", lin, 0.0, in, 0.2, rc, 95.0, ko, 100.0)), other(2, "A", "b", 99.9)}, "self_ghost by 2/1, back {0 false}"},
		"more than two signs are missing":   {[]session{of(asTold(1, "A", "a", lin, 0.0, in, 0.2, events.Alive, 30.2, ko, 100.0)), other(2, "A", "b", 99.9)}, "self_ghost by 2/1, back {0 false}"},
		"not yet two signs are missing":     {[]session{of(asTold(1, "A", "a", lin, 0.0, in, 0.2, events.Alive, 40.0, ko, 100.0)), other(2, "A", "b", 99.9)}, "other_tab by 2/1, back {0 false}"},
		"dark, said the monitor":            {[]session{of(asTold(1, "A", "a", lin, 0.0, in, 0.2, ko, 100.0, events.Dark, 91.0)), other(2, "A", "b", 99.9)}, "self_ghost by 2/1, back {0 false}"},
		"dark and back, said the monitor":   {[]session{of(asTold(1, "A", "a", lin, 0.0, in, 0.2, ko, 100.0, events.Dark, 91.0, events.Back, 95.0)), other(2, "A", "b", 99.9)}, "other_tab by 2/1, back {0 false}"},
		"what came before is lost":          {[]session{of(asTold(1, "A", "a", lin, 0.0, in, 0.2, nil, 95.0, ko, 100.0)), other(2, "A", "b", 99.9)}, "unknown by 2/1, back {0 false}"},
		"what came before was dropped":      {[]session{of(asTold(1, "A", "a", lin, 0.0, in, 0.2, events.Lost, 95.0, ko, 100.0)), other(2, "A", "b", 99.9)}, "unknown by 2/1, back {0 false}"},
		"a Reconnected may be lost":         {[]session{of(asTold(1, "A", "a", lin, 0.0, in, 0.2, rc, 50.0, nil, 51.0, events.Alive, 90.0, ko, 100.0)), other(2, "A", "b", 99.9)}, "unknown by 2/1, back {0 false}"},
		"no device of the victim":           {[]session{of(asTold(1, "", "a", lin, 0.0, in, 0.2, ko, 100.0)), other(2, "A", "b", 99.9)}, "unknown by 2/1, back {0 false}"},
		"no device of the other":            {[]session{victim(100), other(2, "", "b", 99.9)}, "unknown by 2/1, back {0 false}"},
		"no boot of the victim":             {[]session{of(asTold(1, "A", "", lin, 0.0, in, 0.2, ko, 100.0)), other(2, "A", "b", 99.9)}, "unknown by 2/1, back {0 false}"},
		"ten seconds before":                {[]session{victim(100), other(2, "B", "b", 90)}, "other_device by 2/1, back {0 false}"},
		"longer before":                     {[]session{victim(100), other(2, "B", "b", 89.999)}, "unknown by 0/0, back {0 false}"},
		"two seconds after":                 {[]session{victim(100), other(2, "B", "b", 102)}, "other_device by 2/1, back {2000 true}"},
		"longer after":                      {[]session{victim(100), other(2, "B", "b", 102.001)}, "unknown by 0/0, back {2001 true}"},
		"nobody":                            {[]session{victim(100)}, "unknown by 0/0, back {0 false}"},
		"its own next login is no other":    {[]session{of(asTold(1, "A", "a", lin, 0.0, in, 0.2, ko, 100.0, lin, 101.0, in, 101.1))}, "unknown by 0/0, back {1100 true}"},
		"the nearer of two":                 {[]session{victim(100), other(2, "B", "b", 95), other(3, "C", "c", 99)}, "other_device by 3/1, back {0 false}"},
		"two about equally near":            {[]session{victim(100), other(2, "B", "b", 98.5), other(3, "C", "c", 99.2)}, "unknown by 0/0, back {0 false}"},
		"before and after, equally near":    {[]session{victim(100), other(2, "B", "b", 99.5), other(3, "C", "c", 100.5)}, "unknown by 0/0, back {500 true}"},
		"a return to the seat":              {[]session{victim(100), of(asTold(2, "B", "b", lin, -50.0, in, -49.0, rc, 80.0, rd, 99.8))}, "other_device by 2/1, back {0 false}"},
		"the victim displaced it":           {[]session{of(asTold(1, "A", "a", lin, 94.0, in, 94.1, ko, 100.0)), other(2, "B", "b", 92)}, "unknown by 0/0, back {0 false}"},
		"only the way back":                 {[]session{victim(100), other(2, "A", "a2", 101.5)}, "unknown by 0/0, back {1500 true}"},
		"displaced, and back":               {[]session{victim(100), other(2, "B", "b", 99.9), other(3, "A", "a", 104)}, "other_device by 2/1, back {4000 true}"},
		"silent, and two came meanwhile":    {[]session{of(asTold(1, "A", "a", lin, 0.0, in, 0.2, rc, 50.0, ko, 100.0)), other(2, "B", "b", 60), other(3, "C", "c", 99.9)}, "unknown by 0/0, back {0 false}"},
		"a login of which nothing is known": {[]session{victim(100), of(asTold(2, "B", "b", lin, -9.0, in, -8.0, lo, 20.0, nil, 99.0, in, 99.9))}, "unknown by 0/0, back {0 false}"},
		"another reason":                    {[]session{of(asTold(1, "A", "a", lin, 0.0, in, 0.2, int64(1002055), 100.0)), other(2, "B", "b", 99.9), other(3, "A", "a", 130)}, " by 0/0, back {30000 true}"},
		"ReconnectFailed":                   {[]session{of(asTold(1, "A", "a", lin, 0.0, in, 0.2, rc, 50.0, rf, 350.0)), other(3, "A", "a", 380)}, " by 0/0, back {30000 true}"},
		"a Reconnected is no login":         {[]session{victim(100), of(asTold(2, "B", "b", lin, 99.7, in, 99.9, rc, 120.0, rd, 130.0)), other(3, "A", "a", 150)}, "other_device by 2/1, back {50000 true}"},
		"left by itself":                    {[]session{of(asTold(1, "A", "a", lin, 0.0, in, 0.2, lo, 100.0)), other(2, "B", "b", 99.9)}, "no loss"},
		"there and back":                    {[]session{victim(100), of(asTold(2, "B", "b", lin, 99.8, in, 99.9, ko, 110.0)), other(3, "A", "a", 109.9)}, "ping_pong by 2/1, back {9900 true}"},
		"there and back after 5 min":        {[]session{victim(100), of(asTold(2, "B", "b", lin, 99.8, in, 99.9, ko, 400.1)), other(3, "A", "a", 400)}, "other_device by 2/1, back {300000 true}"},
		"back, but by a third":              {[]session{victim(100), of(asTold(2, "B", "b", lin, 99.8, in, 99.9, ko, 110.0)), other(3, "C", "c", 109.9)}, "other_device by 2/1, back {9900 true}"},
		"perhaps there and back":            {[]session{victim(100), of(asTold(2, "B", "b", lin, 99.8, in, 99.9, ko, 110.0))}, "unknown by 2/1, back {0 false}"},
		"two tabs are one device":           {[]session{victim(100), of(asTold(2, "A", "b", lin, 99.8, in, 99.9, ko, 110.0)), other(3, "A", "c", 109.9)}, "other_tab by 2/1, back {9900 true}"},
	} {
		if got := returnsOf(c.sessions...); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// The time between is taken from the device's own clock, where it is one, and a
// time that had to be put right leaves more in doubt.
func TestReturnsByTheBetterClock(t *testing.T) {
	t.Parallel()
	set, victim := asTold(1, "A", "a", lin, 0.0, in, 0.2, ko, 100.0)
	again, next := asTold(2, "A", "a", lin, 104.0, in, 105.0)
	for i, ms := range []float64{0, 200, 100_000} {
		victim[i].MonotonicMS, victim[i].HasMonotonic = ms, true
	}
	for i, ms := range []float64{107_000, 107_500} { // the clock was set back meanwhile
		next[i].MonotonicMS, next[i].HasMonotonic = ms, true
	}
	if got, want := returnsOf(of(set, victim), of(again, next)), "unknown by 0/0, back {7500 true}"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	other, third := of(asTold(2, "B", "b", lin, 95.0, in, 95.5)), of(asTold(3, "C", "c", lin, 98.8, in, 98.9))
	set, victim = asTold(1, "A", "a", lin, 0.0, in, 0.2, ko, 100.0)
	if got, want := returnsOf(of(set, victim), other, third), "other_device by 3/1, back {0 false}"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	kick := &victim[2]
	kick.ClockOffsetMS, kick.HasClockOff = 7_200_000, true
	kick.OccurredAt = kick.OccurredAt.Add(-2 * time.Hour)
	if got, want := returnsOf(of(set, victim), other, third), "unknown by 0/0, back {0 false}"; got != want {
		t.Errorf("put right: %s, want %s", got, want)
	}
}

// Whatever order, repetition and order of sessions: the same comes out.
func TestReturnsOfASet(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var sessions []session
		for set := range rapid.Int64Range(1, 4).Draw(t, "sessions") {
			var words []any
			at := rapid.Float64Range(0, 200).Draw(t, "start")
			for range rapid.IntRange(1, 10).Draw(t, "events") {
				words = append(words, rapid.SampledFrom([]any{lin, in, in, rc, rd, rf, ko, ko, lo, nil, events.Alive, events.Dark, int64(1002055)}).Draw(t, "word"), at)
				at += rapid.Float64Range(-2, 20).Draw(t, "later")
			}
			sessions = append(sessions, of(asTold(set+1, rapid.SampledFrom([]string{"", "A", "B"}).Draw(t, "device"), rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "boot"), words...)))
		}
		var want, got []projections.UserLogin
		random := rand.New(rand.NewSource(rapid.Int64().Draw(t, "seed")))
		for _, s := range sessions {
			want = append(want, projections.UserLogins(projections.DefaultProfiles, s.set, append([]events.Stored(nil), s.facts...))...)
		}
		random.Shuffle(len(sessions), func(i, j int) { sessions[i], sessions[j] = sessions[j], sessions[i] })
		for _, s := range sessions {
			facts := append([]events.Stored(nil), s.facts...)
			for _, f := range s.facts {
				if random.Intn(3) == 0 {
					f.Ref.Generation = 2
					facts = append(facts, f)
				}
			}
			random.Shuffle(len(facts), func(i, j int) { facts[i], facts[j] = facts[j], facts[i] })
			got = append(got, projections.UserLogins(projections.DefaultProfiles, s.set, facts)...)
		}
		if a, b := show(projections.Returns(got)), show(projections.Returns(want)); a != b {
			t.Fatalf("got\n%s\nwant\n%s", a, b)
		}
	})
}

func show(returns []projections.Return) string {
	out := ""
	for _, r := range returns {
		out += fmt.Sprintln(r.SetID, r.LoginNo, r.EndedAt, r.EndedBy, r.BackAt, r.ReloginAfterMS, r.Attribution, r.DisplacedBySet, r.DisplacedByNo)
	}
	return out
}

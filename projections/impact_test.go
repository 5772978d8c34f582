package projections_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"roomtrail/projections"
)

// occupant is a login that came in and ended at so many seconds after nine; an
// end of 0 is none. Its breaks are pairs of Reconnecting and Reconnected, a
// second of 0 is none.
func occupant(set int64, user string, in, end float64, breaks ...[2]float64) projections.Occupant {
	o := projections.Occupant{UserID: user, ClientLogin: projections.ClientLogin{SetID: set, Login: projections.Login{
		No: 1, FirstAt: after(in), LoginStartedAt: after(in), LoginedAt: after(in), LastStateAt: after(in), LastEventAt: after(in),
	}}}
	for i, b := range breaks {
		r := projections.Interruption{LoginNo: 1, No: i + 1, StartedAt: after(b[0]), HeartbeatTimeoutMS: 90_000, RetryWindowMS: 300_000}
		if o.LastStateAt = r.StartedAt; b[1] > 0 {
			r.EndedAt, r.Outcome, o.LastStateAt = after(b[1]), "reconnected", after(b[1])
		}
		o.Interruptions = append(o.Interruptions, r)
	}
	if end > 0 {
		o.EndedAt, o.EndedBy, o.LastStateAt = after(end), "Logout", after(end)
		if n := len(breaks); n > 0 && breaks[n-1][1] == 0 {
			o.Interruptions[n-1].EndedAt, o.Interruptions[n-1].Outcome = after(end), "logged_out"
		}
	}
	o.LastEventAt = o.LastStateAt
	return o
}

// askedAt is what the view answers: peer_ms at a moment.
func askedAt(m projections.Impact, now time.Time) int64 {
	if m.Waiting == 0 {
		return m.PeerMS
	}
	if now.After(m.LimitAt) {
		now = m.LimitAt
	}
	return m.PeerMS + max(int64(m.Waiting)*now.Sub(m.LeftAt).Milliseconds()-m.WaitingMS, 0)
}

// A room worked out by hand, in seconds; H is 90, W is 300.
//
//	who  connected                          interruptions
//	A    0-60, 240-400, 520-600             60-240, 400-520
//	B    0-200                              none
//	C    100-160, 180-600                   160-180
//	D    0-700                              700, open
//	E    800-, open                         none
//
// D is told at 480 that A has left, and at 515 that he is back.
//
//	A 60-240   the others see it from 60+90=150 to 240:  B 150-200, C 150-160 and 180-240, D 150-240: 50+70+90 = 210
//	C 160-180  is back before H:                         0
//	A 400-520  they see it from 480 to 515:              C 35, D 35: 70
//	D 700-     they see it from 790 on, until 1000:      E from 800 on: at 830 it is 30, at 2000 it is 200
func TestImpactsOfARoom(t *testing.T) {
	t.Parallel()
	occupants := []projections.Occupant{
		occupant(1, "A", 0, 600, [2]float64{60, 240}, [2]float64{400, 520}),
		occupant(2, "B", 0, 200),
		occupant(3, "C", 100, 600, [2]float64{160, 180}),
		occupant(4, "D", 0, 0, [2]float64{700, 0}),
		occupant(5, "E", 800, 0),
	}
	words := []projections.PeerWord{{UserID: "A", At: after(480)}, {UserID: "A", At: after(515), IsBack: true}}
	for now, want := range map[float64]string{
		830:  "1/1 210000, 1/2 70000, 3/1 0, 4/1 30000",
		2000: "1/1 210000, 1/2 70000, 3/1 0, 4/1 200000",
	} {
		var got []string
		for _, m := range projections.Impacts(occupants, words, nine, after(3600)) {
			got = append(got, fmt.Sprintf("%d/%d %d", m.SetID, m.No, askedAt(m, after(now))))
		}
		if got := strings.Join(got, ", "); got != want {
			t.Errorf("asked at %v s: %s, want %s", now, got, want)
		}
	}
	if n := len(projections.Impacts(occupants, words, after(60), after(160))); n != 1 {
		t.Errorf("%d interruptions began from 60 to 160 s, want that of A alone", n)
	}
}

func TestImpacts(t *testing.T) {
	t.Parallel()
	lost := occupant(1, "A", 0, 600, [2]float64{60, 240})
	dark := occupant(2, "B", 0, 0)
	dark.DarkSince = after(170)
	closing := occupant(2, "B", 0, 0)
	closing.ClosingSaid, closing.LastEventAt = true, after(160)
	late := occupant(2, "B", 0, 0)
	late.LoginStartedAt, late.LoginedAt = time.Time{}, time.Time{} // its first events are lost
	for name, c := range map[string]struct {
		others []projections.Occupant
		words  []projections.PeerWord
		want   int64 // seconds
	}{
		"nobody else":                        {nil, nil, 0},
		"one who stays":                      {[]projections.Occupant{occupant(2, "B", 0, 0)}, nil, 90},
		"one whose first events are lost":    {[]projections.Occupant{late}, nil, 90},
		"one who says that he closes at 160": {[]projections.Occupant{closing}, nil, 10},
		"one who is dark from 170 on":        {[]projections.Occupant{dark}, nil, 20},
		"told early, at 100":                 {[]projections.Occupant{occupant(2, "B", 0, 0)}, []projections.PeerWord{{UserID: "A", At: after(100)}}, 140},
		"told late, at 170":                  {[]projections.Occupant{occupant(2, "B", 0, 0)}, []projections.PeerWord{{UserID: "A", At: after(170)}}, 70},
		"told of another":                    {[]projections.Occupant{occupant(2, "B", 0, 0)}, []projections.PeerWord{{UserID: "B", At: after(170)}}, 90},
		"the earliest word counts":           {[]projections.Occupant{occupant(2, "B", 0, 0)}, []projections.PeerWord{{UserID: "A", At: after(170)}, {UserID: "A", At: after(155)}}, 85},
		"he comes in anew at 200":            {[]projections.Occupant{occupant(2, "B", 0, 0), occupant(3, "A", 200, 0)}, nil, 50},
		"he is in a second time":             {[]projections.Occupant{occupant(2, "B", 0, 0), occupant(3, "A", 100, 0)}, nil, 0},
	} {
		got := projections.Impacts(append([]projections.Occupant{lost}, c.others...), c.words, nine, after(3600))[0]
		if got.PeerMS != c.want*1000 || got.Waiting != 0 {
			t.Errorf("%s: %d s and %d who wait, want %d s", name, got.PeerMS/1000, got.Waiting, c.want)
		}
	}
}

// Second by second, impacts are who is connected while somebody is gone.
func TestImpactsAreThoseOfEverySecond(t *testing.T) {
	t.Parallel()
	total := int64(0)
	rapid.Check(t, func(t *rapid.T) {
		var occupants []projections.Occupant
		second := func(from int, name string) int { return from + rapid.IntRange(1, 200).Draw(t, name) }
		for set := range rapid.IntRange(1, 6).Draw(t, "logins") {
			in := rapid.IntRange(0, 500).Draw(t, "in")
			at, end := in, 0
			var breaks [][2]float64
			for range rapid.IntRange(0, 3).Draw(t, "breaks") {
				if len(breaks) > 0 && breaks[len(breaks)-1][1] == 0 {
					break
				}
				b := [2]float64{float64(second(at, "lost")), 0}
				at = int(b[0])
				if rapid.IntRange(0, 3).Draw(t, "returns") > 0 {
					at += rapid.IntRange(1, 400).Draw(t, "away")
					b[1] = float64(at)
				}
				breaks = append(breaks, b)
			}
			if rapid.Bool().Draw(t, "ends") {
				end = second(at, "end")
			}
			occupants = append(occupants, occupant(int64(set), rapid.SampledFrom([]string{"A", "B", "C", "D"}).Draw(t, "user"), float64(in), float64(end), breaks...))
		}
		var words []projections.PeerWord
		for range rapid.IntRange(0, 4).Draw(t, "words") {
			words = append(words, projections.PeerWord{
				UserID: rapid.SampledFrom([]string{"A", "B"}).Draw(t, "about"), At: after(float64(rapid.IntRange(0, 1200).Draw(t, "at"))), IsBack: rapid.Bool().Draw(t, "back"),
			})
		}
		now := 3000
		got := map[string]int64{}
		for _, m := range projections.Impacts(rapid.Permutation(occupants).Draw(t, "order"), rapid.Permutation(words).Draw(t, "order of words"), nine, after(3600)) {
			got[fmt.Sprint(m.SetID, "/", m.No)] = askedAt(m, after(float64(now)))
		}
		n := 0
		for i := range occupants {
			for _, r := range occupants[i].Interruptions {
				n++
				want := 1000 * slowImpact(occupants, i, r, words, now)
				total += want
				if key := fmt.Sprint(occupants[i].SetID, "/", r.No); got[key] != want {
					t.Fatalf("%s costs others %d ms, want %d", key, got[key], want)
				}
			}
		}
		if n != len(got) {
			t.Fatalf("%d interruptions have an impact, want %d", len(got), n)
		}
	})
	if total == 0 {
		t.Error("nothing cost anybody anything")
	}
}

// slowImpact looks at every second of an interruption.
func slowImpact(occupants []projections.Occupant, of int, r projections.Interruption, words []projections.PeerWord, now int) (sum int64) {
	in := func(o *projections.Occupant, at time.Time) bool {
		if at.Before(o.LoginedAt) || o.Ended() && !at.Before(o.EndedAt) {
			return false
		}
		return !slices.ContainsFunc(o.Interruptions, func(r projections.Interruption) bool {
			return !at.Before(r.StartedAt) && (r.EndedAt.IsZero() || at.Before(r.EndedAt))
		})
	}
	user := occupants[of].UserID
	isOver := func(at time.Time) bool {
		return !r.EndedAt.IsZero() && !at.Before(r.EndedAt) || !at.Before(r.StartedAt.Add(300*time.Second))
	}
	isTold := func(at time.Time, isBack bool) bool {
		return slices.ContainsFunc(words, func(w projections.PeerWord) bool {
			return w.UserID == user && w.IsBack == isBack && w.At.Equal(at)
		})
	}
	isEver := false // somebody is told that he left
	for at := r.StartedAt; !isOver(at); at = at.Add(time.Second) {
		isEver = isEver || isTold(at, false)
	}
	isGone := false
	for at := r.StartedAt; !isOver(at) && at.Before(after(float64(now))); at = at.Add(time.Second) {
		isNow := isTold(at, false)
		if !isEver {
			isNow = at.Equal(r.StartedAt.Add(90 * time.Second))
		}
		isAlso := false // in the room by another login
		for i := range occupants {
			isAlso = isAlso || i != of && occupants[i].UserID == user && in(&occupants[i], at)
		}
		switch {
		case !isGone && !isNow:
			continue
		case isAlso, isGone && isTold(at, true):
			return sum
		}
		isGone = true
		for i := range occupants {
			if occupants[i].UserID != user && in(&occupants[i], at) {
				sum++
			}
		}
	}
	return sum
}

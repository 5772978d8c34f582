package projections_test

import (
	"fmt"
	"math/rand"
	"slices"
	"testing"
	"time"

	"roomtrail/projections"
)

// Contract 5 on who displaced whom, once more: slowly, from its text, for what
// is drawn here. literal is what the text says; doubt is each reason for which
// nobody is named or nothing is said all the same.
type toldAgain struct{ logins []projections.UserLogin }

type seen struct {
	login   int
	arrival projections.Arrival
}

// others are the arrivals of the other sessions, as far as they lie within.
func (r toldAgain) others(victim int, from, to time.Time) (out []seen) {
	for i, l := range r.logins {
		for _, a := range l.Arrivals {
			if l.SetID != r.logins[victim].SetID && !a.At.Before(from) && !a.At.After(to) {
				out = append(out, seen{i, a})
			}
		}
	}
	return out
}

func apart(a, b time.Time) time.Duration { return a.Sub(b).Abs() }

// literal is the nearest arrival in [kick - 10 s, kick + 2 s].
func (r toldAgain) literal(victim int) (best seen, ok bool) {
	kick := r.logins[victim].Loss.At
	for _, s := range r.others(victim, kick.Add(-10*time.Second), kick.Add(2*time.Second)) {
		if !ok || apart(s.arrival.At, kick) < apart(best.arrival.At, kick) {
			best, ok = s, true
		}
	}
	return best, ok
}

// impossible says whether what a victim and another say of themselves excludes
// that the other displaced it.
func (r toldAgain) impossible(victim int, s seen) bool {
	v := r.logins[victim]
	for _, own := range v.Arrivals {
		if own.Seq < v.Loss.Seq && own.At.After(s.arrival.At) {
			return true
		}
	}
	began := r.logins[s.login].Began
	return s.arrival.IsStray || v.Loss.DeviceID != "" && v.Loss.DeviceID == s.arrival.DeviceID && began.After(v.Loss.At)
}

// displacer is the literal one where there is no doubt.
func (r toldAgain) displacer(victim int) (best seen, ok bool) {
	best, ok = r.literal(victim)
	if !ok || r.impossible(victim, best) {
		return seen{}, false
	}
	loss := r.logins[victim].Loss
	for _, s := range r.others(victim, loss.At.Add(-10*time.Second), loss.At.Add(2*time.Second)) {
		if apart(s.arrival.At, loss.At) == apart(best.arrival.At, loss.At) && r.impossible(victim, s) {
			return seen{}, false
		}
		slack := time.Second + 2*loss.Slack + s.arrival.Slack + best.arrival.Slack
		if s.login != best.login && !r.impossible(victim, s) && apart(s.arrival.At, loss.At)-apart(best.arrival.At, loss.At) < slack {
			return seen{}, false
		}
	}
	if loss.Silence != projections.Heard {
		for _, s := range r.others(victim, loss.QuietSince.Add(-10*time.Second), best.arrival.At.Add(-1)) {
			if s.login != best.login && !r.impossible(victim, s) {
				return seen{}, false
			}
		}
		for _, s := range r.others(victim, loss.At.Add(-10*time.Second), best.arrival.At.Add(-1)) {
			if s.login != best.login && !r.impossible(victim, s) {
				return seen{}, false
			}
		}
	}
	return best, true
}

// attribution is the first that fits.
func (r toldAgain) attribution(victim int) string {
	by, ok := r.displacer(victim)
	v := r.logins[victim].Loss
	if !ok || v.DeviceID == "" || by.arrival.DeviceID == "" {
		return "unknown"
	}
	if v.DeviceID != by.arrival.DeviceID {
		doubt := false
		for i, l := range r.logins {
			if l.Loss == nil || l.Loss.KickReason != "duplicate_login" || apart(l.Loss.At, v.At) > 5*time.Minute {
				continue
			}
			back, known := r.displacer(i)
			isHere, mayBeHere := l.Loss.DeviceID == by.arrival.DeviceID, l.Loss.DeviceID == ""
			isBack, mayBeBack := known && back.arrival.DeviceID == v.DeviceID, !known || back.arrival.DeviceID == ""
			if isHere && isBack {
				return "ping_pong"
			}
			doubt = doubt || (isHere || mayBeHere) && (isBack || mayBeBack)
		}
		if doubt {
			return "unknown"
		}
		return "other_device"
	}
	switch {
	case v.BootID != "" && v.BootID == by.arrival.BootID, v.Silence == projections.Silent:
		return "self_ghost"
	case v.BootID != "" && by.arrival.BootID != "" && v.Silence == projections.Heard:
		return "other_tab"
	}
	return "unknown"
}

// back is the next Logined after a loss.
func (r toldAgain) back(victim int) (ms int64, ok bool) {
	v := r.logins[victim]
	for _, l := range r.logins {
		for _, a := range l.Arrivals {
			isOwnPast := l.SetID == v.SetID && a.Seq < v.Loss.Seq
			if after := a.At.Sub(v.Loss.At).Milliseconds(); !a.IsReturn && a.At.After(v.Loss.At) && !isOwnPast && (!ok || after < ms) {
				ms, ok = after, true
			}
		}
	}
	return ms, ok
}

// drawLogins is any history of a user. Times lie on a coarse grid, and kicks
// mostly near arrivals, so that equal distances and ends of windows are met.
func drawLogins(random *rand.Rand) (logins []projections.UserLogin) {
	at := func() time.Time { return after(float64(random.Intn(240)) / 2) }
	of := func(words ...string) string { return words[random.Intn(len(words))] }
	slack := func() time.Duration {
		return []time.Duration{0, 0, 0, 0, 100 * time.Millisecond, 2500 * time.Millisecond}[random.Intn(6)]
	}
	var came []time.Time
	for set := range int64(1 + random.Intn(5)) {
		seq := int64(0)
		for no := range 1 + random.Intn(2) {
			device, boot := of("", "A", "A", "A", "B", "B", "B", "C"), of("", "a", "b", "c")
			l := projections.UserLogin{SetID: set + 1, No: no + 1, Began: at()}
			said := l.Began
			for range random.Intn(3) {
				said = said.Add(time.Duration(random.Intn(8)) * time.Second / 2)
				l.Arrivals = append(l.Arrivals, projections.Arrival{
					At: said, IsReturn: random.Intn(3) == 0, IsStray: random.Intn(15) == 0, DeviceID: device, BootID: boot, Seq: seq, Slack: slack(),
				})
				seq++
				came = append(came, l.Arrivals[len(l.Arrivals)-1].At)
			}
			if random.Intn(3) > 0 {
				l.Loss = &projections.Loss{
					At: at(), EndedBy: "KickOut", KickReason: of("duplicate_login", "duplicate_login", "duplicate_login", "backend"), DeviceID: device, BootID: boot,
					Seq: seq, Slack: slack(), Silence: projections.Silence(max(random.Intn(5)-2, 0)), QuietSince: at(),
				}
				if len(came) > 0 && random.Intn(5) > 0 {
					apart := []int{-5, -4, -1, 0, 1, 1, 1, 2, 19, 20, 21}[random.Intn(11)]
					l.Loss.At = came[random.Intn(len(came))].Add(time.Duration(apart) * time.Second / 2)
				}
				if random.Intn(5) == 0 {
					l.Loss.EndedBy, l.Loss.KickReason = "ReconnectFailed", ""
				}
				if random.Intn(8) == 0 {
					l.Loss.At = l.Loss.At.Add(5 * time.Minute)
				}
			}
			seq++
			logins = append(logins, l)
		}
	}
	return logins
}

func TestReturnsAgainstTheContract(t *testing.T) {
	t.Parallel()
	said := map[string]int{}
	for seed := range int64(2000) {
		checkReturns(t, seed, drawLogins(rand.New(rand.NewSource(seed))), said)
	}
	for _, a := range []string{"ping_pong", "self_ghost", "other_tab", "other_device", "unknown", ""} {
		if said[a] < 20 {
			t.Errorf("attribution %q was drawn %d times: %v", a, said[a], said)
		}
	}
}

func checkReturns(t *testing.T, seed int64, logins []projections.UserLogin, said map[string]int) {
	r := toldAgain{logins}
	got := projections.Returns(logins)
	for i, l := range logins {
		at := slices.IndexFunc(got, func(r projections.Return) bool { return r.SetID == l.SetID && r.LoginNo == l.No })
		if (at >= 0) != (l.Loss != nil) {
			t.Fatalf("seed %d: login %d/%d has a row: %v", seed, l.SetID, l.No, at >= 0)
		}
		if at < 0 {
			continue
		}
		row, want := got[at], projections.Return{SetID: l.SetID, LoginNo: l.No}
		if l.Loss.KickReason == "duplicate_login" {
			want.Attribution = r.attribution(i)
			if by, ok := r.displacer(i); ok {
				want.DisplacedBySet, want.DisplacedByNo = logins[by.login].SetID, logins[by.login].No
			}
		}
		ms, isBack := r.back(i)
		a := fmt.Sprint(row.Attribution, row.DisplacedBySet, row.DisplacedByNo, row.ReloginAfterMS.Known, row.ReloginAfterMS.N)
		b := fmt.Sprint(want.Attribution, want.DisplacedBySet, want.DisplacedByNo, isBack, ms)
		if a != b {
			t.Fatalf("seed %d: login %d/%d: got %s, want %s", seed, l.SetID, l.No, a, b)
		}
		said[row.Attribution]++
	}
}

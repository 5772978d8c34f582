package projections_test

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"roomtrail/projections"
)

// onset is one that begins so many seconds after nine, in the place
// "network carrier region".
func onset(user, room string, at float64, place string) projections.Onset {
	p := strings.Fields(place)
	return projections.Onset{
		RoomID: room, UserID: user, SessionID: "s-" + user, LoginNo: 1, No: 1, StartedAt: after(at),
		Network: p[0], Carrier: p[1], Region: p[2], SDKVersion: user, // so that no version is shared
	}
}

// told says a storm by its scope and its members' users.
func toldStorms(storms []projections.Storm) string {
	var out []string
	for _, s := range storms {
		var users []string
		for _, m := range s.Members {
			users = append(users, m.UserID)
		}
		slices.Sort(users)
		out = append(out, fmt.Sprint(s.Scope, "=", s.ScopeValue, " ", users))
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

func TestStorms(t *testing.T) {
	t.Parallel()
	office, other := "wifi campus eu", "cellular north us"
	three := []projections.Onset{onset("a", "1", 0, office), onset("b", "2", 0.3, office), onset("c", "3", 1, office)}
	late := onset("d", "4", 18, office)
	delayed := onset("e", "5", 8.5, office)
	delayed.DelayMS = 8000
	for name, c := range map[string]struct {
		onsets []projections.Onset
		want   string
	}{
		"three in an office":                    {three, "carrier=campus [a b c]"},
		"two are too few":                       {three[:2], ""},
		"one user three times is one":           {[]projections.Onset{three[0], onset("a", "2", 1, office), onset("a", "3", 2, office)}, ""},
		"who notices late belongs to it":        {append(slices.Clone(three), late), "carrier=campus [a b c d]"},
		"the SDK's delay is taken off":          {append(slices.Clone(three[:2]), delayed), "carrier=campus [a b e]"},
		"somewhere else at the same time":       {append(slices.Clone(three), onset("x", "1", 0.5, other)), "carrier=campus [a b c]"},
		"25 s later is another matter":          {append(slices.Clone(three), onset("x", "6", 25, office)), "carrier=campus [a b c]"},
		"four of one room, from everywhere":     {[]projections.Onset{onset("a", "1", 0, "wifi a r"), onset("b", "1", 1, "wifi b s"), onset("c", "1", 2, "lan c t"), onset("d", "1", 2, "lte d u")}, "room=1 [a b c d]"},
		"two offices at once are two storms":    {append(slices.Clone(three), onset("x", "1", 0, other), onset("y", "2", 0, other), onset("z", "3", 0, other)), "carrier=campus [a b c]; carrier=north [x y z]"},
		"a place without a name is no place":    {[]projections.Onset{{UserID: "a", StartedAt: nine, RoomID: "1"}, {UserID: "b", StartedAt: nine, RoomID: "2"}, {UserID: "c", StartedAt: nine, RoomID: "3"}}, ""},
		"a carrier in all its regions":          {carrierDown(), "carrier=campus [a0 a1 a2 b0 b1 b2 c0 c1 c2 d0 d1 d2]"},
		"as often as ever is nothing":           {busy(0), ""},
		"more than ever in a busy place is":     {busy(12), "carrier=campus [n0 n1 n10 n11 n2 n3 n4 n5 n6 n7 n8 n9]"},
		"a little more than ever proves little": {busy(2), ""},
	} {
		if got := toldStorms(projections.Storms("app", c.onsets)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// carrierDown takes twelve users of one carrier, three in each of four regions.
func carrierDown() (out []projections.Onset) {
	for i, region := range []string{"a", "b", "c", "d"} {
		for n := range 3 {
			user := fmt.Sprint(region, n)
			out = append(out, onset(user, user, float64(i)/10, "wifi campus "+region))
		}
	}
	return out
}

// busy is a place in which somebody is lost every 5 s, and so many more at once.
func busy(more int) (out []projections.Onset) {
	for n := range 160 {
		user := fmt.Sprint("u", n)
		out = append(out, onset(user, user, float64(n-80)*5+2.5, "wifi campus eu"))
	}
	for n := range more {
		user := fmt.Sprint("n", n)
		out = append(out, onset(user, user, 0.01*float64(n), "wifi campus eu"))
	}
	return slices.DeleteFunc(out, func(o projections.Onset) bool { // so that all members are new ones
		return more > 2 && o.UserID[0] == 'u' && o.StartedAt.After(after(-21)) && o.StartedAt.Before(after(21))
	})
}

func drawOnsets(t *rapid.T, most, seconds int) []projections.Onset {
	var out []projections.Onset
	pick := func(name string, of ...string) string { return rapid.SampledFrom(of).Draw(t, name) }
	bursts := rapid.SliceOfN(rapid.IntRange(0, 2*seconds), 1, 4).Draw(t, "bursts")
	for n := range rapid.IntRange(0, most).Draw(t, "onsets") {
		at := rapid.IntRange(0, 2*seconds).Draw(t, "at")
		if rapid.IntRange(0, 2).Draw(t, "in a burst") > 0 {
			at = rapid.SampledFrom(bursts).Draw(t, "burst") + rapid.IntRange(0, 50).Draw(t, "after")
		}
		out = append(out, projections.Onset{
			RoomID: pick("room", "1", "2", "3", "4"), UserID: fmt.Sprint(rapid.IntRange(0, 30).Draw(t, "user")), SessionID: fmt.Sprint(n), LoginNo: 1, No: 1,
			SetID: int64(n), StartedAt: after(float64(at) / 2), DelayMS: rapid.SampledFrom([]int64{0, 0, 8000}).Draw(t, "delay"),
			Network: pick("network", "wifi", "lte", ""), Carrier: pick("carrier", "x", "y", ""), Region: pick("region", "eu", "us", ""), SDKVersion: pick("sdk", "1", "2", ""),
		})
	}
	return out
}

// whole says everything of storms, in an order of its own.
func whole(storms []projections.Storm) string {
	var out []string
	for _, s := range storms {
		out = append(out, fmt.Sprintf("%+v", s))
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

func TestStormsAreThoseOfTheDefinition(t *testing.T) {
	t.Parallel()
	storms := 0
	defer func() {
		if storms < 20 {
			t.Errorf("%d storms prove too little", storms)
		}
	}()
	rapid.Check(t, func(t *rapid.T) {
		onsets := drawOnsets(t, 16, 400)
		var got []string
		for _, s := range projections.Storms("app", onsets) {
			var ids []int64
			for _, m := range s.Members {
				ids = append(ids, m.SetID)
			}
			slices.Sort(ids)
			got = append(got, fmt.Sprint(s.Scope, s.ScopeValue, s.Network, s.Carrier, s.Region, ids))
		}
		slices.Sort(got)
		storms += len(got)
		if want := slowStorms(onsets); !slices.Equal(got, want) {
			t.Fatalf("storms are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

func TestStormsDoNotRestOnTheOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		onsets := drawOnsets(t, 40, 600)
		want := whole(projections.Storms("app", onsets))
		if got := whole(projections.Storms("app", rapid.Permutation(onsets).Draw(t, "order"))); got != want {
			t.Fatalf("in another order storms are\n%s\nwant\n%s", got, want)
		}
	})
}

// A cell's storms rest on it and its neighbours.
func TestStormsOfACellRestOnItsNeighbours(t *testing.T) {
	t.Parallel()
	cellOf := func(at time.Time) int64 { return at.Unix() / int64(projections.StormCell/time.Second) }
	rapid.Check(t, func(t *rapid.T) {
		onsets := drawOnsets(t, 60, 1800)
		told := func(storms []projections.Storm, isOurs func(int64) bool) (out []string) {
			for _, s := range storms {
				for _, m := range s.Members {
					if isOurs(cellOf(m.StartedAt)) {
						out = append(out, fmt.Sprint(m.SetID, " in ", s.ID))
					}
				}
				if isOurs(cellOf(s.Members[0].StartedAt)) {
					out = append(out, fmt.Sprintf("%+v", s))
				}
			}
			return out
		}
		want := told(projections.Storms("app", onsets), func(int64) bool { return true })
		var got []string
		for cell := cellOf(nine) - 1; cell <= cellOf(after(2000)); cell++ {
			near := slices.DeleteFunc(slices.Clone(onsets), func(o projections.Onset) bool {
				n := cellOf(o.StartedAt)
				return n < cell-1 || n > cell+1
			})
			got = append(got, told(projections.Storms("app", near), func(n int64) bool { return n == cell })...)
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("cell by cell\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// slowStorms tells the definition again, by looking at everything each time.
func slowStorms(onsets []projections.Onset) []string {
	type scope struct{ kind, network, carrier, region, other string }
	known := map[int64][]scope{}
	scopesOf := func(o projections.Onset) (all []scope) {
		if all, ok := known[o.SetID]; ok {
			return all
		}
		defer func() { known[o.SetID] = all }()
		if o.RoomID != "" {
			all = append(all, scope{kind: "room", other: o.RoomID})
		}
		for _, p := range []string{"cnr", "cr", "cn", "rn", "c", "r", "n"} {
			s, ok := scope{kind: p}, true
			for part, v := range map[string]string{"n": o.Network, "c": o.Carrier, "r": o.Region} {
				if strings.Contains(p, part) {
					ok = ok && v != ""
					*map[string]*string{"n": &s.network, "c": &s.carrier, "r": &s.region}[part] = v
				}
			}
			if ok {
				all = append(all, s)
			}
		}
		if o.SDKVersion != "" {
			all = append(all, scope{kind: "sdk", other: o.SDKVersion})
		}
		return all
	}
	lost := func(o projections.Onset) float64 {
		return float64(o.StartedAt.UnixMilli()-min(o.DelayMS, 20_000)-nine.UnixMilli()) / 1000
	}
	least := func(s scope) float64 {
		return -math.Log(map[string]float64{"room": 1e-4, "cnr": 1e-3}[s.kind] + map[bool]float64{true: 2e-5}[s.kind != "room" && s.kind != "cnr"])
	}
	// strength of the window of a scope from a time on, by these onsets.
	strength := func(by []projections.Onset, s scope, from float64) (best float64) {
		around := 0.5
		for _, o := range onsets {
			if at := lost(o); slices.Contains(scopesOf(o), s) && (at >= from-220 && at < from || at > from+20 && at <= from+240) {
				around++
			}
		}
		for _, width := range []float64{2, 6, 20} {
			users := map[string]bool{}
			for _, o := range by {
				if at := lost(o); slices.Contains(scopesOf(o), s) && at >= from && at <= from+width {
					users[o.UserID] = true
				}
			}
			usual, n := around*width/440, len(users)
			if n < 3 || float64(n-1) < 2*usual {
				continue
			}
			chance := 0.0
			for i := n - 1; i < n+60; i++ {
				gamma, _ := math.Lgamma(float64(i + 1))
				chance += math.Exp(float64(i)*math.Log(usual) - usual - gamma)
			}
			if v := math.Round(-math.Log(chance)*1e5) / 1e5; v >= least(s) {
				best = max(best, v)
			}
		}
		return best
	}
	type window struct {
		scope
		from float64
	}
	var out []string
	left := slices.Clone(onsets)
	for range 3 {
		went := map[window][]projections.Onset{}
		for _, o := range left {
			var best window
			most := 0.0
			for _, s := range scopesOf(o) {
				var starts []float64
				for _, a := range left {
					if slices.Contains(scopesOf(a), s) && lost(a) <= lost(o) && lost(o) <= lost(a)+20 {
						starts = append(starts, lost(a))
					}
				}
				slices.Sort(starts)
				for _, from := range starts {
					if v := strength(left, s, from); v > most {
						best, most = window{s, from}, v
					}
				}
			}
			if most > 0 {
				went[best] = append(went[best], o)
			}
		}
		for w, members := range went {
			if strength(members, w.scope, w.from) == 0 {
				continue
			}
			var ids []int64
			for _, m := range members {
				ids = append(ids, m.SetID)
				left = slices.DeleteFunc(left, func(o projections.Onset) bool { return o.SetID == m.SetID })
			}
			slices.Sort(ids)
			name := map[string]string{"room": "room", "sdk": "sdk_version"}[w.kind]
			if name == "" {
				name = map[byte]string{'c': "carrier", 'r': "region", 'n': "network"}[w.kind[0]]
			}
			value := cmp.Or(w.other, map[string]string{"carrier": w.carrier, "region": w.region, "network": w.network}[name])
			out = append(out, fmt.Sprint(name, value, w.network, w.carrier, w.region, ids))
		}
	}
	slices.Sort(out)
	return out
}

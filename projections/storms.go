package projections

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"slices"
	"strings"
	"time"
)

// Onset is the beginning of an interruption, for the second stage. The first
// five fields name it whatever database it stands in; SetID is what it is
// called in this one.
type Onset struct {
	RoomID, UserID, SessionID            string
	LoginNo, No                          int
	SetID                                int64
	StartedAt                            time.Time
	DelayMS                              int64  // by how much its SDK may have said so late: onset_delay_ms
	Network, Carrier, Region, SDKVersion string // empty is unknown
}

// lostAt is when the line was lost, as far as is known.
func (o *Onset) lostAt() time.Time {
	return o.StartedAt.Add(-min(time.Duration(o.DelayMS)*time.Millisecond, stormWindow))
}

// Storm is a group of interruptions with a common cause: a row of the view
// storms. Scope is what its members share, by the narrowest single name; where
// that is a place, Network, Carrier and Region say what else belongs to it.
type Storm struct {
	ID, Scope, ScopeValue    string
	Network, Carrier, Region string
	StartedAt, EndedAt       time.Time // its first and last onset
	Members                  []Onset   // by time
	Users, Rooms             int
}

// Scopes of storms (contract 5).
const (
	ScopeRoom    = "room"
	ScopeNetwork = "network"
	ScopeCarrier = "carrier"
	ScopeRegion  = "region"
	ScopeSDK     = "sdk_version"
)

// What coincides is looked for in windows that begin with a loss. One fault is
// told over 18 s: an SDK needs up to 10 s to miss an answer, and the web SDK
// holds its word back for up to 8 s, which is taken off, though it may have been
// less; 2 s are for the network. Most notice at once, so the window's beginning
// is looked at by itself too. How much is usual in a scope is what its onsets
// in the background say, right before and after the window.
const (
	stormWindow     = 20 * time.Second
	stormBackground = 220 * time.Second // on each side
	stormRounds     = 3
	// StormCell is how far away an onset may lie and still matter. In a round,
	// where an onset goes rests on windows that hold it and on where their other
	// onsets go, two windows away, and on which of those went in the round
	// before; on the background of all; and each was said a window late at most.
	// So the storms of a cell of this length rest on it and on its two
	// neighbours, and on nothing else.
	StormCell = stormBackground + (2*stormRounds+1)*stormWindow
)

// stormWidths are how much of a window is looked at.
var stormWidths = [...]time.Duration{2 * time.Second, 6 * time.Second, stormWindow}

// What makes a storm: at least three users; so many that, where one onset is
// given, chance would bring the others (Poisson) less often than is allowed;
// and at least twice what is usual, so that a member belongs to it rather than
// not. What is shared by few is allowed more: offices and rooms fail often and
// are small, while what takes a whole region or version shows anyhow, and there
// are many who share one without having anything in common.
const (
	stormUsers  = 3
	placeChance = 1e-3
	roomChance  = 1e-4
	wideChance  = 2e-5
	// Where the background is empty the usual is not nothing, but less than
	// could be seen: half an onset.
	unseenOnsets = 0.5
)

// places are the combinations of network, carrier and region that may fail
// together, the narrowest first: an office is one carrier's line in one region.
var places = []struct {
	network, carrier, region bool
	chance                   float64
}{
	{true, true, true, placeChance}, {false, true, true, wideChance}, {true, true, false, wideChance}, {true, false, true, wideChance},
	{false, true, false, wideChance}, {false, false, true, wideChance}, {true, false, false, wideChance},
}

// Storms groups the onsets of one app, in any order. An onset goes with the
// strongest window that holds it, the one that chance explains least, whatever
// it is a window of; a window is a storm if it still is one with those alone
// that went with it. A window may be strong only by a storm that is another's,
// and then fails; so those that are left are looked at again. Each onset is in
// one storm at most.
func Storms(app string, onsets []Onset) []Storm {
	onsets = slices.Clone(onsets)
	slices.SortFunc(onsets, compareOnsets)
	scopes := scopesOf(onsets)
	isIn := make([]bool, len(onsets))
	var storms []Storm
	for range stormRounds {
		best := make([]*window, len(onsets))
		for i := range scopes {
			scopes[i].judge(onsets, isIn, best)
		}
		found := gather(app, onsets, isIn, best)
		if len(found) == 0 {
			break
		}
		storms = append(storms, found...)
	}
	return storms
}

func compareOnsets(a, b Onset) int {
	return cmp.Or(a.lostAt().Compare(b.lostAt()), cmp.Compare(a.RoomID, b.RoomID), cmp.Compare(a.UserID, b.UserID),
		cmp.Compare(a.SessionID, b.SessionID), cmp.Compare(a.LoginNo, b.LoginNo), cmp.Compare(a.No, b.No))
}

// scope is a room, a place or an SDK version, and its onsets by time.
type scope struct {
	storm Storm // how a storm in it is named
	least int64 // strength of one
	in    []int
	at    []time.Time // when the line was lost, of each
}

// window is what happens in one scope within stormWindow from a loss on.
type window struct {
	of         *scope
	from       time.Time
	background int
	strength   int64 // millionths of the negative logarithm of chance; 0 is no storm
}

// scopesOf sorts the onsets into what they may share, in an order that settles
// which of two equally strong ones is meant: the narrowest.
func scopesOf(onsets []Onset) []scope {
	var scopes []scope
	sort := func(chance float64, keyOf func(*Onset) (key [3]string, of Storm)) {
		least := int64(-math.Log(chance) * 1e6)
		at := map[[3]string]int{}
		for i := range onsets {
			key, of := keyOf(&onsets[i])
			if of.ScopeValue == "" {
				continue
			}
			n, ok := at[key]
			if !ok {
				n = len(scopes)
				at[key], scopes = n, append(scopes, scope{storm: of, least: least})
			}
			scopes[n].in, scopes[n].at = append(scopes[n].in, i), append(scopes[n].at, onsets[i].lostAt())
		}
	}
	sort(roomChance, func(o *Onset) ([3]string, Storm) {
		return [3]string{o.RoomID}, Storm{Scope: ScopeRoom, ScopeValue: o.RoomID}
	})
	for _, p := range places {
		sort(p.chance, func(o *Onset) ([3]string, Storm) {
			var s Storm
			name := func(has bool, scope, value string, column *string) bool {
				if !has {
					return true
				}
				if *column = value; s.Scope == "" {
					s.Scope, s.ScopeValue = scope, value
				}
				return value != ""
			}
			whole := name(p.carrier, ScopeCarrier, o.Carrier, &s.Carrier) && name(p.region, ScopeRegion, o.Region, &s.Region) &&
				name(p.network, ScopeNetwork, o.Network, &s.Network)
			if !whole {
				return [3]string{}, Storm{}
			}
			return [3]string{s.Network, s.Carrier, s.Region}, s
		})
	}
	sort(wideChance, func(o *Onset) ([3]string, Storm) {
		return [3]string{o.SDKVersion}, Storm{Scope: ScopeSDK, ScopeValue: o.SDKVersion}
	})
	return scopes
}

// judge looks at every window of the scope and gives each onset that is in no
// storm yet the strongest that holds it, if that is stronger than what it has.
func (s *scope) judge(onsets []Onset, isIn []bool, best []*window) {
	if len(s.in) < stormUsers {
		return
	}
	left, at := make([]int, 0, len(s.in)), make([]time.Time, 0, len(s.in))
	for n, i := range s.in {
		if !isIn[i] {
			left, at = append(left, i), append(at, s.at[n])
		}
	}
	windows := s.windows(at)
	for _, width := range stormWidths {
		measure(windows, onsets, left, at, width)
	}
	var stronger []*window // those that hold the present onset and may be its best, the best first
	for n, i := range left {
		if w := &windows[n]; w.strength > 0 {
			for len(stronger) > 0 && stronger[len(stronger)-1].strength < w.strength {
				stronger = stronger[:len(stronger)-1]
			}
			stronger = append(stronger, w)
		}
		for len(stronger) > 0 && stronger[0].from.Add(stormWindow).Before(at[n]) {
			stronger = stronger[1:]
		}
		if len(stronger) > 0 && (best[i] == nil || stronger[0].strength > best[i].strength) {
			best[i] = stronger[0]
		}
	}
}

// windows are those that begin at these times, with what was going on around.
func (s *scope) windows(at []time.Time) []window {
	windows := make([]window, len(at))
	before, first, last, behind := 0, 0, 0, 0
	for n := range at {
		for ; s.at[before].Before(at[n].Add(-stormBackground)); before++ {
		}
		for ; s.at[first].Before(at[n]); first++ {
		}
		for ; last < len(s.at) && !s.at[last].After(at[n].Add(stormWindow)); last++ {
		}
		for ; behind < len(s.at) && !s.at[behind].After(at[n].Add(stormWindow+stormBackground)); behind++ {
		}
		windows[n] = window{of: s, from: at[n], background: first - before + behind - last}
	}
	return windows
}

// measure looks at the first part of each window, which begin with the onsets
// that are left; of equal times only the first begins one.
func measure(windows []window, onsets []Onset, left []int, at []time.Time, width time.Duration) {
	users := map[string]int{}
	first, last := 0, 0
	for n := range at {
		if n > 0 && at[n].Equal(at[n-1]) {
			continue
		}
		for ; first < n; first++ {
			if u := onsets[left[first]].UserID; users[u] == 1 {
				delete(users, u)
			} else {
				users[u]--
			}
		}
		for ; last < len(at) && !at[last].After(at[n].Add(width)); last++ {
			users[onsets[left[last]].UserID]++
		}
		windows[n].strength = max(windows[n].strength, windows[n].strengthOf(len(users), width))
	}
}

// strengthOf says how little chance explains that there are so many users in
// the first part of a window, 0 where it explains it well enough.
func (w *window) strengthOf(users int, width time.Duration) int64 {
	usual := (float64(w.background) + unseenOnsets) * float64(width) / float64(2*stormBackground)
	others := users - 1
	if users < stormUsers || float64(others) < 2*usual {
		return 0
	}
	// A whole number is the same on every machine.
	if s := int64(-logTail(usual, others) * 1e6); s >= w.of.least {
		return s
	}
	return 0
}

// logTail is the logarithm of the chance that a Poisson variable is n or more;
// n is above its mean.
func logTail(mean float64, n int) float64 {
	term, sum := 1.0, 1.0
	for i := n + 1; term > 1e-12*sum; i++ {
		term *= mean / float64(i)
		sum += term
	}
	lgamma, _ := math.Lgamma(float64(n + 1))
	return float64(n)*math.Log(mean) - mean - lgamma + math.Log(sum)
}

// gather makes storms of the windows that are strong enough with those onsets
// alone that went with them, and notes who is in one.
func gather(app string, onsets []Onset, isIn []bool, best []*window) []Storm {
	went := map[*window][]int{}
	var order []*window
	for i, w := range best {
		if w == nil {
			continue
		}
		if went[w] == nil {
			order = append(order, w)
		}
		went[w] = append(went[w], i)
	}
	var storms []Storm
	for _, w := range order {
		members := make([]Onset, 0, len(went[w]))
		for _, i := range went[w] {
			members = append(members, onsets[i])
		}
		users, rooms := map[string]bool{}, map[string]bool{}
		isStorm := false
		next := 0
		for _, width := range stormWidths {
			for ; next < len(members) && !members[next].lostAt().After(w.from.Add(width)); next++ {
				users[members[next].UserID], rooms[members[next].RoomID] = true, true
			}
			isStorm = isStorm || w.strengthOf(len(users), width) > 0
		}
		if !isStorm {
			continue
		}
		for _, i := range went[w] {
			isIn[i] = true
		}
		s := w.of.storm
		s.Members, s.Users, s.Rooms = members, len(users), len(rooms)
		byStart := func(a, b Onset) int { return a.StartedAt.Compare(b.StartedAt) }
		s.StartedAt, s.EndedAt = slices.MinFunc(members, byStart).StartedAt, slices.MaxFunc(members, byStart).StartedAt
		s.ID = stormID(app, &s)
		storms = append(storms, s)
	}
	return storms
}

// stormID names a storm by its scope and its first member, so that the same
// onsets make the same name in every database.
func stormID(app string, s *Storm) string {
	m := &s.Members[0]
	name := strings.Join([]string{app, s.Scope, s.ScopeValue, s.Network, s.Carrier, s.Region,
		m.RoomID, m.UserID, m.SessionID, m.StartedAt.UTC().Format(time.RFC3339Nano)}, "\x00")
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:8])
}

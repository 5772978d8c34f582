package projections_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"roomtrail/events"
	"roomtrail/projections"
)

// What server and clients tell together, a second time and slowly: which stays
// there were, whose they were, and which logins only the server saw end
// (contract 4.12, the view server_visits).

const near = 10 * time.Second

// served is a stay as the server's callbacks tell it.
type served struct {
	name       string
	in, out    *events.Stored
	began      time.Time
	login      *projections.ClientLogin
	room, stay string
}

// servedStays joins what is proven to be the vendor's by the names of stays.
func servedStays(facts []events.Stored) []*served {
	facts = slices.DeleteFunc(slices.Clone(facts), func(f events.Stored) bool {
		return f.Trust == events.TrustUnproven || f.Kind != events.RoomLogin && f.Kind != events.RoomLogout
	})
	slices.SortFunc(facts, func(a, b events.Stored) int { return cmp.Compare(a.Ref.Seq, b.Ref.Seq) })
	said := map[string]bool{} // identities (contract 2)
	facts = slices.DeleteFunc(facts, func(f events.Stored) bool {
		identity := fmt.Sprint(f.Kind, " ", f.Witness.RoomSeq, " ", f.Witness.SessionID, " ", f.OccurredAt)
		again := said[identity]
		said[identity] = true
		return again
	})
	slices.SortStableFunc(facts, func(a, b events.Stored) int { return a.OccurredAt.Compare(b.OccurredAt) })
	all := map[string]*served{}
	for _, f := range facts {
		began := f.OccurredAt
		if f.Kind == events.RoomLogout {
			began = f.Witness.LoginAt
		}
		name := f.Witness.RoomSeq + " " + f.Witness.SessionID
		if f.Witness.SessionID == "" || f.Witness.SessionID == "0" {
			name += " " + began.String()
		}
		s := all[name]
		if s == nil {
			s = &served{name: name, room: f.Witness.RoomSeq, stay: f.Witness.SessionID}
			all[name] = s
		}
		if f.Kind == events.RoomLogin && s.in == nil {
			s.in = &f
		} else if f.Kind == events.RoomLogout && s.out == nil {
			s.out = &f
		}
	}
	var stays []*served
	for _, s := range all {
		if s.in != nil {
			s.began = s.in.OccurredAt
		} else {
			s.began = s.out.Witness.LoginAt
		}
		stays = append(stays, s)
	}
	slices.SortFunc(stays, func(a, b *served) int {
		return cmp.Or(a.began.Compare(b.began), a.until().Compare(b.until()), cmp.Compare(a.stay, b.stay), cmp.Compare(a.room, b.room))
	})
	return stays
}

// until is when the stay ended, zero where that is not known.
func (s *served) until() time.Time {
	if s.out == nil {
		return time.Time{}
	}
	return s.out.OccurredAt
}

// reason is that of room_logout, -1 where there is none.
func (s *served) reason() int64 {
	if s.out == nil || !s.out.Witness.HasReason {
		return -1
	}
	return s.out.Witness.Reason
}

// came is a moment at which a client came in, or (not sure) tried to.
type came struct {
	login          *projections.ClientLogin
	at             time.Time
	returned, sure bool
	taken          bool
}

func comings(logins []projections.ClientLogin) []*came {
	var all []*came
	for i := range logins {
		l := &logins[i]
		if l.LoginedAt.IsZero() && !l.LoginStartedAt.IsZero() && l.EndedBy != "LoginFailed" {
			all = append(all, &came{login: l, at: l.LoginStartedAt})
		}
		for _, e := range l.Entries {
			all = append(all, &came{login: l, at: e.At, returned: e.IsReturn, sure: true})
		}
	}
	return all
}

// pair gives stays to logins: of all that are free and within ten seconds the
// nearest two, again and again.
func pair(stays []*served, comings []*came) {
	for {
		var s *served
		var c *came
		for _, stay := range stays {
			for _, coming := range comings {
				if apart := stay.began.Sub(coming.at).Abs(); stay.login == nil && !coming.taken && apart <= near && (s == nil || apart < s.began.Sub(c.at).Abs()) {
					s, c = stay, coming
				}
			}
		}
		if s == nil {
			return
		}
		s.login, c.taken = c.login, true
	}
}

// agreement of a stay and the login it belongs to.
func (s *served) agreement() string {
	if s.login == nil {
		return "server_only"
	}
	if s.reason() < 0 {
		return "agree"
	}
	back := func(after time.Time) bool {
		return slices.ContainsFunc(s.login.Entries, func(e projections.Entry) bool { return e.At.After(after) })
	}
	left, late := s.reason(), s.until().Add(near)
	saysIn := s.login.EndedBy == "" && (s.login.State == events.Logined || s.login.State == events.Reconnected)
	if back(s.until()) { // in the same login again: only a stay that the server ended for good says otherwise
		if (left == 0 || left == 3 || left == 4) && back(late) {
			return "contradict"
		}
	} else if left == 0 && (s.login.EndedBy == "KickOut" || s.login.EndedBy == "ReconnectFailed") || saysIn && s.login.LastEventAt.After(late) {
		return "contradict"
	}
	return "agree"
}

// interruption is the last of the login during which the server judged it gone.
func (s *served) interruption() int {
	no := 0
	if s.login != nil && (s.reason() == 1 || s.reason() == 2) {
		for _, i := range s.login.Interruptions {
			if !i.StartedAt.After(s.until().Add(near)) && (i.EndedAt.IsZero() || i.EndedAt.After(s.until().Add(-near))) {
				no = i.No
			}
		}
	}
	return no
}

func referenceVisits(facts []events.Stored, logins []projections.ClientLogin, since time.Time) (visits, ends []string) {
	logins = slices.Clone(logins)
	slices.SortFunc(logins, func(a, b projections.ClientLogin) int {
		return cmp.Or(strings.Compare(a.SessionID, b.SessionID), a.No-b.No)
	})
	stays, entries := servedStays(facts), comings(logins)
	pair(stays, entries)
	for _, s := range stays {
		session, no := "", 0
		if s.login != nil {
			session, no = s.login.SessionID, s.login.No
		}
		visits = append(visits, fmt.Sprint(s.room, s.stay, " ", s.began, s.until(), s.reason(), " ", session, no, s.interruption(), " ", s.agreement()))
	}
	for i := range logins {
		l := &logins[i]
		var last *served
		for _, s := range stays {
			if s.login == l {
				last = s
			}
		}
		by := map[int64]string{0: "server_logout", 1: "heartbeat_timeout", 2: "heartbeat_timeout", 3: "server_kick", 4: "token_expired"}
		if l.EndedBy == "" && last != nil && by[last.reason()] != "" && !l.LastStateAt.After(last.until().Add(near)) {
			ends = append(ends, fmt.Sprint(l.SessionID, l.No, by[last.reason()], last.until()))
		}
	}
	for _, c := range entries {
		if c.taken || !c.sure || since.IsZero() || c.at.Before(since.Add(-near)) {
			continue
		}
		var before *served // the stay that the server had last begun for this login
		for _, s := range stays {
			if s.login == c.login && s.began.Before(c.at) {
				before = s
			}
		}
		if !c.returned || before != nil && before.out != nil && before.until().Before(c.at) {
			visits = append(visits, fmt.Sprint(" ", time.Time{}, time.Time{}, -1, " ", c.login.SessionID, c.login.No, 0, " client_only"))
		}
	}
	slices.Sort(visits)
	slices.Sort(ends)
	return visits, ends
}

// toldVisits are the rows of Visits, as the reference spells them.
func toldVisits(facts []events.Stored, logins []projections.ClientLogin, since time.Time) (visits, ends []string) {
	rows, witnessed, _ := projections.Visits(slices.Clone(facts), slices.Clone(logins), since)
	for _, v := range rows {
		reason := int64(-1)
		if v.LogoutReason.Known {
			reason = v.LogoutReason.N
		}
		visits = append(visits, fmt.Sprint(v.RoomSeq, v.ServerSessionID, " ", v.LoginAt, v.LogoutAt, reason, " ", v.SessionID, v.LoginNo, v.InterruptionNo, " ", v.Agreement))
	}
	for _, e := range witnessed {
		for _, l := range logins {
			if l.SetID == e.SetID && l.No == e.LoginNo {
				ends = append(ends, fmt.Sprint(l.SessionID, l.No, e.EndedBy, e.EndedAt))
			}
		}
	}
	slices.Sort(visits)
	slices.Sort(ends)
	return visits, ends
}

// drawWitnesses are the callbacks about a user in a room and the logins of his
// clients there, on a grid so coarse that they meet, also at equal distance.
func drawWitnesses(t *rapid.T) (facts []events.Stored, logins []projections.ClientLogin) {
	grid := func(what string) float64 { return float64(rapid.IntRange(0, 60).Draw(t, what)) * 5 }
	for n := range rapid.IntRange(0, 3).Draw(t, "sessions") {
		s := drawStory(t)
		at := grid("from")
		var set []events.Event
		for seq := range rapid.Int64Range(1, 12).Draw(t, "length") {
			e := s.draw(t, seq)
			e.SessionID, e.HasClockOff = fmt.Sprint("s", n), false
			at += float64(rapid.IntRange(0, 6).Draw(t, "pause")) * 5
			e.OccurredAt = after(at)
			set = append(set, e)
		}
		_, rows := projections.Fold(projections.DefaultProfiles, arrive(set))
		for _, l := range rows.Logins {
			login := projections.ClientLogin{SetID: int64(100 - n), SessionID: fmt.Sprint("s", n), Login: l}
			for _, i := range rows.Interruptions {
				if i.LoginNo == l.No {
					login.Interruptions = append(login.Interruptions, i)
				}
			}
			for _, e := range stays(arrive(set))[l.No-1].states() {
				if e.Reason == events.Logined || e.Reason == events.Reconnected {
					login.Entries = append(login.Entries, projections.Entry{At: e.OccurredAt, IsReturn: e.Reason == events.Reconnected})
				}
			}
			logins = append(logins, login)
		}
	}
	for n := range rapid.IntRange(0, 5).Draw(t, "stays") {
		name := rapid.SampledFrom([]string{"a", "b", "c", "", "0"}).Draw(t, "name")
		roomSeq := rapid.SampledFrom([]string{"1", "1", "2"}).Draw(t, "room_seq")
		began := grid("began")
		if all := comings(logins); len(all) > 0 && rapid.IntRange(0, 3).Draw(t, "near") > 0 {
			one := rapid.IntRange(0, len(all)-1).Draw(t, "whose")
			began = all[one].at.Sub(nine).Seconds() + float64(rapid.IntRange(-3, 3).Draw(t, "apart"))*5
		}
		for _, kind := range []events.Kind{events.RoomLogin, events.RoomLogout} {
			at := began
			if kind == events.RoomLogout {
				at += grid("lasts")
			}
			f := fact(n, kind, name, at, 0)
			f.Witness.RoomSeq = roomSeq
			if kind == events.RoomLogout {
				f.Witness.LoginAt = after(began)
				f.Witness.Reason = rapid.SampledFrom([]int64{0, 1, 2, 3, 4, 9}).Draw(t, "reason")
				f.Witness.HasReason = rapid.IntRange(0, 9).Draw(t, "has reason") > 0
			}
			if rapid.IntRange(0, 7).Draw(t, "proven") == 0 {
				f.Trust = events.TrustUnproven
			}
			for range rapid.SampledFrom([]int{1, 1, 1, 1, 2, 0}).Draw(t, "copies") {
				facts = append(facts, f)
			}
		}
	}
	facts = rapid.Permutation(facts).Draw(t, "log")
	for i := range facts {
		facts[i].Ref = events.Ref{Generation: 1, Seq: uint64(i + 1)}
	}
	return facts, rapid.Permutation(logins).Draw(t, "logins")
}

func TestVisitsAgreeWithTheReference(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	rapid.Check(t, func(t *rapid.T) {
		facts, logins := drawWitnesses(t)
		since := rapid.SampledFrom([]time.Time{{}, nine, after(100)}).Draw(t, "since")
		want, wantEnds := referenceVisits(facts, logins, since)
		got, gotEnds := toldVisits(facts, logins, since)
		if !slices.Equal(got, want) || !slices.Equal(gotEnds, wantEnds) {
			t.Fatalf("got\n%s\n%s\nwant\n%s\n%s", strings.Join(got, "\n"), gotEnds, strings.Join(want, "\n"), wantEnds)
		}
		for _, v := range want {
			seen[v[strings.LastIndex(v, " ")+1:]] = true
		}
		for _, e := range wantEnds {
			seen[e[3:8]] = true
		}
	})
	for _, one := range []string{"agree", "contradict", "server_only", "client_only", "serve", "heart", "token"} {
		if !seen[one] {
			t.Errorf("no case drew %q: %v", one, seen)
		}
	}
}

// Neither the order of the log nor that of the logins, nor their numbers,
// decide anything.
func TestVisitsDependOnTheSetAlone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		facts, logins := drawWitnesses(t)
		first := map[string]events.Stored{} // of copies that differ the log decides which counts
		facts = slices.DeleteFunc(facts, func(f events.Stored) bool {
			key := fmt.Sprint(f.CallbackKey(), f.Trust)
			was, ok := first[key]
			if !ok {
				first[key] = f
			}
			return ok && *was.Witness != *f.Witness
		})
		want, wantEnds := toldVisits(facts, logins, nine)
		facts = rapid.Permutation(facts).Draw(t, "another log")
		for i := range facts {
			facts[i].Ref = events.Ref{Generation: 1, Seq: uint64(i + 1)}
		}
		logins = rapid.Permutation(logins).Draw(t, "other logins")
		for i := range logins {
			logins[i].SetID = 200 - logins[i].SetID
		}
		got, gotEnds := toldVisits(facts, logins, nine)
		if !slices.Equal(got, want) || !slices.Equal(gotEnds, wantEnds) {
			t.Fatalf("got\n%s\n%s\nwant\n%s\n%s", strings.Join(got, "\n"), gotEnds, strings.Join(want, "\n"), wantEnds)
		}
	})
}

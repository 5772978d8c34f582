package projections

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"roomtrail/events"
)

// ClientLogin is a login as its client tells it, for the second stage.
type ClientLogin struct {
	SetID     int64
	SessionID string
	Login
	Interruptions []Interruption
	Entries       []Entry
}

// Entry is a moment at which a client said that it had come in.
type Entry struct {
	At       time.Time // happened_at of a Logined or Reconnected
	IsReturn bool      // Reconnected: the seat may have lasted all the time
}

// Visit is one stay of a user in a room as the server saw it, or as only a
// client did: a row of the view server_visits. Zero values are null.
type Visit struct {
	RoomSeq, ServerSessionID string
	Platform                 string
	TermType                 Maybe
	Relogin                  Maybe // 1 or 0
	LoginAt, LogoutAt        time.Time
	LogoutReason             Maybe
	SetID                    int64 // of the client's login; 0 where there is none
	SessionID                string
	LoginNo                  int
	InterruptionNo           int // during which the server judged the user gone; 0 is none
	Agreement                string
	IsImport                 bool
}

// What a visit's agreement may be (contract 5).
const (
	Agree      = "agree"
	ClientOnly = "client_only"
	ServerOnly = "server_only"
	Contradict = "contradict"
)

// WitnessedEnd is the end of a login of which only the server spoke (contract
// 4.12).
type WitnessedEnd struct {
	SetID   int64
	LoginNo int
	EndedBy string
	EndedAt time.Time
}

// Reasons of room_logout that mean the heartbeat timed out (the vendor's page).
func timedOut(reason Maybe) bool { return reason.Known && (reason.N == 1 || reason.N == 2) }

// witnessedEnds are the names of contract 4.12 for the reasons of room_logout.
var witnessedEnds = map[int64]string{0: "server_logout", 1: "heartbeat_timeout", 2: "heartbeat_timeout", 3: "server_kick", 4: "token_expired"}

// matchWithin is how far apart the server's login and the client's Logined or
// Reconnected may lie, both on our clock.
const matchWithin = 10 * time.Second

// Visits works out the stays of one user in one room, from the server's facts
// (in any order, copies included) and the logins of that user's clients there
// (in any order); it sorts both.
// Since is from when on callbacks of the app can be expected, zero if never.
// Copies are the facts that say again what an earlier one said.
func Visits(facts []events.Stored, logins []ClientLogin, since time.Time) (visits []Visit, ends []WitnessedEnd, copies []events.Ref) {
	facts, copies = firstCopies(facts)
	// What is equally near is matched in this order: numbers of sets are given as
	// sessions arrive, and must decide nothing.
	slices.SortFunc(logins, func(a, b ClientLogin) int {
		return cmp.Or(cmp.Compare(a.SessionID, b.SessionID), cmp.Compare(a.No, b.No))
	})
	visits = stays(facts)
	entries := entriesOf(logins)
	match(visits, entries)
	byLogin := map[*ClientLogin][]*Visit{}
	for i := range visits {
		if v := &visits[i]; v.SetID != 0 {
			l := loginOf(logins, v)
			byLogin[l] = append(byLogin[l], v)
		}
	}
	for i := range logins {
		l := &logins[i]
		mine := byLogin[l]
		slices.SortFunc(mine, func(a, b *Visit) int { return a.LoginAt.Compare(b.LoginAt) })
		for _, v := range mine {
			judgeVisit(l, v)
		}
		if end, ok := witnessedEnd(l, mine); ok {
			ends = append(ends, end)
		}
	}
	for _, e := range entries {
		if e.isUnseen(since, byLogin[e.login]) {
			visits = append(visits, Visit{
				Platform: e.login.Platform, SetID: e.login.SetID, SessionID: e.login.SessionID, LoginNo: e.login.No,
				Agreement: ClientOnly, IsImport: e.login.IsImport,
			})
		}
	}
	return visits, ends, copies
}

// firstCopies keeps the first of each callback in the order of the log. What is
// proven to be the vendor's is no copy of what is not: who has guessed what the
// server will say must not hide it.
func firstCopies(facts []events.Stored) (kept []events.Stored, copies []events.Ref) {
	slices.SortFunc(facts, func(a, b events.Stored) int {
		if a.Ref.Before(b.Ref) {
			return -1
		}
		return 1
	})
	seen, isProven := map[string]bool{}, map[string]bool{}
	for i := range facts {
		f := &facts[i]
		key, proven := f.CallbackKey(), f.Trust != events.TrustUnproven
		if isProven[key] || !proven && seen[key] {
			copies = append(copies, f.Ref)
			continue
		}
		seen[key], isProven[key] = true, proven
		kept = append(kept, *f)
	}
	return kept, copies
}

// stays joins logins and logouts of the server by its name for the stay, in
// the order of their beginning; of several under one name the earliest counts.
// What is not proven to be the vendor's counts for nothing.
func stays(facts []events.Stored) []Visit {
	slices.SortStableFunc(facts, func(a, b events.Stored) int { return a.OccurredAt.Compare(b.OccurredAt) })
	byName := map[[3]string]*Visit{}
	var names [][3]string
	for i := range facts {
		f := &facts[i]
		w := f.Witness
		if f.Trust == events.TrustUnproven || f.Kind != events.RoomLogin && f.Kind != events.RoomLogout {
			continue
		}
		began := f.OccurredAt
		if f.Kind == events.RoomLogout {
			began = w.LoginAt
		}
		name := [3]string{w.RoomSeq, w.SessionID, ""}
		if w.SessionID == "" || w.SessionID == "0" { // older samples name none
			name[2] = strconv.FormatInt(began.UnixMilli(), 10)
		}
		v := byName[name]
		if v == nil {
			v = &Visit{RoomSeq: w.RoomSeq, ServerSessionID: w.SessionID, LoginAt: began, Agreement: ServerOnly, IsImport: f.Import}
			byName[name] = v
			names = append(names, name)
		}
		if f.Kind == events.RoomLogin && v.Relogin.Known || f.Kind == events.RoomLogout && !v.LogoutAt.IsZero() {
			continue
		}
		if f.Kind == events.RoomLogin {
			v.LoginAt, v.Platform, v.Relogin = f.OccurredAt, f.Platform, known(0)
			if w.IsRelogin {
				v.Relogin = known(1)
			}
			if w.HasTerm {
				v.TermType = known(w.TermType)
			}
			continue
		}
		v.LogoutAt = f.OccurredAt
		if w.HasReason {
			v.LogoutReason = known(w.Reason)
		}
	}
	out := make([]Visit, 0, len(names))
	for _, name := range names {
		out = append(out, *byName[name])
	}
	slices.SortFunc(out, func(a, b Visit) int {
		return cmp.Or(a.LoginAt.Compare(b.LoginAt), a.LogoutAt.Compare(b.LogoutAt), cmp.Compare(a.ServerSessionID, b.ServerSessionID), cmp.Compare(a.RoomSeq, b.RoomSeq))
	})
	return out
}

// entry is a moment at which a client says that it has come in.
type entry struct {
	login    *ClientLogin
	at       time.Time
	isReturn bool // a Reconnected: the seat may have lasted all the time
	isSure   bool // it said so; else it only tried
	visit    *Visit
}

func entriesOf(logins []ClientLogin) []*entry {
	var out []*entry
	for i := range logins {
		l := &logins[i]
		if l.LoginedAt.IsZero() && !l.LoginStartedAt.IsZero() && l.EndedBy != "LoginFailed" {
			out = append(out, &entry{login: l, at: l.LoginStartedAt}) // its Logined is late or lost
		}
		for _, e := range l.Entries {
			out = append(out, &entry{login: l, at: e.At, isReturn: e.IsReturn, isSure: true})
		}
	}
	return out
}

// match gives each visit the nearest entry that is free, the nearest pairs
// first.
func match(visits []Visit, entries []*entry) {
	type pair struct {
		visit, entry int
		apart        time.Duration
	}
	var pairs []pair
	for i := range visits {
		for j, e := range entries {
			if apart := visits[i].LoginAt.Sub(e.at).Abs(); apart <= matchWithin {
				pairs = append(pairs, pair{i, j, apart})
			}
		}
	}
	slices.SortFunc(pairs, func(a, b pair) int {
		return cmp.Or(cmp.Compare(a.apart, b.apart), cmp.Compare(a.visit, b.visit), cmp.Compare(a.entry, b.entry))
	})
	taken := make([]bool, len(visits))
	for _, p := range pairs {
		if e := entries[p.entry]; e.visit == nil && !taken[p.visit] {
			v := &visits[p.visit]
			taken[p.visit], e.visit = true, v
			v.SetID, v.SessionID, v.LoginNo, v.Agreement = e.login.SetID, e.login.SessionID, e.login.No, Agree
			if v.Platform == "" {
				v.Platform = e.login.Platform
			}
		}
	}
}

func loginOf(logins []ClientLogin, v *Visit) *ClientLogin {
	i := slices.IndexFunc(logins, func(l ClientLogin) bool { return l.SetID == v.SetID && l.No == v.LoginNo })
	return &logins[i]
}

// judgeVisit notes during which interruption the seat was lost, and whether
// client and server tell of the same end.
func judgeVisit(l *ClientLogin, v *Visit) {
	if v.LogoutAt.IsZero() {
		return
	}
	if timedOut(v.LogoutReason) {
		for _, r := range l.Interruptions {
			if !r.StartedAt.After(v.LogoutAt.Add(matchWithin)) && (r.EndedAt.IsZero() || r.EndedAt.After(v.LogoutAt.Add(-matchWithin))) {
				v.InterruptionNo = r.No
			}
		}
	}
	left := v.LogoutReason.N
	isKick := left == 3 || left == 4
	isGone := v.LogoutAt.Add(matchWithin)
	switch {
	case !v.LogoutReason.Known:
	case l.cameAfter(v.LogoutAt): // back in the same login, whoever saw it
		if (left == 0 || isKick) && l.cameAfter(isGone) {
			v.Agreement = Contradict
		}
	case l.EndedBy == "KickOut" && left == 0, l.EndedBy == "ReconnectFailed" && left == 0: // a Logout may come from who was kicked and could not be told
		v.Agreement = Contradict
	case !l.Ended() && (l.State == events.Logined || l.State == events.Reconnected) && l.LastEventAt.After(isGone):
		v.Agreement = Contradict // it still says that it is in
	}
}

// cameAfter says whether the client said that it had come in after an instant.
func (l *ClientLogin) cameAfter(at time.Time) bool {
	return slices.ContainsFunc(l.Entries, func(e Entry) bool { return e.At.After(at) })
}

// witnessedEnd is the end of a login whose client never said so: its last stay
// is over, and no later word of the client stands against it.
func witnessedEnd(l *ClientLogin, visits []*Visit) (WitnessedEnd, bool) {
	if l.Ended() || len(visits) == 0 {
		return WitnessedEnd{}, false
	}
	last := visits[len(visits)-1]
	by := witnessedEnds[last.LogoutReason.N]
	if last.LogoutAt.IsZero() || !last.LogoutReason.Known || by == "" || l.LastStateAt.After(last.LogoutAt.Add(matchWithin)) {
		return WitnessedEnd{}, false
	}
	return WitnessedEnd{SetID: l.SetID, LoginNo: l.No, EndedBy: by, EndedAt: last.LogoutAt}, true
}

// isUnseen says whether the server should have seen an entry and did not. A
// Reconnected is news to the server only where it had let the seat go.
func (e *entry) isUnseen(since time.Time, seen []*Visit) bool {
	if e.visit != nil || !e.isSure || since.IsZero() || e.at.Before(since.Add(-matchWithin)) {
		return false
	}
	if !e.isReturn {
		return true
	}
	isOut := false // whether the seat was let go at that moment
	for _, v := range seen {
		if v.LoginAt.Before(e.at) {
			isOut = !v.LogoutAt.IsZero() && v.LogoutAt.Before(e.at)
		}
	}
	return isOut
}

// Update is a number that a callback carried in a room's life; 0 is room_create.
type Update struct {
	Seq        int64
	Ref        events.Ref
	UserID     string
	HappenedAt time.Time
}

// Gap is a run of missing callbacks before one that came.
type Gap struct {
	Update
	Missing int64
}

// Gaps are the holes in the numbers of a room's life, which are in order. The
// beginning counts where the room was seen to open.
func Gaps(updates []Update) []Gap {
	var gaps []Gap
	for i := 1; i < len(updates); i++ {
		if missing := updates[i].Seq - updates[i-1].Seq - 1; missing > 0 {
			gaps = append(gaps, Gap{Update: updates[i], Missing: missing})
		}
	}
	return gaps
}

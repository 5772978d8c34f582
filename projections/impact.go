package projections

import (
	"time"
)

// Occupant is a login in a room, with its interruptions by number.
type Occupant struct {
	UserID string
	ClientLogin
	// DarkSince is since when the monitor has heard nothing of it; zero where
	// it is not known to be silent.
	DarkSince time.Time
}

// PeerWord is what some client in the room was told of a user: that he left it
// or came back.
type PeerWord struct {
	UserID string
	At     time.Time
	IsBack bool
}

// Impact is what one interruption costs the others in its room. What it costs
// its own user is its duration.
type Impact struct {
	SetID       int64
	LoginNo, No int
	StartedAt   time.Time
	LeftAt      time.Time // when the others see the user leave, also in time to come; zero where they do not
	BackAt      time.Time // when they see him back, or know that he will not be; zero while that is open
	LimitAt     time.Time // W after the onset: what is open by then is waited for no longer
	PeerMS      int64     // time of others who were connected meanwhile
	// Where BackAt is zero there are others who wait still: how many, and by how
	// much later than LeftAt they began to, together.
	Waiting   int
	WaitingMS int64
}

// Until when a login counts that has not ended: contract 4.11 has a session
// that gives no sign of life gone after a day without a word, and nobody is
// waited for longer than a day whatever W says.
const (
	longestSilence = 24 * time.Hour
	longestWait    = 24 * time.Hour
)

// Impacts works out the impact of the interruptions of a room that began from
// one time to another, that one excluded. The occupants are all logins of the
// room that could be connected between the first of them and a day after the
// last, the words those about their users, in any order.
//
// A user is visibly gone from when a fellow client was told so, else from H
// after the onset, until a fellow client was told that he is back, another
// login of his in the room is connected, or the interruption ends; so one that
// ends before anybody was told costs others nothing. Meanwhile each login of
// another user in the room counts while it is connected itself.
func Impacts(occupants []Occupant, words []PeerWord, from, to time.Time) []Impact {
	connected := make([][]stretch, len(occupants))
	for i := range occupants {
		connected[i] = stretches(&occupants[i])
	}
	var out []Impact
	for i := range occupants {
		o := &occupants[i]
		for _, r := range o.Interruptions {
			if r.StartedAt.Before(from) || !r.StartedAt.Before(to) {
				continue
			}
			m := Impact{
				SetID: o.SetID, LoginNo: o.No, No: r.No, StartedAt: r.StartedAt,
				LimitAt: r.StartedAt.Add(min(time.Duration(r.RetryWindowMS)*time.Millisecond, longestWait)),
			}
			m.see(&r, o, occupants, connected, words)
			if !m.LeftAt.IsZero() {
				m.charge(o.UserID, occupants, connected)
			}
			out = append(out, m)
		}
	}
	return out
}

// see finds from when to when the user is visibly gone.
func (m *Impact) see(r *Interruption, o *Occupant, occupants []Occupant, connected [][]stretch, words []PeerWord) {
	end := m.LimitAt
	if !r.EndedAt.IsZero() && r.EndedAt.Before(end) {
		end = r.EndedAt
	}
	left := r.StartedAt.Add(time.Duration(r.HeartbeatTimeoutMS) * time.Millisecond)
	isTold := false
	for _, w := range words {
		if w.UserID == o.UserID && !w.IsBack && !w.At.Before(r.StartedAt) && w.At.Before(end) && (!isTold || w.At.Before(left)) {
			left, isTold = w.At, true
		}
	}
	back := end
	isBack := !r.EndedAt.IsZero()
	seen := func(at time.Time) {
		if !at.Before(left) && at.Before(back) {
			back, isBack = at, true
		}
	}
	for _, w := range words {
		if w.UserID == o.UserID && w.IsBack && w.At.After(left) {
			seen(w.At)
		}
	}
	for i := range occupants {
		if occupants[i].UserID != o.UserID || &occupants[i] == o {
			continue
		}
		for _, s := range connected[i] {
			if s.holds(left) {
				return // he is in the room all the same
			}
			seen(s.from)
		}
	}
	if !left.Before(back) {
		return
	}
	if m.LeftAt = left; isBack {
		m.BackAt = back
	}
}

// charge sums the time of those who are connected while the user is gone.
func (m *Impact) charge(user string, occupants []Occupant, connected [][]stretch) {
	isOpen := m.BackAt.IsZero()
	until := m.BackAt
	if isOpen {
		until = m.LimitAt
	}
	for i := range occupants {
		if occupants[i].UserID == user {
			continue
		}
		for _, s := range connected[i] {
			from := s.from
			if from.Before(m.LeftAt) {
				from = m.LeftAt
			}
			if isOpen && s.isOpen && from.Before(until) && !s.to.Before(until) {
				m.Waiting++
				m.WaitingMS += from.Sub(m.LeftAt).Milliseconds()
				continue
			}
			if s.to.Before(until) {
				m.PeerMS += max(s.to.Sub(from).Milliseconds(), 0)
			} else {
				m.PeerMS += max(until.Sub(from).Milliseconds(), 0)
			}
		}
	}
}

// stretch is a time in which a login is connected, its end excluded.
type stretch struct {
	from, to time.Time
	isOpen   bool // it has not ended yet, as far as is known; to is how long it is believed to last
}

func (s stretch) holds(at time.Time) bool { return !at.Before(s.from) && at.Before(s.to) }

// stretches are those of one login (contract 4.4), by its rows: from Logined on,
// or from the first event where that was no Logining, without its
// interruptions, to the end.
func stretches(o *Occupant) []stretch {
	var out []stretch
	add := func(from, to time.Time, isOpen bool) {
		if !from.IsZero() && from.Before(to) {
			out = append(out, stretch{from, to, isOpen})
		}
	}
	since := o.LoginedAt
	if since.IsZero() && o.LoginStartedAt.IsZero() {
		since = o.FirstAt
	}
	for _, r := range o.Interruptions {
		add(since, r.StartedAt, false)
		if since = (time.Time{}); r.Outcome == "reconnected" {
			since = r.EndedAt
		}
	}
	switch {
	case o.Ended():
		add(since, o.EndedAt, false)
	case o.ClosingSaid:
		add(since, o.LastEventAt, false)
	case !o.DarkSince.IsZero() && !o.DarkSince.Before(o.LastStateAt):
		add(since, o.DarkSince, false)
	default:
		add(since, o.LastStateAt.Add(longestSilence), true)
	}
	return out
}

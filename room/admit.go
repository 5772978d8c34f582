package room

import (
	"container/heap"
	"slices"
	"time"
)

// ask seats a client, or says why not. Nothing is taken from anybody before it
// is certain that the client gets its seat.
func (r *Rooms) ask(now time.Time, own *seat, m Message, out *Output) {
	if m.Again && own == nil {
		if why, ok := r.lostTo(m); ok {
			out.Send = append(out.Send, answer(m, Message{Kind: Gone, Cause: why.cause, Text: why.text}))
			return
		}
	}
	expires, why := r.check(now, m)
	if why == NoCause && own == nil {
		why = r.denies(m)
	}
	switch {
	case why != NoCause && own != nil: // only its token can be wrong, and so it loses its seat
		r.takeAway(now, own, TokenExpired, "", LeftExpired, out)
		return
	case why != NoCause:
		out.Send = append(out.Send, answer(m, Message{Kind: Denied, Cause: why}))
		return
	case own == nil:
		own = r.admit(now, m, expires, out)
	default: // back before H: the server and the others never knew
		own.expires = expires
		r.hear(own, now)
	}
	l := own.life
	out.Send = append(out.Send, own.message(Message{Kind: Seated, RoomSeq: l.seq, Expires: expires}))
	if m.UserUpdate && len(l.seats) <= r.rules.UpdateLimit {
		out.Send = append(out.Send, own.message(Message{Kind: Roster, Users: l.others(own)}))
	}
}

// lostTo says how a client lost the seat that it wants back: it was kicked
// while it could not be told, or the user has logged in elsewhere. To seat it
// would make two devices displace each other for ever.
func (r *Rooms) lostTo(m Message) (grave, bool) {
	if g, ok := r.graves.by[m.Session]; ok {
		return g, true
	}
	for _, s := range r.users[m.At.User] {
		if s.at != m.At {
			return grave{cause: SameUser}, true
		}
	}
	return grave{}, false
}

// denies looks for a limit that a new seat would break. Seats that the login
// displaces do not count.
func (r *Rooms) denies(m Message) Cause {
	rooms, inRoom := 1, 1
	for _, s := range r.users[m.At.User] {
		switch {
		case s.life.name == m.Room:
			inRoom--
		case s.at == m.At:
			rooms++
		}
	}
	limit := r.rules.MaxMembers
	if l := r.rooms[m.Room]; l != nil {
		inRoom += len(l.seats)
		if l.maxMembers > 0 && (limit == 0 || l.maxMembers < limit) {
			limit = l.maxMembers
		}
	}
	switch {
	case m.MultiRoom && rooms > 1 && !r.rules.MultiRoom:
		return MultiRoomClosed
	case m.MultiRoom && rooms > r.rules.MaxRooms:
		return TooManyRooms
	case limit > 0 && inRoom > limit:
		return RoomFull
	}
	return NoCause
}

// admit makes a new seat and displaces the user's others: all those elsewhere,
// and those of this endpoint that it does not keep.
func (r *Rooms) admit(now time.Time, m Message, expires time.Time, out *Output) *seat {
	relogin := m.Again
	l := r.rooms[m.Room]
	for _, s := range slices.Clone(r.users[m.At.User]) {
		isHere := s.life == l
		if s.at == m.At && !isHere && m.MultiRoom {
			continue
		}
		why := LeftNormally // its own client has left it, and could not say so
		if s.at != m.At {
			why = LeftKicked
			r.tellKicked(now, s, SameUser, "", out)
		}
		relogin = relogin || isHere
		r.vacate(now, s, why, out)
		if !isHere { // this room lives on, though it may be empty for the moment
			r.closeIfEmpty(now, s.life, why, out)
		}
	}
	if l == nil {
		l = &life{name: m.Room, seq: r.number(), maxMembers: m.MaxMembers}
		r.rooms[m.Room] = l
		out.Callbacks = append(out.Callbacks, Callback{Event: "room_create", Room: l.name, RoomSeq: l.seq, User: m.At.User, At: now})
	}
	s := &seat{
		at: m.At, life: l, login: m.Login, session: r.nextSession(),
		loginAt: now, heard: now, expires: expires, updates: m.UserUpdate,
		due: now.Add(r.rules.HeartbeatTimeout), inRoom: len(l.seats),
	}
	l.seats = append(l.seats, s)
	r.users[m.At.User] = append(r.users[m.At.User], s)
	heap.Push(&r.due, s)
	r.reset(s)
	l.updates++
	out.Callbacks = append(out.Callbacks, Callback{
		Event: "room_login", Room: l.name, RoomSeq: l.seq, User: s.at.User, Session: s.session,
		At: now, LoginAt: now, Relogin: relogin, Terminal: m.Terminal, UpdateSeq: l.updates,
	})
	r.tellOthers(s, Joined, out)
	return s
}

// takeAway kicks: the client is told, and remembered in case it cannot hear.
func (r *Rooms) takeAway(now time.Time, s *seat, why Cause, text string, left int, out *Output) {
	r.tellKicked(now, s, why, text, out)
	r.vacate(now, s, left, out)
	r.closeIfEmpty(now, s.life, left, out)
}

func (r *Rooms) tellKicked(now time.Time, s *seat, why Cause, text string, out *Output) {
	r.graves.dig(now, s.session, grave{cause: why, text: text})
	out.Send = append(out.Send, s.message(Message{Kind: Gone, Cause: why, Text: text}))
}

// vacate frees a seat and tells the others.
func (r *Rooms) vacate(now time.Time, s *seat, left int, out *Output) {
	l := s.life
	heap.Remove(&r.due, s.inDue)
	last := l.seats[len(l.seats)-1]
	l.seats[s.inRoom], last.inRoom = last, s.inRoom
	l.seats = l.seats[:len(l.seats)-1]
	rest := slices.DeleteFunc(r.users[s.at.User], func(o *seat) bool { return o == s })
	if r.users[s.at.User] = rest; len(rest) == 0 {
		delete(r.users, s.at.User)
	}
	l.updates++
	out.Callbacks = append(out.Callbacks, Callback{
		Event: "room_logout", Room: l.name, RoomSeq: l.seq, User: s.at.User, Session: s.session,
		At: now, LoginAt: s.loginAt, Reason: left, UpdateSeq: l.updates,
	})
	r.tellOthers(s, Departed, out)
}

// closeIfEmpty ends the life of a room whose last user has left; the next login
// gives it a new room_seq.
func (r *Rooms) closeIfEmpty(now time.Time, l *life, left int, out *Output) {
	if len(l.seats) > 0 {
		return
	}
	delete(r.rooms, l.name)
	out.Callbacks = append(out.Callbacks, l.closing(now, left))
}

func (l *life) closing(now time.Time, left int) Callback {
	return Callback{Event: "room_close", Room: l.name, RoomSeq: l.seq, At: now, Reason: closeReason(left)}
}

// tellOthers tells who asked for it that a user came or went, unless the room
// is too large for that.
func (r *Rooms) tellOthers(about *seat, k Kind, out *Output) {
	l := about.life
	n := len(l.seats)
	if k == Departed {
		n++ // it sat here until now
	}
	if n > r.rules.UpdateLimit {
		return
	}
	users := []string{about.at.User}
	for _, s := range l.seats {
		if s != about && s.updates {
			out.Send = append(out.Send, s.message(Message{Kind: k, Users: users}))
		}
	}
}

func (l *life) others(own *seat) []string {
	var users []string
	for _, s := range l.seats {
		if s != own {
			users = append(users, s.at.User)
		}
	}
	return users
}

// seats is a heap by due.
type seats []*seat

func (h seats) Len() int           { return len(h) }
func (h seats) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h seats) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].inDue, h[j].inDue = i, j
}

func (h *seats) Push(x any) {
	s := x.(*seat)
	s.inDue = len(*h)
	*h = append(*h, s)
}

func (h *seats) Pop() any {
	old := *h
	s := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return s
}

// graves remembers the sessions that were kicked, for as long as a client may
// go on trying without knowing.
type graves struct {
	by    map[string]grave
	order []buried
}

type grave struct {
	cause Cause
	text  string
}

type buried struct {
	session string
	at      time.Time
}

func (g *graves) dig(now time.Time, session string, of grave) {
	n := 0
	for n < len(g.order) && now.Sub(g.order[n].at) > nativeWindow {
		delete(g.by, g.order[n].session)
		n++
	}
	g.order = append(g.order[n:], buried{session, now})
	g.by[session] = of
}

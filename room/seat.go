package room

import (
	"container/heap"
	"strconv"
	"time"
)

// Rooms is the other side: all rooms of one app and who sits in them. It is one
// machine for the whole app because a user may sit at one endpoint only.
type Rooms struct {
	rules  Rules // filled
	rooms  map[string]*life
	users  map[string][]*seat // every seat of a user
	due    seats              // every seat, the next to fall due first
	graves graves
	last   uint64 // the last room_seq or session_id given out
}

// life is a room from its first login to its last leave.
type life struct {
	name       string
	seq        uint64
	maxMembers int
	updates    uint64 // user_update_seq
	seats      []*seat
}

// seat is one user in one room.
type seat struct {
	at      Endpoint
	life    *life
	login   uint64 // the client's name for the login
	session string // ours
	loginAt time.Time
	heard   time.Time // the last heartbeat
	expires time.Time // of the token; zero is never
	updates bool      // wants to know who comes and goes
	dropped bool      // its connection broke on our side, and it was not heard since

	due    time.Time // when to look at it next, never later than it is due
	inRoom int       // its place in life.seats
	inDue  int       // its place in Rooms.due
}

// NewRooms returns the side of the rooms, all empty.
func NewRooms(rules Rules) *Rooms {
	r := rules.filled()
	return &Rooms{
		rules: r, rooms: map[string]*life{}, users: map[string][]*seat{},
		graves: graves{by: map[string]grave{}}, last: r.First,
	}
}

// Members lists the endpoints that have a seat in a room.
func (r *Rooms) Members(room string) []Endpoint {
	l := r.rooms[room]
	if l == nil {
		return nil
	}
	members := make([]Endpoint, len(l.seats))
	for i, s := range l.seats {
		members[i] = s.at
	}
	return members
}

// Step takes one input. Seats that were due before fall first, so that a
// client that comes back after H finds its seat given away.
func (r *Rooms) Step(now time.Time, in Input) Output {
	var out Output
	r.expire(now, &out)
	switch in := in.(type) {
	case Received:
		r.receive(now, in.Message, &out)
	case Heard:
		if s := r.find(in.At, in.Room); s != nil {
			r.hear(s, in.Until)
		}
	case Dropped:
		for _, s := range r.users[in.At.User] {
			s.dropped = s.dropped || s.at == in.At
		}
	case Kick:
		r.kick(now, in, &out)
	case CloseRoom:
		r.closeRoom(now, in, &out)
	case BreakSession:
		for _, s := range r.of(in.User, in.Room) {
			r.takeAway(now, s, SessionBroken, "", LeftKicked, &out)
		}
	}
	r.expire(now, &out) // a Heard may say that the last heartbeat was long ago
	if len(r.due) > 0 {
		out.Wake = r.due[0].due
	}
	return out
}

func (r *Rooms) receive(now time.Time, m Message, out *Output) {
	s := r.find(m.At, m.Room)
	if s != nil && s.login != m.Login {
		s = nil // of an earlier login, which the client has forgotten
	}
	switch m.Kind {
	case Ask:
		r.ask(now, s, m, out)
	case Leave:
		if s != nil {
			r.vacate(now, s, LeftNormally, out)
			r.closeIfEmpty(now, s.life, LeftNormally, out)
		}
	case Beat:
		if s != nil {
			s.heard, s.dropped = now, false // the heap looks again when its old time comes
			return
		}
		r.tellGone(m, out)
	case Renew:
		r.renew(now, s, m, out)
	}
}

func (r *Rooms) renew(now time.Time, s *seat, m Message, out *Output) {
	if s == nil {
		return
	}
	expires, why := r.check(now, m)
	if why != NoCause {
		return // a token that is no good changes nothing
	}
	s.expires = expires
	r.reset(s)
	out.Send = append(out.Send, s.message(Message{Kind: Renewed, Token: m.Token, Expires: expires}))
}

func (r *Rooms) check(now time.Time, m Message) (time.Time, Cause) {
	if r.rules.Check == nil {
		return time.Time{}, NoCause
	}
	return r.rules.Check(now, m.At.User, m.Room, m.Token)
}

// tellGone answers who believes to have a seat and has none: how it went, or
// that it may ask again.
func (r *Rooms) tellGone(m Message, out *Output) {
	g, ok := r.graves.by[m.Session]
	if !ok {
		g.cause = AskAgain
	}
	out.Send = append(out.Send, answer(m, Message{Kind: Gone, Cause: g.cause, Text: g.text}))
}

// answer addresses a message to who sent m, and message to who sits here.
func answer(m, with Message) Message {
	with.At, with.Room, with.Login, with.Session = m.At, m.Room, m.Login, m.Session
	return with
}

func (s *seat) message(with Message) Message {
	with.At, with.Room, with.Login, with.Session = s.at, s.life.name, s.login, s.session
	return with
}

func (r *Rooms) kick(now time.Time, in Kick, out *Output) {
	found := false
	for _, user := range in.Users {
		for _, s := range r.of(user, in.Room) {
			found = true
			r.takeAway(now, s, BackEnd, in.Text, LeftKicked, out)
		}
	}
	if !found {
		out.Refused = codeNoSuchUser
	}
}

// closeRoom removes everyone. What their room_logout says is not documented;
// the clients are told as for a kick.
func (r *Rooms) closeRoom(now time.Time, in CloseRoom, out *Output) {
	l := r.rooms[in.Room]
	if l == nil {
		out.Refused = codeNoSuchRoom
		return
	}
	everyone := append([]*seat(nil), l.seats...)
	for _, s := range everyone {
		s.updates = false // they hear that they are out, not who else is
	}
	for _, s := range everyone {
		r.tellKicked(now, s, RoomClosed, in.Text, out)
		r.vacate(now, s, LeftKicked, out)
	}
	delete(r.rooms, l.name)
	if in.Callback {
		out.Callbacks = append(out.Callbacks, l.closing(now, LeftKicked))
	}
}

// Codes of the vendor's server API.
const (
	codeNoSuchUser = 105
	codeNoSuchRoom = 5024
)

// expire lets seats fall that are due: not heard for H, or the token ended and
// that is cause for a kick.
func (r *Rooms) expire(now time.Time, out *Output) {
	for len(r.due) > 0 && !r.due[0].due.After(now) {
		s := r.due[0]
		silent, ended := s.heard.Add(r.rules.HeartbeatTimeout), r.endOfToken(s)
		switch {
		case !ended.IsZero() && !ended.After(now) && !silent.Before(ended):
			r.takeAway(ended, s, TokenExpired, "", LeftExpired, out)
		case !silent.After(now):
			why := LeftHeartbeat
			if s.dropped {
				why = LeftDropped
			}
			r.vacate(silent, s, why, out)
			r.closeIfEmpty(silent, s.life, why, out)
		default:
			r.reset(s)
		}
	}
}

func (r *Rooms) endOfToken(s *seat) time.Time {
	if !r.rules.KickOnExpiry {
		return time.Time{}
	}
	return s.expires
}

func (r *Rooms) hear(s *seat, at time.Time) {
	s.heard, s.dropped = at, false
	r.reset(s)
}

// reset works out anew when a seat is due.
func (r *Rooms) reset(s *seat) {
	s.due = s.heard.Add(r.rules.HeartbeatTimeout)
	if ended := r.endOfToken(s); !ended.IsZero() && ended.Before(s.due) {
		s.due = ended
	}
	heap.Fix(&r.due, s.inDue)
}

func (r *Rooms) find(at Endpoint, room string) *seat {
	for _, s := range r.users[at.User] {
		if s.at == at && s.life.name == room {
			return s
		}
	}
	return nil
}

// of copies the seats of a user in a room; at most one, by the rule of one
// endpoint for each user.
func (r *Rooms) of(user, room string) []*seat {
	var found []*seat
	for _, s := range r.users[user] {
		if s.life.name == room {
			found = append(found, s)
		}
	}
	return found
}

func (r *Rooms) number() uint64 {
	r.last++
	return r.last
}

func (r *Rooms) nextSession() string { return strconv.FormatUint(r.number(), 10) }

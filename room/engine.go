package room

import (
	"math/rand/v2"
	"slices"
	"time"

	"roomtrail/events"
)

// Engine is one running SDK: the calls of the app, and a Client for each room.
type Engine struct {
	at       Endpoint
	profile  *Profile // filled
	chance   rand.PCG
	clients  []*Client // those at rest stay until the next login
	linkDown bool
	isDead   bool
}

// NewEngine returns an engine with its link up and no room. Seed decides all
// its chances.
func NewEngine(at Endpoint, profile Profile, seed uint64) *Engine {
	p := profile.filled()
	e := &Engine{at: at, profile: &p}
	e.chance.Seed(seed, 0x456e67) // any second half will do
	return e
}

// Step takes one input, after what was due before in any room: a call or a
// message goes to its room, anything else to all.
func (e *Engine) Step(now time.Time, in Input) Output {
	var out Output
	for _, c := range e.clients {
		if at := c.wake(); !at.IsZero() && !at.After(now) {
			e.hand(c, now, Timeout{}, &out)
		}
	}
	switch in := in.(type) {
	case Login:
		e.login(now, in, &out)
	case Logout:
		e.logout(now, in, &out)
	case Switch:
		e.switchRoom(now, in, &out)
	case RenewToken:
		if c := e.find(in.Room); c != nil {
			e.hand(c, now, in, &out)
		} else {
			out.Refused = codeUnknownRoom
		}
	case Received:
		if c := e.find(in.Message.Room); c != nil {
			e.hand(c, now, in, &out)
		}
	case LinkDown:
		e.linkDown = true
		e.handAll(now, in, &out)
	case LinkUp:
		e.linkDown = false
		e.handAll(now, in, &out)
	case Destroy:
		e.isDead = true
		e.handAll(now, in, &out)
	}
	out.Wake = e.wake()
	return out
}

// login enters a room, or refuses the call before anything is reported.
func (e *Engine) login(now time.Time, in Login, out *Output) {
	if in.User != "" && in.User != e.at.User {
		if !e.anyActive() {
			e.at.User, e.clients = in.User, nil
		} else if e.profile.MultiRoom {
			out.Refused = codeOtherUser
			return
		}
	}
	if !e.profile.MultiRoom {
		if c := e.firstActive(); c != nil && c.room != in.Room {
			out.Refused = codeRoomCount
			return
		}
	}
	e.enter(now, in, out)
}

func (e *Engine) enter(now time.Time, in Login, out *Output) {
	c := e.find(in.Room)
	if c == nil {
		e.clients = slices.DeleteFunc(e.clients, func(c *Client) bool { return !c.Active() })
		c = e.newClient(in.Room)
		e.clients = append(e.clients, c)
	}
	e.hand(c, now, in, out)
}

// newClient returns a client as it would be, had it been there all the time.
func (e *Engine) newClient(room string) *Client {
	c := newClient(e.at, room, e.profile, e.chance.Uint64())
	c.linkDown, c.isDead = e.linkDown, e.isDead
	return c
}

// logout leaves a room, or all. The web SDK refuses an unknown room while it is
// in another, and confirms anything while it is in none; a native one reports
// LogoutFailed.
func (e *Engine) logout(now time.Time, in Logout, out *Output) {
	if in.Room == "" && e.anyActive() {
		for _, c := range e.clients {
			if c.Active() {
				e.hand(c, now, in, out)
			}
		}
		return
	}
	if in.Room == "" && !e.profile.isWeb() && !e.isDead {
		out.Refused = codeNotInRoom
		return
	}
	c := e.find(in.Room)
	if e.profile.isWeb() && e.anyActive() && (c == nil || !c.Active()) {
		out.Refused = codeUnknownRoom
		return
	}
	if c == nil {
		c = e.newClient(in.Room) // only to say so
	}
	e.hand(c, now, in, out)
}

// switchRoom leaves one room and enters another, without waiting between.
func (e *Engine) switchRoom(now time.Time, in Switch, out *Output) {
	from, to := e.find(in.From), e.find(in.To)
	switch {
	case e.isDead:
		out.Refused = codeEngineGone
		if e.profile.isWeb() {
			out.Refused = codeWebEngineGone
		}
		return
	case e.profile.MultiRoom && !e.profile.isWeb():
		out.Refused = codeNoSwitch
		return
	case from == nil || !from.Active():
		out.Refused = codeUnknownRoom
		return
	case to != nil && to.Active():
		out.Refused = codeRoomIDUsed
		return
	}
	e.hand(from, now, Logout{Room: in.From}, out)
	e.enter(now, Login{Room: in.To, Token: in.Token, UserUpdate: in.UserUpdate, MaxMembers: in.MaxMembers, via: "switch"}, out)
}

// hand gives an input to one client and gathers what it wants.
func (e *Engine) hand(c *Client, now time.Time, in Input, out *Output) {
	o := c.Step(now, in)
	out.Send = append(out.Send, o.Send...)
	out.Report = append(out.Report, o.Report...)
	out.Notice = append(out.Notice, o.Notice...)
	out.Refused = o.Refused
}

func (e *Engine) handAll(now time.Time, in Input, out *Output) {
	for _, c := range e.clients {
		e.hand(c, now, in, out)
	}
}

func (e *Engine) find(room string) *Client {
	for _, c := range e.clients {
		if c.room == room {
			return c
		}
	}
	return nil
}

func (e *Engine) firstActive() *Client {
	for _, c := range e.clients {
		if c.Active() {
			return c
		}
	}
	return nil
}

func (e *Engine) anyActive() bool { return e.firstActive() != nil }

// State is the last reason reported about a room, NoReason where there is none.
func (e *Engine) State(room string) events.Reason {
	if c := e.find(room); c != nil {
		return c.State()
	}
	return events.NoReason
}

// LastBeat is Client.LastBeat for a room.
func (e *Engine) LastBeat(room string, at time.Time) time.Time {
	if c := e.find(room); c != nil {
		return c.LastBeat(at)
	}
	return time.Time{}
}

// Beat is Client.Beat for a room.
func (e *Engine) Beat(room string) (Message, bool) {
	if c := e.find(room); c != nil {
		return c.Beat()
	}
	return Message{}, false
}

func (e *Engine) wake() time.Time {
	var at time.Time
	for _, c := range e.clients {
		if w := c.wake(); !w.IsZero() && (at.IsZero() || w.Before(at)) {
			at = w
		}
	}
	return at
}

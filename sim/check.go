package sim

import (
	"fmt"
	"time"

	"roomtrail/events"
	"roomtrail/room"
)

// longestStep is the longest wait between two tries of a client.
const longestStep = 32 * time.Second

// Checker looks at everything that the machines of a world put out, and keeps
// what breaks a promise of package room. It remembers all that it has seen, so
// it is for small worlds.
type Checker struct {
	Faults []string

	timeout time.Duration // H
	said    map[series]events.Reason
	since   map[series]time.Time                // Logining, or the loss of the line
	seats   map[series]string                   // the room's session of who sits there
	heard   map[string]time.Time                // by the room's session: its last heartbeat
	left    map[string]bool                     // room and user: has been let go at least once
	updates map[uint64]uint64                   // by room_seq: the last user_update_seq
	open    map[string]uint64                   // by room: the room_seq of its life
	sits    map[string][]room.Endpoint          // by room: who sat there last
	where   map[string]map[string]room.Endpoint // by user and room
}

// series is what one listener hears about one room.
type series struct {
	at   room.Endpoint
	room string
}

// NewChecker checks rooms whose heartbeat timeout is H.
func NewChecker(timeout time.Duration) *Checker {
	return &Checker{
		timeout: timeout, said: map[series]events.Reason{}, since: map[series]time.Time{}, seats: map[series]string{},
		heard: map[string]time.Time{}, left: map[string]bool{}, updates: map[uint64]uint64{}, open: map[string]uint64{},
		sits: map[string][]room.Endpoint{}, where: map[string]map[string]room.Endpoint{},
	}
}

func (c *Checker) fault(format string, args ...any) {
	c.Faults = append(c.Faults, fmt.Sprintf(format, args...))
}

// Client sees a step of a client's engine.
func (c *Checker) Client(now time.Time, at room.Endpoint, p room.Profile, in room.Input, out room.Output) {
	switch in := in.(type) {
	case room.LinkDown:
		for s, said := range c.said {
			if s.at == at {
				c.lose(now, s, said)
			}
		}
	case room.Received:
		s := series{at, in.Message.Room}
		switch {
		case in.Message.Kind == room.Gone && in.Message.Cause == room.AskAgain:
			c.lose(now, s, c.said[s])
		case in.Message.Kind == room.Seated:
			delete(c.since, s)
		}
	}
	c.sends(at, out)
	for _, r := range out.Report {
		c.report(now, series{at, r.Room}, p, r)
	}
	for _, n := range out.Notice {
		for _, user := range n.Users {
			if n.Update == room.UserDelete && !c.left[n.Room+" "+user] {
				c.fault("%s was shown that %s left %s, which it never did", at.User, user, n.Room)
			}
		}
	}
}

// sends looks for messages about a login that was over before this step.
func (c *Checker) sends(at room.Endpoint, out room.Output) {
	begins := map[string]bool{}
	for _, r := range out.Report {
		begins[r.Room] = begins[r.Room] || r.Reason == events.Logining
	}
	for _, m := range out.Send {
		if said, ok := c.said[series{at, m.Room}]; ok && said.Ends() && !begins[m.Room] {
			c.fault("%s sent %s to %s after %s", at.User, m.Kind, m.Room, said)
		}
	}
}

// lose notes the start of an outage, whether or not the app hears of it.
func (c *Checker) lose(now time.Time, s series, said events.Reason) {
	if _, already := c.since[s]; !already && (said == events.Logined || said == events.Reconnected) {
		c.since[s] = now
	}
}

// Rate looks at the order of what a client says of a room.
func (c *Checker) Rate(at room.Endpoint, r room.Report) {
	s := series{at, r.Room}
	from, ok := c.said[s]
	if !ok {
		from = events.NoReason
	}
	c.said[s] = r.Reason
	switch {
	case room.Rate(from, r.Reason) != room.Impossible:
	case r.Reason == events.Logout && r.Extended == "no room login":
	case r.Reason == events.LogoutFailed && (r.Code == 1002002 && from != events.Logining || r.Code == 1000001):
	default:
		c.fault("%s said %s after %s about %s", s.at.User, r.Reason, from, s.room)
	}
}

func (c *Checker) report(now time.Time, s series, p room.Profile, r room.Report) {
	c.Rate(s.at, r)
	window := p.RetryWindow
	if window == 0 && p.Family == events.Web {
		window = 5 * time.Minute
	} else if window == 0 {
		window = 20 * time.Minute
	}
	switch r.Reason {
	case events.Logining:
		c.since[s] = now
	case events.LoginFailed, events.ReconnectFailed:
		gaveUp := r.Code == 1002053 || r.Code == 1002031
		if r.Reason == events.ReconnectFailed && !gaveUp {
			c.fault("ReconnectFailed with %d", r.Code)
		}
		if d := now.Sub(c.since[s]); gaveUp && (d < window || d > window+longestStep) {
			c.fault("%s of %s gave up %s after %v, with a window of %v", r.Reason, s.at.User, s.room, d, window)
		}
	}
	if r.Reason.Ends() {
		delete(c.since, s)
	}
}

// Server sees a step of the rooms.
func (c *Checker) Server(now time.Time, in room.Input, out room.Output) {
	switch in := in.(type) {
	case room.Received:
		if in.Message.Kind == room.Beat && !c.heard[in.Message.Session].IsZero() {
			c.heard[in.Message.Session] = now
		}
	case room.Heard:
		if session := c.seats[series{in.At, in.Room}]; session != "" {
			c.heard[session] = in.Until
		}
	}
	for _, m := range out.Send {
		if m.Kind == room.Seated {
			c.heard[m.Session], c.seats[series{m.At, m.Room}] = now, m.Session
		}
	}
	for _, b := range out.Callbacks {
		switch b.Event {
		case "room_create":
			if c.open[b.Room] != 0 {
				c.fault("%s opened while it was open", b.Room)
			}
			c.open[b.Room] = b.RoomSeq
		case "room_close":
			if c.open[b.Room] != b.RoomSeq {
				c.fault("%s closed with room_seq %d, opened with %d", b.Room, b.RoomSeq, c.open[b.Room])
			}
			delete(c.open, b.Room)
		case "room_logout":
			c.logout(now, b)
		}
		if b.UpdateSeq != 0 {
			if b.UpdateSeq != c.updates[b.RoomSeq]+1 {
				c.fault("user_update_seq %d after %d", b.UpdateSeq, c.updates[b.RoomSeq])
			}
			c.updates[b.RoomSeq] = b.UpdateSeq
		}
	}
}

func (c *Checker) logout(now time.Time, b room.Callback) {
	c.left[b.Room+" "+b.User] = true
	if b.At.Before(now) {
		c.fault("%s fell from %s %v ago, and nobody had noticed", b.User, b.Room, now.Sub(b.At))
	}
	silent := b.At.Sub(c.heard[b.Session])
	if (b.Reason == room.LeftHeartbeat || b.Reason == room.LeftDropped) && silent != c.timeout {
		c.fault("%s fell from %s after %v of silence", b.User, b.Room, silent)
	}
	delete(c.heard, b.Session)
}

// Members sees who sits in some rooms after a step, all those where somebody
// came or went: one endpoint for each user, there and everywhere else.
func (c *Checker) Members(rooms map[string][]room.Endpoint) {
	for name := range rooms {
		for _, at := range c.sits[name] {
			delete(c.where[at.User], name)
		}
		c.sits[name] = rooms[name]
	}
	for name, members := range rooms {
		for _, at := range members {
			c.sit(name, at)
		}
	}
}

func (c *Checker) sit(name string, at room.Endpoint) {
	where := c.where[at.User]
	if where == nil {
		where = map[string]room.Endpoint{}
		c.where[at.User] = where
	}
	if _, already := where[name]; already {
		c.fault("%s sits in %s twice", at.User, name)
	}
	where[name] = at
	for _, other := range where {
		if other != at {
			c.fault("%s sits at %v and at %v", at.User, at, other)
			return
		}
	}
}

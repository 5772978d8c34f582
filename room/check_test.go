package room_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"roomtrail/events"
	"roomtrail/room"
)

const (
	h           = 90 * time.Second
	longestStep = 32 * time.Second
)

// checker looks at everything that the machines of a world put out, and keeps
// what breaks a promise.
type checker struct {
	said    map[series]events.Reason
	since   map[series]time.Time // Logining, or the loss of the line
	heard   map[string]time.Time // by the room's session: its last heartbeat
	left    map[string]bool      // room and user: has been let go at least once
	updates map[uint64]uint64    // by room_seq: the last user_update_seq
	open    map[string]uint64    // by room: the room_seq of its life
	faults  []string
}

// series is what one listener hears about one room.
type series struct {
	at   room.Endpoint
	room string
}

func newChecker() *checker {
	return &checker{
		said: map[series]events.Reason{}, since: map[series]time.Time{},
		heard: map[string]time.Time{}, left: map[string]bool{}, updates: map[uint64]uint64{}, open: map[string]uint64{},
	}
}

func (c *checker) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

// client sees a step of a client's engine.
func (c *checker) client(now time.Time, at room.Endpoint, p room.Profile, in room.Input, out room.Output) {
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

// lose notes the start of an outage, whether or not the app hears of it.
func (c *checker) lose(now time.Time, s series, said events.Reason) {
	if _, already := c.since[s]; !already && (said == events.Logined || said == events.Reconnected) {
		c.since[s] = now
	}
}

// rate looks at the order of what is said.
func (c *checker) rate(s series, r room.Report) {
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

func (c *checker) report(now time.Time, s series, p room.Profile, r room.Report) {
	c.rate(s, r)
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

// server sees a step of the rooms.
func (c *checker) server(now time.Time, in room.Input, out room.Output) {
	if in, ok := in.(room.Received); ok && in.Message.Kind == room.Beat && !c.heard[in.Message.Session].IsZero() {
		c.heard[in.Message.Session] = now
	}
	for _, m := range out.Send {
		if m.Kind == room.Seated {
			c.heard[m.Session] = now
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
			c.logout(b)
		}
		if b.UpdateSeq != 0 {
			if b.UpdateSeq != c.updates[b.RoomSeq]+1 {
				c.fault("user_update_seq %d after %d", b.UpdateSeq, c.updates[b.RoomSeq])
			}
			c.updates[b.RoomSeq] = b.UpdateSeq
		}
	}
}

func (c *checker) logout(b room.Callback) {
	c.left[b.Room+" "+b.User] = true
	silent := b.At.Sub(c.heard[b.Session])
	if (b.Reason == room.LeftHeartbeat || b.Reason == room.LeftDropped) && silent != h {
		c.fault("%s fell from %s after %v of silence", b.User, b.Room, silent)
	}
	delete(c.heard, b.Session)
}

// members sees who sits where.
func (c *checker) members(rooms map[string][]room.Endpoint) {
	where := map[string]room.Endpoint{}
	for name, members := range rooms {
		seats := map[string]bool{}
		for _, at := range members {
			if other, ok := where[at.User]; ok && other != at {
				c.fault("%s sits at %v and at %v", at.User, at, other)
			}
			if seats[at.User] {
				c.fault("%s sits in %s twice", at.User, name)
			}
			where[at.User], seats[at.User] = at, true
		}
	}
}

// Each promise, broken on purpose, is found.
func TestCheckerBites(t *testing.T) {
	t.Parallel()
	at, other := room.Endpoint{User: "a"}, room.Endpoint{User: "a", Device: "2"}
	say := func(c *checker, after time.Duration, reason events.Reason, code int64) {
		c.client(start.Add(after), at, room.Profile{}, room.Timeout{}, room.Output{Report: []room.Report{{Room: "r", Reason: reason, Code: code}}})
	}
	call := func(c *checker, b room.Callback) {
		c.server(b.At, room.Timeout{}, room.Output{Callbacks: []room.Callback{b}})
	}
	seat := func(c *checker) {
		c.server(start, room.Timeout{}, room.Output{Send: []room.Message{{Kind: room.Seated, Session: "1"}}})
	}
	for want, do := range map[string]func(c *checker){
		"said Reconnected after Logout": func(c *checker) {
			say(c, 0, events.Logout, 0)
			say(c, 0, events.Reconnected, 0)
		},
		"gave up r after 19m59s": func(c *checker) {
			say(c, 0, events.Logined, 0)
			c.client(start, at, room.Profile{}, room.LinkDown{}, room.Output{})
			say(c, 0, events.Reconnecting, 0)
			say(c, 20*time.Minute-time.Second, events.ReconnectFailed, 1002053)
		},
		"gave up r after 20m33s": func(c *checker) {
			say(c, 0, events.Logining, 0)
			say(c, 20*time.Minute+33*time.Second, events.LoginFailed, 1002053)
		},
		"fell from r after 1m29s": func(c *checker) {
			seat(c)
			call(c, room.Callback{Event: "room_logout", Room: "r", User: "a", Session: "1", At: start.Add(89 * time.Second), Reason: 1, UpdateSeq: 1})
		},
		"was shown that b left r": func(c *checker) {
			c.client(start, at, room.Profile{}, room.Timeout{}, room.Output{Notice: []room.Notice{{Room: "r", Update: room.UserDelete, Users: []string{"b"}}}})
		},
		"user_update_seq 3 after 1": func(c *checker) {
			call(c, room.Callback{Event: "room_login", RoomSeq: 1, UpdateSeq: 1})
			call(c, room.Callback{Event: "room_login", RoomSeq: 1, UpdateSeq: 3})
		},
		"closed with room_seq 2, opened with 1": func(c *checker) {
			call(c, room.Callback{Event: "room_create", Room: "r", RoomSeq: 1})
			call(c, room.Callback{Event: "room_close", Room: "r", RoomSeq: 2})
		},
		"sits at": func(c *checker) {
			c.members(map[string][]room.Endpoint{"r": {at}, "s": {other}})
		},
		"sits in r twice": func(c *checker) {
			c.members(map[string][]room.Endpoint{"r": {at, at}})
		},
	} {
		c := newChecker()
		do(c)
		if got := strings.Join(c.faults, "\n"); len(c.faults) != 1 || !strings.Contains(got, want) {
			t.Errorf("faults are %q, want one with %q", got, want)
		}
	}
}

package room

import (
	"math/rand/v2"
	"time"

	"roomtrail/events"
)

// phase is what a client is doing, whatever it has told the app.
type phase uint8

const (
	resting  phase = iota // wants no seat
	asking                // wants its first seat
	seated                // has one
	retrying              // had one and wants it back
)

var phaseNames = [...]string{"resting", "asking", "seated", "retrying"}

// Client is one user's side of one room. An Engine owns several, and is who
// looks at the rooms that inputs name.
type Client struct {
	at      Endpoint
	room    string
	profile *Profile // filled
	chance  rand.PCG

	phase    phase
	said     events.Reason // the last report; NoReason before the first
	linkDown bool
	isDead   bool // its engine was destroyed

	ask     Message   // the login that is tried; its Login is 0 when none is live
	since   time.Time // when this login or this outage began: W counts from here
	tries   int       // how many have failed in it
	next    time.Time // the next try, while none waits for its answer
	asked   time.Time // when the last try left
	answer  time.Time // until when it waits for its answer; zero is not at all
	sayAt   time.Time // when a held-back Reconnecting is due; zero is none
	beat    time.Time // the next heartbeat
	renewal time.Time // when tokenWillExpire is due; zero is never
	roster  []string  // who the app was told is here; only with UserUpdate
}

// NewClient returns the side of one user in one room. Seed decides its chances:
// the first wait after a failure, where its heartbeats lie.
func NewClient(at Endpoint, room string, profile Profile, seed uint64) *Client {
	p := profile.filled()
	return newClient(at, room, &p, seed)
}

func newClient(at Endpoint, room string, p *Profile, seed uint64) *Client {
	c := &Client{at: at, room: room, profile: p, said: events.NoReason}
	c.chance.Seed(seed, 0x526f6f6d) // any second half will do
	return c
}

// State is the last reason that was reported, NoReason before the first.
func (c *Client) State() events.Reason { return c.said }

// Active says whether the client has a seat or tries for one.
func (c *Client) Active() bool { return c.phase != resting }

// Step takes one input. What was due before comes first, so that an answer
// that arrives after the end of W finds the login ended.
func (c *Client) Step(now time.Time, in Input) Output {
	var out Output
	c.runDue(now, &out)
	switch in := in.(type) {
	case Login:
		c.login(now, in, &out)
	case Logout:
		c.logout(&out)
	case RenewToken:
		c.renew(in.Token, &out)
	case LinkDown:
		c.loseLink(now, &out)
	case LinkUp:
		c.linkDown = false
		c.skipTries(now)
	case Received:
		c.receive(now, in.Message, &out)
	case Destroy:
		c.phase, c.isDead, c.ask.Login = resting, true, 0
	}
	c.runDue(now, &out) // a first try, for one, is due at once
	out.Wake = c.wake()
	return out
}

func (c *Client) login(now time.Time, in Login, out *Output) {
	switch {
	case c.isDead:
		out.Refused = c.pick(codeEngineGone, codeWebEngineGone)
		return
	case c.phase != resting && c.profile.MultiRoom:
		out.Refused = codeRoomIDUsed
		return
	case c.phase == asking: // seen on web while the first call was still pending
		out.Refused = codeRoomCount
		return
	case c.phase != resting:
		out.Refused = c.pick(codeRoomCount, codeLoginTwice)
		return
	}
	c.phase, c.since, c.tries, c.next = asking, now, 0, now
	c.answer, c.sayAt, c.renewal, c.roster = time.Time{}, time.Time{}, time.Time{}, nil
	c.ask = Message{
		Kind: Ask, At: c.at, Room: c.room, Login: c.chance.Uint64() | 1, Token: in.Token,
		MultiRoom: c.profile.MultiRoom, UserUpdate: in.UserUpdate, MaxMembers: in.MaxMembers, Terminal: c.profile.Terminal,
	}
	via := in.via
	if via == "" {
		via = "login"
	}
	c.say(out, events.Logining, 0, "")
	out.Report[len(out.Report)-1].Via = via
	if code := checkNames(c.at.User, c.room); code != 0 { // the web SDK says Logining first, too
		c.end(out, events.LoginFailed, code, "")
	}
}

// checkNames is the part of the SDK's check that needs no server. The lengths
// are the error list's: 64 and 128 bytes are too long already.
func checkNames(user, room string) int64 {
	switch {
	case user == "":
		return codeUserEmpty
	case len(user) >= 64:
		return codeUserTooLong
	case room == "":
		return codeRoomEmpty
	case len(room) >= 128:
		return codeRoomTooLong
	}
	return 0
}

// logout leaves without waiting for an answer. Offline, the web SDK forgets the
// room; a native one cannot tell the server and says so, and then others see
// the user until H.
func (c *Client) logout(out *Output) {
	isGhost := c.phase == resting && c.said == events.LogoutFailed && c.ask.Login != 0
	switch {
	case c.isDead && c.profile.isWeb():
		out.Refused = codeWebEngineGone
	case c.isDead:
		c.say(out, events.LogoutFailed, codeEngineGone, "")
	case (c.phase == retrying || isGhost) && c.linkDown && !c.profile.isWeb():
		c.phase = resting
		c.say(out, events.LogoutFailed, codeUnknownRoom, "")
	case c.phase != resting || isGhost:
		if !c.linkDown {
			out.Send = append(out.Send, c.message(Leave))
		}
		c.end(out, events.Logout, 0, "")
	case c.profile.isWeb():
		c.say(out, events.Logout, 0, "no room login")
	case c.said == events.LoginFailed || c.said == events.ReconnectFailed || c.said == events.KickOut:
		c.say(out, events.Logout, 0, "")
	default:
		c.say(out, events.LogoutFailed, codeUnknownRoom, "")
	}
}

func (c *Client) renew(token string, out *Output) {
	if c.phase == resting {
		out.Refused = codeUnknownRoom
		return
	}
	if c.phase != seated {
		c.ask.Token = token // the next try carries it
		return
	}
	m := c.message(Renew)
	m.Token = token
	out.Send = append(out.Send, m)
}

func (c *Client) loseLink(now time.Time, out *Output) {
	isNews := !c.linkDown
	c.linkDown = true
	switch {
	case c.phase == seated:
		c.startOutage(now, out)
	case c.phase == retrying && !c.sayAt.IsZero() && isNews:
		c.sayAt = now // only the first trigger of an outage is held back
	}
	if c.phase != resting && !c.answer.IsZero() {
		c.failTry(now)
	}
}

func (c *Client) startOutage(now time.Time, out *Output) {
	c.phase, c.since, c.tries = retrying, now, 0
	c.ask.Again = true
	c.failTry(now)
	if c.profile.HoldBack > 0 {
		c.sayAt = now.Add(c.profile.HoldBack)
		return
	}
	c.say(out, events.Reconnecting, brokenCode(c.profile.Family), "")
}

// failTry ends a try and sets the next.
func (c *Client) failTry(now time.Time) {
	c.answer = time.Time{}
	c.next = now.Add(wait(c.tries, c.chance.Uint64()))
	c.tries++
}

// skipTries passes over the tries that fell into the time without a link: each
// failed at once.
func (c *Client) skipTries(now time.Time) {
	for c.isTrying() && c.answer.IsZero() && c.next.Before(now) {
		c.failTry(c.next)
	}
}

func (c *Client) isTrying() bool { return c.phase == asking || c.phase == retrying }

// runDue does what time alone brings.
func (c *Client) runDue(now time.Time, out *Output) {
	for is := func(t time.Time) bool { return !t.IsZero() && !t.After(now) }; c.phase != resting; {
		switch {
		case is(c.sayAt):
			c.sayAt = time.Time{}
			c.say(out, events.Reconnecting, brokenCode(c.profile.Family), "")
		case c.isTrying() && is(c.since.Add(c.profile.RetryWindow)):
			c.giveUp(out)
		case is(c.renewal):
			c.renewal = time.Time{}
			out.Notice = append(out.Notice, Notice{Room: c.room, Update: TokenWillExpire})
		case is(c.answer):
			c.failTry(c.answer)
		case c.isTrying() && !c.linkDown && c.answer.IsZero() && is(c.next):
			c.asked, c.answer = now, now.Add(c.profile.AnswerTimeout)
			out.Send = append(out.Send, c.ask)
		case c.phase == seated && !c.profile.ComputedBeats && is(c.beat):
			c.beat = lastBeat(c.beat, c.profile.HeartbeatEvery, now).Add(c.profile.HeartbeatEvery)
			out.Send = append(out.Send, c.message(Beat))
		default:
			return
		}
	}
}

func (c *Client) giveUp(out *Output) {
	reason := events.LoginFailed
	if c.phase == retrying {
		reason = events.ReconnectFailed
		if !c.sayAt.IsZero() { // W is shorter than the hold-back
			c.say(out, events.Reconnecting, brokenCode(c.profile.Family), "")
		}
	}
	c.end(out, reason, c.profile.TimeoutCode, timeoutTexts[c.profile.TimeoutCode])
}

// wake is the earliest of what runDue waits for.
func (c *Client) wake() time.Time {
	var at time.Time
	add := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	switch {
	case c.phase == resting:
		return at
	case c.phase == seated && !c.profile.ComputedBeats:
		add(c.beat)
	case c.isTrying():
		add(c.since.Add(c.profile.RetryWindow))
		add(c.sayAt)
		if add(c.answer); c.answer.IsZero() && !c.linkDown {
			add(c.next)
		}
	}
	add(c.renewal)
	return at
}

// LastBeat is when the last heartbeat at or before an instant left, or the
// message that took the seat, for a driver that computes them; zero without a
// seat. Call it before the step that loses the seat.
func (c *Client) LastBeat(at time.Time) time.Time {
	switch {
	case c.phase != seated:
		return time.Time{}
	case c.beat.After(at):
		return c.asked
	}
	return lastBeat(c.beat, c.profile.HeartbeatEvery, at)
}

// Beat is the heartbeat that the client would send now, for a driver that
// computes the others; none without a seat.
func (c *Client) Beat() (Message, bool) { return c.message(Beat), c.phase == seated }

func lastBeat(first time.Time, every time.Duration, at time.Time) time.Time {
	return first.Add(at.Sub(first) / every * every)
}

func (c *Client) message(k Kind) Message {
	return Message{Kind: k, At: c.at, Room: c.room, Login: c.ask.Login, Session: c.ask.Session}
}

// say reports a state. Extended data is text on web and an object on native.
func (c *Client) say(out *Output, reason events.Reason, code int64, extended string) {
	if !c.profile.isWeb() && (extended == "" || extended[0] != '{') {
		extended = "{}"
	}
	c.said = reason
	out.Report = append(out.Report, Report{Room: c.room, Reason: reason, Code: code, Extended: extended})
}

// end says the last word of a login and rests.
func (c *Client) end(out *Output, reason events.Reason, code int64, extended string) {
	c.say(out, reason, code, extended)
	c.phase, c.ask.Login = resting, 0
}

func (c *Client) pick(native, web int64) int64 {
	if c.profile.isWeb() {
		return web
	}
	return native
}

package room

import (
	"slices"
	"strconv"
	"time"

	"roomtrail/events"
)

func (c *Client) receive(now time.Time, m Message, out *Output) {
	if m.Login != c.ask.Login || c.ask.Login == 0 {
		return // of an earlier login
	}
	switch {
	case m.Kind == Seated && c.isTrying():
		c.takeSeat(now, m, out)
	case m.Kind == Denied && c.isTrying():
		c.takeDenial(now, m.Cause, out)
	case m.Kind == Gone:
		c.takeLoss(now, m, out)
	case m.Kind == Renewed:
		c.ask.Token = m.Token // from now on: one that was refused must not replace it
		c.warnBefore(m.Expires)
	case m.Kind == Roster || m.Kind == Joined || m.Kind == Departed:
		c.takeUsers(m, out)
	}
}

func (c *Client) takeSeat(now time.Time, m Message, out *Output) {
	isFirst, wasHidden := c.phase == asking, !c.sayAt.IsZero()
	c.phase, c.ask.Session, c.answer, c.sayAt = seated, m.Session, time.Time{}, time.Time{}
	every := c.profile.HeartbeatEvery
	c.beat = now.Add(every - time.Duration(c.chance.Uint64()%uint64(every))) // spread over the interval
	c.warnBefore(m.Expires)
	switch {
	case isFirst && c.profile.isWeb():
		c.say(out, events.Logined, 0, "")
	case isFirst:
		c.say(out, events.Logined, 0, jsonObject("room_session_id", strconv.FormatUint(m.RoomSeq, 10)))
	case !wasHidden:
		c.say(out, events.Reconnected, 0, "")
	}
}

// takeDenial ends a first login. Later, only a dead token does; any other
// denial may pass, so the client goes on trying until W.
func (c *Client) takeDenial(now time.Time, why Cause, out *Output) {
	if c.phase == asking {
		code, text := denial(c.profile.Family, why)
		c.end(out, events.LoginFailed, code, text)
		return
	}
	if why == TokenWrong || why == TokenExpired {
		c.takeKick(Message{Cause: TokenExpired}, out)
		return
	}
	c.failTry(now)
}

// takeLoss takes it that the room took the seat away; after a LogoutFailed the
// client may still have one there.
func (c *Client) takeLoss(now time.Time, m Message, out *Output) {
	switch {
	case m.Cause == AskAgain && c.phase == seated:
		c.startOutage(now, out)
	case m.Cause == AskAgain:
	case c.phase == asking: // seated without knowing, and lost it
		code, text := denial(c.profile.Family, m.Cause)
		c.end(out, events.LoginFailed, code, text)
	default:
		c.takeKick(m, out)
	}
}

func (c *Client) takeKick(m Message, out *Output) {
	code, extended := kick(c.profile.Family, m.Cause, m.Text)
	c.say(out, events.KickOut, code, extended)
	c.phase, c.ask.Login = resting, 0
}

// warnSpan is how long before a token ends the app hears of it.
const warnSpan = 30 * time.Second

func (c *Client) warnBefore(expires time.Time) {
	c.renewal = time.Time{}
	if !expires.IsZero() {
		c.renewal = expires.Add(-warnSpan)
	}
}

// takeUsers tells the app who came and went, as the difference to what it
// knows: a Roster after an outage holds what happened meanwhile.
func (c *Client) takeUsers(m Message, out *Output) {
	if c.phase != seated {
		return
	}
	var came, went []string
	switch m.Kind {
	case Joined:
		came = without(m.Users, c.roster)
	case Departed:
		went = slices.DeleteFunc(slices.Clone(m.Users), func(u string) bool { return !slices.Contains(c.roster, u) })
	case Roster:
		came, went = without(m.Users, c.roster), without(c.roster, m.Users)
	}
	c.roster = append(without(c.roster, went), came...)
	if len(went) > 0 {
		out.Notice = append(out.Notice, Notice{Room: c.room, Update: UserDelete, Users: went})
	}
	if len(came) > 0 {
		out.Notice = append(out.Notice, Notice{Room: c.room, Update: UserAdd, Users: came})
	}
}

func without(users, others []string) []string {
	var rest []string
	for _, u := range users {
		if !slices.Contains(others, u) {
			rest = append(rest, u)
		}
	}
	return rest
}

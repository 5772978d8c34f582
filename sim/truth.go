package sim

import (
	"slices"
	"time"

	"roomtrail/events"
	"roomtrail/room"
)

// Login is the truth about one login: what its client said, whether that was
// ever delivered, and what really happened. Instants are true ones, cut to
// milliseconds; durations are in milliseconds, by the device's own monotonic
// clock.
type Login struct {
	Type      string `json:"type"` // login
	AppID     string `json:"app_id"`
	RoomID    string `json:"room_id"`
	UserID    string `json:"user_id"`
	SessionID string `json:"session_id"`
	LoginNo   int    `json:"login_no"` // 1: a reporter begins a session with each
	DeviceID  string `json:"device_id"`
	BootID    string `json:"boot_id"`
	Platform  string `json:"platform"`
	Family    string `json:"family"`
	Network   string `json:"network"`
	Carrier   string `json:"carrier"`
	Region    string `json:"region"`
	Via       string `json:"via"`
	ClockMS   int64  `json:"clock_ahead_ms"` // at its Logining

	StartedAt      time.Time  `json:"started_at"`
	LoginedAt      *time.Time `json:"logined_at"`
	EndedAt        *time.Time `json:"ended_at"` // as the client said
	EndedBy        string     `json:"ended_by"` // a reason that ends; "" where the client said none
	EndErrorCode   int64      `json:"end_error_code"`
	State          string     `json:"state"` // the last reason
	Interruptions  int        `json:"interruptions"`
	ConnectedMS    int64      `json:"connected_ms"` // up to the login's last event where it is still connected
	ReconnectingMS int64      `json:"reconnecting_ms"`

	// GoneBy is how it really ended: the state in which the app was left, or
	// closed, crashed, running (when nobody looked any further).
	GoneAt            time.Time `json:"gone_at"`
	GoneBy            string    `json:"gone_by"`
	DisplacedBy       string    `json:"displaced_by_session_id"` // whose login took the seat
	DisplacedByDevice string    `json:"displaced_by_device_id"`
	Visits            []Visit   `json:"visits"` // what the rooms saw of it
	Events            []Said    `json:"events"`
	IsComplete        bool      `json:"is_complete"` // every event was delivered
}

// Visit is one stay as the rooms saw it.
type Visit struct {
	SessionID string     `json:"session_id"`
	RoomSeq   uint64     `json:"room_seq"`
	LoginAt   time.Time  `json:"login_at"`
	LogoutAt  *time.Time `json:"logout_at"`
	Reason    int        `json:"logout_reason"`
}

// Said is one event that a reporter numbered.
type Said struct {
	Seq       int64       `json:"seq"`
	Kind      events.Kind `json:"kind"`
	Reason    string      `json:"reason,omitempty"`
	ErrorCode int64       `json:"error_code,omitempty"`
	At        time.Time   `json:"at"`
	Delivered bool        `json:"delivered"`

	reason    events.Reason
	monotonic int64
	isSettled bool
}

// Interruption is the truth about one break of a seated client's line that its
// SDK took notice of.
type Interruption struct {
	Type           string     `json:"type"` // interruption
	AppID          string     `json:"app_id"`
	RoomID         string     `json:"room_id"`
	UserID         string     `json:"user_id"`
	SessionID      string     `json:"session_id"`
	LoginNo        int        `json:"login_no"`
	InterruptionNo int        `json:"interruption_no"` // 0 where the SDK kept it to itself
	Cause          string     `json:"cause"`           // alone, office, outage; or rooms, which took the seat away
	Direction      string     `json:"direction"`       // which way the line stopped carrying: both, up, down
	LostAt         time.Time  `json:"lost_at"`         // when the line really broke
	SeatLostAt     *time.Time `json:"seat_lost_at"`    // when the rooms let the seat go meanwhile
	StartedAt      *time.Time `json:"started_at"`      // when Reconnecting was said
	EndedAt        *time.Time `json:"ended_at"`
	Outcome        string     `json:"outcome"` // as contract 4.5; "" while open
	DurationMS     *int64     `json:"duration_ms"`
	RecoveryCase   int        `json:"recovery_case"` // contract 4.10; 0 is none
	ErrorCode      int64      `json:"error_code"`
	EndErrorCode   int64      `json:"end_error_code"`
	StartDelivered bool       `json:"start_delivered"`
	EndDelivered   bool       `json:"end_delivered"`

	startSeq, endSeq int64
	monotonic        int64
}

// stay gathers the truth about one login until all of it is known.
type stay struct {
	login  Login
	breaks []Interruption
	open   int // events that are neither delivered nor lost, and visits that last
	isOver bool

	lostAt    time.Time
	lostBy    uint64 // number of the line's break
	cause     string
	direction string
	current   *Interruption // the one that is open
	isOn      bool          // connected, as the client says
	onSince   int64
	onClosed  int64
	timeoutMS int64 // H
}

// begin starts the truth of a login with its first event.
func (a *app) begin(e events.Event) {
	w := a.world
	a.stayEnds("")
	w.made++
	a.stay = &stay{timeoutMS: w.config.HeartbeatTimeout.Milliseconds(), login: Login{
		Type: "login", AppID: e.AppID, RoomID: e.RoomID, UserID: e.UserID, SessionID: e.SessionID, LoginNo: 1, DeviceID: e.DeviceID, BootID: e.BootID,
		Platform: e.Platform, Family: string(e.Family), Network: e.Network, Carrier: e.Carrier, Region: e.Region, Via: e.Via,
		ClockMS: a.device.skew.Milliseconds(), StartedAt: w.now.Truncate(time.Millisecond), Visits: []Visit{},
	}}
	w.stays[e.SessionID] = a.stay
}

// stayEnds closes the truth of the app's present login.
func (a *app) stayEnds(how string) {
	s := a.stay
	if s == nil {
		return
	}
	if how == "" {
		how = s.login.State // it goes on in another login
	}
	s.login.GoneBy, s.login.GoneAt, s.isOver = how, a.world.now.Truncate(time.Millisecond), true
	a.stay = nil
	s.settled(a.world)
}

// say adds an event, and what it means where it is a state.
func (s *stay) say(a *app, e events.Event) {
	now := a.world.now.Truncate(time.Millisecond)
	said := Said{Seq: e.Seq, Kind: e.Kind, Reason: e.Reason.String(), ErrorCode: e.ErrorCode, At: now, reason: e.Reason, monotonic: int64(e.MonotonicMS)}
	s.login.Events = append(s.login.Events, said)
	s.open++
	if s.isOn {
		s.login.ConnectedMS = s.onClosed + said.monotonic - s.onSince
	}
	if e.Kind == events.State && s.login.EndedBy == "" {
		s.login.State = said.Reason
		s.move(a.world, said)
	}
}

func (s *stay) move(w *World, e Said) {
	l := &s.login
	switch e.reason {
	case events.Logined:
		l.LoginedAt = &e.At
		s.connect(e)
	case events.Reconnecting:
		s.disconnect(e)
		lost := s.lostAt
		if lost.IsZero() {
			lost, s.cause, s.direction = e.At, "rooms", "both"
		}
		l.Interruptions++
		s.current = &Interruption{
			Type: "interruption", AppID: l.AppID, RoomID: l.RoomID, UserID: l.UserID, SessionID: l.SessionID, LoginNo: 1, InterruptionNo: l.Interruptions,
			Cause: s.cause, Direction: s.direction, LostAt: lost, StartedAt: &e.At, ErrorCode: e.ErrorCode, startSeq: e.Seq, endSeq: -1, monotonic: e.monotonic,
			SeatLostAt: s.seatLost(lost),
		}
	case events.Reconnected:
		s.close(e, "reconnected")
		s.connect(e)
	case events.ReconnectFailed:
		s.finish(e, "reconnect_failed")
	case events.KickOut:
		s.finish(e, "kicked")
	case events.Logout:
		s.finish(e, "logged_out")
	case events.LoginFailed:
		s.finish(e, "login_failed")
	}
}

func (s *stay) connect(e Said) {
	if !s.isOn {
		s.isOn, s.onSince = true, e.monotonic
	}
}

func (s *stay) disconnect(e Said) {
	if s.isOn {
		s.isOn = false
		s.onClosed += e.monotonic - s.onSince
		s.login.ConnectedMS = s.onClosed
	}
}

func (s *stay) close(e Said, outcome string) {
	i := s.current
	if i == nil {
		return
	}
	ms := e.monotonic - i.monotonic
	i.EndedAt, i.Outcome, i.DurationMS, i.EndErrorCode, i.endSeq = &e.At, outcome, &ms, e.ErrorCode, e.Seq
	switch {
	case outcome == "reconnected" && ms < s.timeoutMS:
		i.RecoveryCase = 1
	case outcome == "reconnected":
		i.RecoveryCase = 2
	case outcome == "reconnect_failed":
		i.RecoveryCase = 3
	}
	s.login.ReconnectingMS += ms
	s.breaks = append(s.breaks, *i)
	s.current, s.lostAt = nil, time.Time{}
}

func (s *stay) finish(e Said, outcome string) {
	s.disconnect(e)
	s.close(e, outcome)
	s.login.EndedAt, s.login.EndedBy, s.login.EndErrorCode = &e.At, e.Reason, e.ErrorCode
}

// cut notes that the line of a connected client broke.
func (s *stay) cut(now time.Time, cause, direction string, number uint64) {
	if s.isOn && s.lostAt.IsZero() {
		s.lostAt, s.lostBy, s.cause, s.direction = now.Truncate(time.Millisecond), number, cause, direction
	}
}

// mended forgets a break that nobody noticed.
func (s *stay) mended(noticed bool, number uint64) {
	if !noticed && s.current == nil && s.lostBy == number {
		s.lostAt = time.Time{}
	}
}

// seated notes that the rooms have given the seat (again). An outage of which
// the SDK said nothing is an interruption without a number.
func (s *stay) seated(now time.Time) {
	if s == nil || s.lostAt.IsZero() || s.current != nil || !s.isOn {
		return
	}
	l, back := &s.login, now.Truncate(time.Millisecond)
	ms := back.Sub(s.lostAt).Milliseconds()
	s.breaks = append(s.breaks, Interruption{
		Type: "interruption", AppID: l.AppID, RoomID: l.RoomID, UserID: l.UserID, SessionID: l.SessionID, LoginNo: 1, Cause: s.cause, Direction: s.direction,
		LostAt: s.lostAt, EndedAt: &back, Outcome: "reconnected", DurationMS: &ms, SeatLostAt: s.seatLost(s.lostAt), startSeq: -1, endSeq: -1,
	})
	s.lostAt = time.Time{}
}

// seatLost is when the rooms let the last seat go, if that was after an instant.
func (s *stay) seatLost(after time.Time) *time.Time {
	for _, v := range slices.Backward(s.login.Visits) {
		if v.LogoutAt != nil && v.LogoutAt.After(after) {
			return v.LogoutAt
		}
	}
	return nil
}

// witness notes what the rooms saw of a login.
func (w *World) witness(by *app, c room.Callback) {
	at := c.At.Truncate(time.Millisecond)
	switch c.Event {
	case "room_login":
		if by == nil || by.stay == nil {
			return
		}
		s := by.stay
		s.login.Visits = append(s.login.Visits, Visit{SessionID: c.Session, RoomSeq: c.RoomSeq, LoginAt: at})
		s.open++
		w.visits[c.Session], w.holders[c.User] = s, s
	case "room_logout":
		s := w.visits[c.Session]
		if s == nil {
			return
		}
		delete(w.visits, c.Session)
		if w.holders[c.User] == s {
			delete(w.holders, c.User)
		}
		for i := range s.login.Visits {
			if v := &s.login.Visits[i]; v.SessionID == c.Session {
				v.LogoutAt, v.Reason = &at, c.Reason
			}
		}
		if s.current != nil && s.current.SeatLostAt == nil {
			s.current.SeatLostAt = &at
		}
		s.open--
		s.settled(w)
	}
}

// displace notes whose login took a seat: the one that asked, or, where the
// message goes to who asked for its old seat, the other one of that user.
func (w *World) displace(by *app, m room.Message) {
	victim, holder := w.visits[m.Session], by.stay
	if m.At == by.at {
		victim, holder = by.stay, w.holders[by.who.user]
	}
	if victim == nil || holder == nil || victim.login.DisplacedBy != "" {
		return
	}
	victim.login.DisplacedBy, victim.login.DisplacedByDevice = holder.login.SessionID, holder.login.DeviceID
}

// settle notes what became of an event: the first word stands.
func (w *World) settle(session string, seq int64, delivered bool) {
	s := w.stays[session]
	if s == nil || seq >= int64(len(s.login.Events)) {
		return
	}
	e := &s.login.Events[seq]
	if e.isSettled {
		return
	}
	e.isSettled, e.Delivered = true, delivered
	s.open--
	s.settled(w)
}

func (s *stay) settled(w *World) {
	if s.isOver && s.open == 0 {
		s.tell(w)
	}
}

// tell puts the truth out, as far as it is known.
func (s *stay) tell(w *World) {
	delete(w.stays, s.login.SessionID)
	if s.current != nil {
		s.breaks = append(s.breaks, *s.current)
	}
	delivered := func(seq int64) bool { return seq >= 0 && s.login.Events[seq].Delivered }
	for i := range s.breaks {
		b := &s.breaks[i]
		b.StartDelivered, b.EndDelivered = delivered(b.startSeq), delivered(b.endSeq)
	}
	s.login.IsComplete = true
	for i := range s.login.Events {
		s.login.IsComplete = s.login.IsComplete && s.login.Events[i].Delivered
	}
	w.out.Logins = append(w.out.Logins, s.login)
	w.out.Breaks = append(w.out.Breaks, s.breaks...)
}

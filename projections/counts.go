package projections

import (
	"time"

	"roomtrail/events"
	"roomtrail/room"
)

// Cell is a minute and what a figure can be broken down by: counts of one cell
// are added up.
type Cell struct {
	At                       time.Time // the beginning of the minute
	AppID, Platform          string
	Family                   events.Family
	SDKVersion               string
	Network, Carrier, Region string
	IsImport                 bool
}

func (s *Session) cell(at time.Time, d Described, isImport bool) Cell {
	return Cell{
		At: at.Truncate(time.Minute), AppID: s.app, Platform: d.Platform, Family: d.Family, SDKVersion: d.SDKVersion,
		Network: d.Network, Carrier: d.Carrier, Region: d.Region, IsImport: isImport,
	}
}

// Tally is what one cell counts.
type Tally struct {
	N     [measures]int64
	Spans map[Bucket]int64 // durations; nil where there are none
}

// Bucket is one bucket of a histogram.
type Bucket struct {
	What Span
	No   int16
}

func (t *Tally) span(what Span, ms, n int64) {
	if t.Spans == nil {
		t.Spans = map[Bucket]int64{}
	}
	t.Spans[Bucket{what, HistogramBucket(ms)}] += n
}

// Add adds another tally n times.
func (t *Tally) Add(other *Tally, n int64) {
	for m, v := range other.N {
		t.N[m] += n * v
	}
	for b, v := range other.Spans {
		if t.Spans == nil {
			t.Spans = make(map[Bucket]int64, len(other.Spans))
		}
		t.Spans[b] += n * v
	}
}

// Counts are differences: what rows that are new or changed count, less what
// they counted before.
type Counts map[Cell]*Tally

func (c Counts) in(cell Cell) *Tally {
	t := c[cell]
	if t == nil {
		t = &Tally{}
		c[cell] = t
	}
	return t
}

// Add adds other counts n times; n may be -1.
func (c Counts) Add(other Counts, n int64) {
	for cell, tally := range other {
		c.in(cell).Add(tally, n)
	}
}

// CountCopy counts a later copy of an event, which counts for nothing else.
func (c Counts) CountCopy(f *events.Stored) {
	s := Session{app: f.AppID}
	c.in(s.cell(f.HappenedAt(), described(&f.Event), f.Import)).N[Copies]++
}

// What counts as late and as a wrong clock (metric 26), and the code of a
// LogoutFailed that is the caller's mistake (metric 14).
const (
	lateAfter   = time.Minute
	skewedAfter = 5_000 // ms
	unknownRoom = 1002002
)

// tally is what a cell counts. Events that follow each other are mostly of one
// cell, and looking at the one before is cheaper than looking it up.
func (s *Session) tally(cell Cell) *Tally {
	if s.lastTally == nil || s.lastCell != cell {
		s.lastCell, s.lastTally = cell, s.out.Counts.in(cell)
	}
	return s.lastTally
}

// countEvent counts an event that has just been applied, by what it says itself.
func (s *Session) countEvent(f *events.Stored, m Mark) {
	happened := f.HappenedAt()
	t := s.tally(s.cell(happened, described(&f.Event).or(s.Last), f.Import))
	t.N[Events]++
	count := func(m Measure, is bool) {
		if is {
			t.N[m]++
		}
	}
	count(LateEvents, f.ReceivedAt.Sub(happened) > lateAfter)
	count(SkewedEvents, f.HasClockOff && (f.ClockOffsetMS > skewedAfter || f.ClockOffsetMS < -skewedAfter))
	if !f.IsState() {
		return
	}
	t.N[stateMeasures[f.Reason]]++
	count(Logouts, s.PreviousEnd && f.Reason == events.Logout)
	count(LogoutUnknownRoom, f.Reason == events.LogoutFailed && f.ErrorCode == unknownRoom)
	count(ImpossibleEvents, m.Transition == room.Impossible)
}

var stateMeasures = map[events.Reason]Measure{
	events.Logining: StateLogining, events.Logined: StateLogined, events.LoginFailed: StateLoginFailed,
	events.Reconnecting: StateReconnecting, events.Reconnected: StateReconnected, events.ReconnectFailed: StateReconnectFailed,
	events.KickOut: StateKickOut, events.Logout: StateLogout, events.LogoutFailed: StateLogoutFailed,
}

// Classes of a login's length, and from when on it is worth judging (metrics 6
// and 17), in milliseconds of being connected or reconnecting.
const (
	shortBelow  = 300_000
	mediumBelow = 1_800_000
)

// fastWithin and loginWithin are the thresholds of metrics 8 and 2.
const (
	fastWithin  = 10_000
	loginWithin = 5_000
)

var endMeasures = map[string]Measure{
	"Logout": EndedLogout, "LoginFailed": EndedLoginFailed, "ReconnectFailed": EndedReconnectFailed,
	"KickOut": EndedKickOut, "superseded": EndedSuperseded,
}

// countLogin counts a login n times; n is -1 to take off what it counted.
func (s *Session) countLogin(l *Login, n int64) {
	t := s.tally(s.cell(l.FirstAt, l.Described, l.IsImport))
	count := func(m Measure, is bool) {
		if is {
			t.N[m] += n
		}
	}
	isAttempt, isIn := !l.LoginStartedAt.IsZero(), !l.LoginedAt.IsZero()
	t.N[Logins] += n
	count(Attempts, isAttempt)
	if isAttempt {
		failed := !isIn && l.EndedBy == "LoginFailed"
		count(LoggedIn, isIn)
		count(LoggedIn5s, l.TimeToLoginMS.Known && l.TimeToLoginMS.N <= loginWithin)
		count(LoginFailed, failed)
		count(CallerFault, failed && l.CallerFault)
		count(LoginCancelled, !isIn && l.Ended() && !failed)
		if l.TimeToLoginMS.Known && l.Via == "switch" {
			t.span(TimeToSwitch, l.TimeToLoginMS.N, n)
		} else if l.TimeToLoginMS.Known {
			t.span(TimeToLogin, l.TimeToLoginMS.N, n)
		}
	}
	all, interrupted := LongLogins, LongInterrupted
	length := l.ConnectedMS + l.ReconnectingMS
	if length < shortBelow {
		all, interrupted = ShortLogins, ShortInterrupted
	} else if length < mediumBelow {
		all, interrupted = MediumLogins, MediumInterrupted
	}
	t.N[all] += n
	count(interrupted, l.Interruptions > 0)
	t.N[LoginInterruptions] += n * int64(l.Interruptions)
	t.N[ConnectedMS] += n * l.ConnectedMS
	t.N[ReconnectingMS] += n * l.CappedReconnectingMS
	count(Flapping, l.IsFlapping)
	t.N[SeenEvents] += n * l.SeenEvents
	t.N[MissingEvents] += n * l.MissingEvents
	if !l.Ended() {
		return
	}
	t.N[endMeasures[l.EndedBy]] += n
	known := isAttempt || isIn // else it may have begun long before
	count(Exits, known)
	count(CleanExits, known && l.EndedBy == "Logout")
	count(Lasting, known && length >= shortBelow)
	count(CleanLasting, known && length >= shortBelow && l.Interruptions == 0 && l.EndedBy == "Logout")
}

var kickMeasures = map[string]Measure{
	"duplicate_login": KickedDuplicateLogin, "backend": KickedBackend, "token_expired": KickedTokenExpired,
	"session_exception": KickedSessionException, "unknown": KickedUnknown,
}

var outcomeMeasures = map[string]Measure{
	"reconnected": Reconnected, "reconnect_failed": ReconnectFailed, "kicked": InterruptionKicked,
	"logged_out": InterruptionLoggedOut, "login_failed": InterruptionLoginFailed, "superseded": InterruptionSuperseded,
}

// countInterruption counts an interruption n times.
func (s *Session) countInterruption(r *Interruption, n int64) {
	t := s.tally(s.cell(r.StartedAt, r.Described, r.IsImport))
	t.N[Interruptions] += n
	if r.Outcome == "" {
		return
	}
	count := func(m Measure, is bool) {
		if is {
			t.N[m] += n
		}
	}
	ms := r.DurationMS.N
	isBack := r.Outcome == "reconnected"
	t.N[outcomeMeasures[r.Outcome]] += n
	count(RecoveredFast, isBack && ms <= fastWithin)
	count(RecoveredInvisible, isBack && ms < r.HeartbeatTimeoutMS)
	count(TimedOut, ms >= r.HeartbeatTimeoutMS)
	count(Ambiguous, ms >= 85_000 && ms <= 100_000)
	if isBack {
		t.span(Reconnect, ms, n)
	}
}

// countRows counts what an Append has changed: the login and the interruption
// that were open before it are known as they were told last.
func (s *Session) countRows(login Login, open *Interruption) {
	logins := map[int]*Login{}
	for i := range s.out.Logins {
		l := &s.out.Logins[i]
		logins[l.No] = l
		if l.No == login.No {
			s.countLogin(&login, -1)
		}
		s.countLogin(l, 1)
	}
	for i := range s.out.Interruptions {
		r := &s.out.Interruptions[i]
		if open != nil && open.LoginNo == r.LoginNo && open.No == r.No {
			s.countInterruption(open, -1)
		}
		s.countInterruption(r, 1)
	}
	for _, k := range s.out.Kicks { // the login that it ended is among those that changed
		l := logins[k.LoginNo]
		s.tally(s.cell(l.FirstAt, l.Described, l.IsImport)).N[kickMeasures[k.Reason]]++
	}
}

package projections

import (
	"fmt"
	"sort"

	"roomtrail/events"
	"roomtrail/room"
)

// Session folds the events of one session in the order of their seq. The
// zero value is not ready: use Start. Its exported fields are its saved form.
type Session struct {
	MaxSeq int64 // highest seq folded; -1 at the start
	Facts  int   // messages folded, copies included

	Previous    events.Reason // of the state event before
	PreviousEnd bool          // that event ended the login

	Login     Login // the current or last one; No is 0 before the first
	Last      Described
	LoginAt   instant // of its first event
	StartAt   instant // of its Logining, where it has one
	LastAt    instant // of its event with the highest seq
	Connected bool
	Since     instant // where Connected: since when
	ClosedMS  int64   // closed connected stretches of the login

	Interrupted  bool
	Interruption Interruption // the open one, where Interrupted
	BrokenAt     instant
	Broken       [2]instant // the onsets before it in the login

	app            string
	profiles       Profiles
	out            *Rows
	lastCell       Cell // that was counted in
	lastTally      *Tally
	loginChanged   bool
	interruptedNow bool
}

// Start is a session without events.
func Start() *Session { return &Session{MaxSeq: -1, Previous: events.NoReason} }

// Fold folds a whole set, in any order, into its rows and its state.
func Fold(profiles Profiles, facts []events.Stored) (*Session, Rows) {
	s := Start()
	return s, s.Append(profiles, facts)
}

// Appends says whether the facts all come after what is folded, so that
// Append gives what a fold of the whole set would.
func (s *Session) Appends(facts []events.Stored) bool {
	for i := range facts {
		if facts[i].Seq <= s.MaxSeq {
			return false
		}
	}
	return true
}

// Append folds facts whose seq is above all that were folded before (see
// Appends) and returns the rows that are new or changed. It sorts the facts.
func (s *Session) Append(profiles Profiles, facts []events.Stored) Rows {
	inOrder := func(i, j int) bool {
		if facts[i].Seq != facts[j].Seq {
			return facts[i].Seq < facts[j].Seq
		}
		return facts[i].Ref.Before(facts[j].Ref)
	}
	if !sort.SliceIsSorted(facts, inOrder) {
		sort.Slice(facts, inOrder)
	}
	out := Rows{Counts: Counts{}}
	s.out, s.profiles = &out, profiles
	told := s.Login // as it was told last
	var open *Interruption
	if s.Interrupted {
		was := s.Interruption
		open = &was
	}
	if len(facts) > 0 {
		s.app = facts[0].AppID
	}
	for i := 0; i < len(facts); {
		s.step(&facts[i])
		first := i
		conflict := false
		for i++; i < len(facts) && facts[i].Seq == facts[first].Seq; i++ {
			s.copy(&facts[first], &facts[i], &conflict)
		}
	}
	if s.Login.No > 0 && s.loginChanged {
		s.emitLogin()
	}
	if s.Interrupted && s.interruptedNow {
		out.Interruptions = append(out.Interruptions, s.Interruption)
	}
	s.interruptedNow = false
	s.countRows(told, open)
	s.out, s.profiles, s.lastTally = nil, nil, nil
	return out
}

// copy takes a later copy of an identity: it counts for nothing, and where it
// says something else, the first that does is an anomaly (contract 4.1).
func (s *Session) copy(first, later *events.Stored, conflict *bool) {
	s.Facts++
	s.out.Marks = append(s.out.Marks, Mark{Ref: later.Ref, IsCopy: true, Previous: events.NoReason})
	s.out.Counts.CountCopy(later)
	if *conflict {
		return
	}
	if field := later.Differs(&first.Event); field != "" {
		*conflict = true
		s.anomaly(later, "conflicting_duplicate", field+" differs from the copy that was stored first, which counts")
	}
}

// step takes the next event in order of seq.
func (s *Session) step(f *events.Stored) {
	s.Facts++
	gap := int64(0)
	if s.MaxSeq >= 0 && f.Seq > s.MaxSeq+1 {
		gap = f.Seq - s.MaxSeq - 1
		s.anomaly(f, "missing_seq", fmt.Sprintf("%d missing between seq %d and %d", gap, s.MaxSeq, f.Seq))
	}
	mark := Mark{Ref: f.Ref, Previous: events.NoReason}
	if f.IsState() {
		mark.Previous = s.Previous
		mark.Transition = room.Rate(s.Previous, f.Reason)
		s.judge(f, mark.Transition)
		s.state(f, gap)
		s.Previous = f.Reason
	} else if s.Login.No > 0 && !s.Login.Ended() {
		s.touch(f, gap)
	}
	s.MaxSeq = f.Seq
	s.out.Marks = append(s.out.Marks, mark)
	s.countEvent(f, mark)
}

// judge lists what an event breaks by its state and its code (contract 4.7).
func (s *Session) judge(f *events.Stored, r room.Rating) {
	ended := s.Login.No > 0 && s.Login.Ended()
	rest := f.Reason == events.Logout && s.PreviousEnd && s.Previous != events.Logout
	switch {
	case ended && f.Reason != events.Logining && !rest:
		s.anomaly(f, "event_after_end", fmt.Sprintf("%s after the login ended by %s", f.Reason, s.Login.EndedBy))
	case f.Reason == s.Previous && f.Reason != events.LogoutFailed:
		s.anomaly(f, "repeated_state", fmt.Sprintf("%s again", f.Reason))
	case r == room.Impossible:
		s.anomaly(f, "impossible_transition", fmt.Sprintf("%s to %s", s.Previous, f.Reason))
	}
	if s.Login.No == 0 && f.Reason != events.Logining {
		s.anomaly(f, "missing_login", fmt.Sprintf("the session begins with %s", f.Reason))
	}
	switch events.JudgeCode(f.Family, f.Reason, f.ErrorCode) {
	case events.CodeUnknown:
		s.anomaly(f, "unknown_code", fmt.Sprintf("%d is in no list of the %s family", f.ErrorCode, f.Family))
	case events.CodeUnexpected:
		s.anomaly(f, "unexpected_code", fmt.Sprintf("%d is not expected with %s", f.ErrorCode, f.Reason))
	}
}

// state applies a state event to the login it belongs to (contract 4.3 to 4.6).
func (s *Session) state(f *events.Stored, gap int64) {
	open := s.Login.No > 0 && !s.Login.Ended()
	s.PreviousEnd = false
	wentBack := false
	switch {
	case s.Login.No == 0:
		s.begin(f)
	case f.Reason == events.Logining && !open:
		s.begin(f)
	case f.Reason == events.Logining && s.Login.State != events.Logining:
		wentBack = s.end(f, "superseded", Maybe{})
		s.begin(f)
	case !open:
		return // changes no column
	default:
		s.touch(f, gap)
	}
	if s.apply(f) {
		wentBack = true
	}
	if wentBack {
		s.anomaly(f, "clock_went_back", "a duration that ends here is negative and counts as 0")
	}
}

// apply moves the open login by one state and says whether a clock went back.
func (s *Session) apply(f *events.Stored) (wentBack bool) {
	l := &s.Login
	l.State, l.LastStateAt = f.Reason, f.HappenedAt()
	switch f.Reason {
	case events.Logined:
		if l.LoginedAt.IsZero() {
			l.LoginedAt = f.HappenedAt()
			if !l.LoginStartedAt.IsZero() {
				ms, back := since(s.StartAt, at(&f.Event))
				l.TimeToLoginMS, wentBack = known(ms), back
			}
		}
		s.connect(f)
	case events.Reconnecting:
		wentBack = s.disconnect(f)
		if !s.Interrupted {
			s.interrupt(f)
		}
	case events.Reconnected:
		wentBack = s.close(f, "reconnected", known(f.ErrorCode))
		s.connect(f)
	case events.LoginFailed, events.ReconnectFailed, events.KickOut, events.Logout:
		if f.Reason == events.KickOut {
			s.kick(f)
		}
		wentBack = s.end(f, f.Reason.String(), known(f.ErrorCode))
		s.PreviousEnd = true
	}
	return wentBack
}

// begin starts the next login with its first state event (contract 4.3).
func (s *Session) begin(f *events.Stored) {
	if s.Login.No > 0 && s.loginChanged {
		s.emitLogin()
	}
	happened := f.HappenedAt()
	s.Login = Login{
		No: s.Login.No + 1, FirstAt: happened, IsImport: f.Import,
		FirstReceivedAt: f.ReceivedAt, LastReceivedAt: f.ReceivedAt,
		Limits: s.profiles.At(f.AppID, f.Family, f.Platform, happened),
	}
	s.Last, s.StartAt, s.LoginAt, s.ClosedMS, s.Connected = Described{}, instant{}, at(&f.Event), 0, false
	if f.Reason == events.Logining {
		s.Login.LoginStartedAt, s.StartAt = happened, at(&f.Event)
	}
	s.touch(f, 0)
}

// touch notes what any event of a login tells of it, whatever its kind.
func (s *Session) touch(f *events.Stored, gap int64) {
	s.loginChanged = true
	l := &s.Login
	l.MissingEvents += gap
	l.SeenEvents++
	l.LastSeq = f.Seq
	l.LastEventAt = f.HappenedAt()
	if f.ReceivedAt.Before(l.FirstReceivedAt) {
		l.FirstReceivedAt = f.ReceivedAt
	}
	if f.ReceivedAt.After(l.LastReceivedAt) {
		l.LastReceivedAt = f.ReceivedAt
	}
	if f.Kind == events.Alive && l.LastEventAt.After(l.LastAliveAt) {
		l.LastAliveAt = l.LastEventAt
	}
	if f.Kind == events.App {
		l.ClosingSaid = f.Why == "closing"
	}
	s.LastAt = at(&f.Event)
	d := described(&f.Event)
	l.Described = l.Described.or(d)
	s.Last = d.or(s.Last)
	first(&l.OS, f.OS)
	first(&l.Via, f.Via)
	first(&l.RoomSessionID, f.RoomSessionID)
	if l.RoomSessionID == "" && f.Reason == events.Logined {
		// The native SDKs say it there (domain of the callback's extended data).
		l.RoomSessionID, _ = f.ExtendedText("room_session_id")
	}
}

// connect starts a connected stretch unless one runs (contract 4.4).
func (s *Session) connect(f *events.Stored) {
	if !s.Connected {
		s.Connected, s.Since = true, at(&f.Event)
	}
}

// disconnect closes the connected stretch, if one runs.
func (s *Session) disconnect(f *events.Stored) (wentBack bool) {
	if !s.Connected {
		return false
	}
	ms, wentBack := since(s.Since, at(&f.Event))
	s.ClosedMS += ms
	s.Connected = false
	return wentBack
}

// A login flaps that is interrupted three times within five minutes (metric 20).
const (
	flaps      = 3
	flapWithin = 300_000
)

// interrupt opens an interruption (contract 4.5).
func (s *Session) interrupt(f *events.Stored) {
	s.Login.Interruptions++
	started := f.HappenedAt()
	limits := s.profiles.At(f.AppID, f.Family, f.Platform, started)
	if f.RetryWindowMS > 0 {
		limits.RetryWindowMS = f.RetryWindowMS
	}
	s.Interrupted, s.interruptedNow, s.BrokenAt = true, true, at(&f.Event)
	if s.Login.Interruptions >= flaps {
		ms, _ := since(s.Broken[0], s.BrokenAt)
		s.Login.IsFlapping = s.Login.IsFlapping || ms <= flapWithin
	}
	s.Broken[0], s.Broken[1] = s.Broken[1], s.BrokenAt
	s.Interruption = Interruption{
		LoginNo: s.Login.No, No: s.Login.Interruptions,
		Described: described(&f.Event).or(s.Last),
		StartedAt: started, StartReceivedAt: f.ReceivedAt, ErrorCode: f.ErrorCode, IsImport: f.Import,
		HeartbeatTimeoutMS: limits.HeartbeatTimeoutMS, RetryWindowMS: limits.RetryWindowMS,
	}
}

// close closes the open interruption, if there is one.
func (s *Session) close(f *events.Stored, outcome string, code Maybe) (wentBack bool) {
	if !s.Interrupted {
		return false
	}
	ms, wentBack := since(s.BrokenAt, at(&f.Event))
	i := &s.Interruption
	i.EndedAt, i.EndReceivedAt, i.Outcome = f.HappenedAt(), f.ReceivedAt, outcome
	i.DurationMS, i.EndErrorCode = known(ms), code
	s.Login.ReconnectingMS += ms
	s.Login.CappedReconnectingMS += min(ms, i.RetryWindowMS)
	s.out.Interruptions = append(s.out.Interruptions, *i)
	s.Interrupted, s.interruptedNow = false, false
	return wentBack
}

// outcomes are how an interruption closes when its login ends (contract 4.5).
var outcomes = map[string]string{
	"ReconnectFailed": "reconnect_failed", "KickOut": "kicked", "Logout": "logged_out",
	"LoginFailed": "login_failed", "superseded": "superseded",
}

// end ends the login (contract 4.6).
func (s *Session) end(f *events.Stored, by string, code Maybe) (wentBack bool) {
	back1 := s.disconnect(f)
	back2 := s.close(f, outcomes[by], code)
	l := &s.Login
	l.EndedAt, l.EndedBy, l.EndErrorCode = f.HappenedAt(), by, code
	if f.Reason == events.LoginFailed && by != "superseded" {
		l.LoginErrorCode = code
		c, _ := events.LookupCode(f.Family, f.ErrorCode)
		l.CallerFault = events.CallerFault(c.Category)
	}
	s.loginChanged = true
	return back1 || back2
}

// kick notes a login's end by KickOut.
func (s *Session) kick(f *events.Stored) {
	k := Kick{
		LoginNo: s.Login.No, KickedAt: f.HappenedAt(), ReceivedAt: f.ReceivedAt, ErrorCode: f.ErrorCode,
		Reason: events.KickReason(f.Family, f.ErrorCode), WhileReconnecting: s.Interrupted, IsImport: f.Import,
	}
	if k.Reason == "duplicate_login" {
		k.Attribution = "unknown" // needs the user's other sessions
	}
	k.SessionAgeMS, _ = since(s.LoginAt, at(&f.Event))
	k.Message, k.HasMessage = f.ExtendedText("custom_kickout_message")
	s.out.Kicks = append(s.out.Kicks, k)
}

// emitLogin yields the login as it stands. A stretch that is still open
// counts up to the login's last event (contract 4.4).
func (s *Session) emitLogin() {
	s.Login.ConnectedMS = s.ClosedMS
	if s.Connected {
		ms, _ := since(s.Since, s.LastAt)
		s.Login.ConnectedMS += ms
	}
	s.out.Logins = append(s.out.Logins, s.Login)
	s.loginChanged = false
}

func (s *Session) anomaly(f *events.Stored, kind, detail string) {
	sdk := f.SDKVersion
	if sdk == "" {
		sdk = s.Last.SDKVersion
	}
	s.out.Anomalies = append(s.out.Anomalies, Anomaly{
		Seq: f.Seq, Kind: kind, Ref: f.Ref, Detail: detail,
		Platform: f.Platform, SDKVersion: sdk, HappenedAt: f.HappenedAt(),
	})
}

package projections

import (
	"slices"
	"time"

	"roomtrail/events"
)

// UserLogins are the logins of one session for Returns, from its facts, in any
// order, copies included: those of its client, and what the monitor said of it.
//
// A victim had been silent (Loss.Silence) when its login ended
//
//   - inside an interruption,
//   - or, where its client numbers signs of life among its events, more than two
//     alive_every_ms after its last event,
//   - or while the monitor's last word of it was dark.
//
// Signs of life that are not numbered do not count: only the last of them is
// kept, so that who asks later would get another answer. Where numbers are
// missing since the last event before the end or, inside an interruption, since
// its beginning, they may have told otherwise, and the silence is unclear. So it
// is where the reporter says that it dropped some.
func UserLogins(profiles Profiles, setID int64, facts []events.Stored) []UserLogin {
	said, monitored := firstsInOrder(facts)
	w := walk{session: Start(), setID: setID, monitored: monitored}
	for i := range said {
		w.step(profiles, &said[i])
	}
	return w.out
}

// firstsInOrder parts a session's facts: the client's that count (contract 4.1)
// in the order of their numbers, and the monitor's.
func firstsInOrder(facts []events.Stored) (said, monitored []events.Stored) {
	for i := range facts {
		switch facts[i].Source {
		case events.FromClient:
			said = append(said, facts[i])
		case events.FromMonitor:
			monitored = append(monitored, facts[i])
		}
	}
	slices.SortFunc(said, func(a, b events.Stored) int {
		switch {
		case a.Seq < b.Seq, a.Seq == b.Seq && a.Ref.Before(b.Ref):
			return -1
		}
		return 1
	})
	return slices.CompactFunc(said, func(a, b events.Stored) bool { return a.Seq == b.Seq }), monitored
}

// walk goes through a session event by event, beside the fold, which says what
// each of them means.
type walk struct {
	session   *Session
	setID     int64
	monitored []events.Stored
	out       []UserLogin

	bootID   string    // the last that the login said
	speaks   bool      // the login has numbered signs of life
	lastAt   time.Time // happened_at of the login's event before
	isMissed bool      // what came since the event before, or since the interruption began, is not all known
}

// step folds one event and notes what it tells.
func (w *walk) step(profiles Profiles, f *events.Stored) {
	s := w.session
	missed := w.isMissed || s.MaxSeq >= 0 && f.Seq > s.MaxSeq+1
	wasNo, wasEnded, wasIn, brokenAt := s.Login.No, s.Login.Ended(), s.Interrupted, s.Interruption.StartedAt
	s.Append(profiles, []events.Stored{*f})
	if s.Login.No == 0 {
		return // of no login
	}
	if s.Login.No == wasNo && wasEnded { // it came in again, and the Logining is lost
		w.arrive(f, f.DeviceID, f.BootID, true)
		return
	}
	if s.Login.No > wasNo {
		w.out = append(w.out, UserLogin{SetID: w.setID, No: s.Login.No, Began: s.Login.FirstAt, clock: at(&f.Event)})
		w.bootID, w.speaks, w.lastAt = "", false, s.Login.FirstAt
		missed, wasIn = f.Reason != events.Logining, false
	}
	l := &w.out[len(w.out)-1]
	first(&f.BootID, w.bootID)
	w.bootID = f.BootID
	if s.Login.Ended() && (f.Reason == events.KickOut || f.Reason == events.ReconnectFailed) {
		l.Loss = w.loss(f, l, missed, wasIn, brokenAt)
	} else {
		w.arrive(f, s.Login.DeviceID, w.bootID, false)
	}
	w.lastAt = f.HappenedAt()
	w.speaks = w.speaks || f.Kind == events.Alive
	w.isMissed = f.Kind == events.Lost || missed && wasIn && s.Interrupted
}

// loss is the end of a login by f.
func (w *walk) loss(f *events.Stored, l *UserLogin, isMissed, wasIn bool, brokenAt time.Time) *Loss {
	out := &Loss{
		At: f.HappenedAt(), EndedBy: f.Reason.String(), DeviceID: w.session.Login.DeviceID, BootID: w.bootID, Seq: f.Seq,
		Slack: slack(&f.Event), QuietSince: w.lastAt, clock: at(&f.Event),
	}
	out.Silence = w.silence(out.At, wasIn, isMissed)
	if wasIn {
		out.QuietSince = brokenAt
	}
	if out.QuietSince.Before(l.Began) { // a clock was set back
		out.QuietSince = l.Began
	}
	if f.Reason == events.KickOut {
		out.KickReason = events.KickReason(f.Family, f.ErrorCode)
	}
	return out
}

// arrive notes a Logined or a Reconnected of the present login.
func (w *walk) arrive(f *events.Stored, device, boot string, isStray bool) {
	if f.Reason != events.Logined && f.Reason != events.Reconnected {
		return
	}
	l := &w.out[len(w.out)-1]
	l.Arrivals = append(l.Arrivals, Arrival{
		At: f.HappenedAt(), IsReturn: f.Reason == events.Reconnected, IsStray: isStray, DeviceID: device, BootID: boot, Seq: f.Seq,
		Slack: slack(&f.Event), clock: at(&f.Event),
	})
}

// correctedSlack is by how much a time may be off that was put right by when its
// report arrived: reports can be long on their way.
const correctedSlack = 2500 * time.Millisecond

// slack is by how much happened_at may be off, by what is known of the sender's
// clock (contract 4.2).
func slack(e *events.Event) time.Duration {
	switch {
	case !e.HasClockOff:
		return 0
	case !e.HappenedAt().Equal(e.OccurredAt):
		return correctedSlack
	}
	return (time.Duration(e.ClockOffsetMS) * time.Millisecond).Abs()
}

// silence judges a login that ends now; see UserLogins.
func (w *walk) silence(end time.Time, isInterrupted, isMissed bool) Silence {
	every := time.Duration(w.session.Login.AliveEveryMS) * time.Millisecond
	switch {
	case isMissed:
		return Unclear
	case isInterrupted, w.speaks && end.Sub(w.lastAt) > 2*every, w.isDark(end):
		return Silent
	}
	return Heard
}

// isDark says whether the monitor's last word before an instant was dark, and
// nothing came after it.
func (w *walk) isDark(end time.Time) bool {
	kind, at := events.Back, time.Time{}
	for i := range w.monitored {
		m := &w.monitored[i]
		if m.OccurredAt.After(end) || m.OccurredAt.Before(at) || m.OccurredAt.Equal(at) && m.Kind == events.Dark {
			continue
		}
		kind, at = m.Kind, m.OccurredAt
	}
	return kind == events.Dark && at.After(w.lastAt)
}

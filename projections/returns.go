package projections

import (
	"cmp"
	"slices"
	"time"
)

// UserLogin is one login of a user, in whatever room, as far as it tells who
// displaced whom and when the user was back.
type UserLogin struct {
	SetID    int64
	No       int
	Began    time.Time // happened_at of its first event
	Arrivals []Arrival
	Loss     *Loss // nil unless it ended by KickOut or ReconnectFailed

	clock instant // of its first event
}

// Arrival is a moment at which a client said that it had come in: each Logined
// and each Reconnected. Device and boot are what its login had said by then;
// empty is not said.
type Arrival struct {
	At               time.Time // happened_at
	IsReturn         bool      // Reconnected
	IsStray          bool      // said after the login's end: the Logining before it is lost
	DeviceID, BootID string
	Seq              int64
	Slack            time.Duration // by how much At may be off

	clock instant
}

// Loss is the end of a login against its user's will.
type Loss struct {
	At               time.Time // happened_at
	EndedBy          string    // KickOut or ReconnectFailed
	KickReason       string    // of a KickOut (contract 5)
	DeviceID, BootID string
	Seq              int64
	Slack            time.Duration // by how much At may be off
	Silence          Silence
	QuietSince       time.Time // of the last sign before the end, unless Silence is Heard

	clock instant
}

// Silence is whether a victim could be heard of when its login ended.
type Silence int

const (
	Heard   Silence = iota // nothing says that it was not there
	Silent                 // it had been silent
	Unclear                // messages are missing that would decide
)

// Return is what became of a user after a loss. Zero values are null.
type Return struct {
	SetID           int64
	LoginNo         int
	EndedAt         time.Time
	EndedBy         string
	BackAt          time.Time // happened_at of the next Logined
	ReloginAfterMS  Maybe
	Attribution     string // of a duplicate login (contract 5)
	DisplacedBySet  int64  // 0 where nobody is named
	DisplacedByNo   int
	displacerDevice string
	loss            *Loss
}

// Who displaced whom is looked for in a window around the kick, on our clock
// (contract 5).
const (
	displacedBefore = 10 * time.Second
	displacedAfter  = 2 * time.Second
)

// Two arrivals whose distances from a kick differ by less than this, and by what
// their times and that of the kick may be off, are about equally near: networks
// differ by as much.
const equallyNear = time.Second

// pingPongWithin is how close two kicks of a ping-pong lie.
const pingPongWithin = 5 * time.Minute

// Returns works out, for each login of one user in one app that ended by
// KickOut or ReconnectFailed, when the user was back and, where another login
// displaced it, which one and how. The logins are all of that user, in all
// rooms and sessions, in any order; what comes out depends on their set alone
// and is in the order of set and number.
//
// Nothing is said that another reading of the same facts could deny:
// attribution is unknown where two arrivals are about equally near, where the
// nearest cannot be the one (see arrivals.displacer), and where a device, a
// boot or a message that would decide is missing.
func Returns(logins []UserLogin) []Return {
	all := arrivalsOf(logins)
	var out []Return
	for i := range logins {
		l := &logins[i]
		if l.Loss == nil {
			continue
		}
		r := Return{SetID: l.SetID, LoginNo: l.No, EndedAt: l.Loss.At, EndedBy: l.Loss.EndedBy, loss: l.Loss}
		r.BackAt, r.ReloginAfterMS = all.back(l)
		if r.isDisplaced() {
			if by := all.displacer(l); by != nil {
				r.DisplacedBySet, r.DisplacedByNo, r.displacerDevice = by.of.SetID, by.of.No, by.DeviceID
				r.Attribution = attribute(l.Loss, by)
			} else {
				r.Attribution = "unknown"
			}
		}
		out = append(out, r)
	}
	pingPong(out)
	slices.SortFunc(out, func(a, b Return) int {
		return cmp.Or(cmp.Compare(a.SetID, b.SetID), cmp.Compare(a.LoginNo, b.LoginNo))
	})
	return out
}

func (r *Return) isDisplaced() bool {
	return r.loss.EndedBy == "KickOut" && r.loss.KickReason == "duplicate_login"
}

// attribute tells a kick by who displaced whom; ping_pong is found later, from
// all kicks together. "The victim had been silent": see Loss.Silence.
func attribute(victim *Loss, by *arrival) string {
	switch {
	case victim.DeviceID == "" || by.DeviceID == "":
		return "unknown"
	case victim.DeviceID != by.DeviceID:
		return "other_device"
	case victim.BootID != "" && victim.BootID == by.BootID || victim.Silence == Silent:
		return "self_ghost"
	case victim.BootID == "" || by.BootID == "" || victim.Silence == Unclear:
		return "unknown"
	}
	return "other_tab"
}

// pingPong finds the kicks of two devices that displaced each other, each the
// other at least once, within pingPongWithin: two kicks between them are twice.
// A kick that may be the other half and of which too little is known makes the
// first one unknown.
func pingPong(out []Return) {
	var kicks []*Return
	for i := range out {
		if r := &out[i]; r.isDisplaced() {
			kicks = append(kicks, r)
		}
	}
	slices.SortFunc(kicks, func(a, b *Return) int { return a.EndedAt.Compare(b.EndedAt) })
	found := make([]string, len(kicks))
	first := 0
	for i, k := range kicks {
		if k.Attribution != "other_device" {
			continue
		}
		for k.EndedAt.Sub(kicks[first].EndedAt) > pingPongWithin {
			first++
		}
		for j := first; j < len(kicks) && kicks[j].EndedAt.Sub(k.EndedAt) <= pingPongWithin; j++ {
			is, may := kicks[j].answers(k)
			if is {
				found[i] = "ping_pong"
				break
			}
			if may {
				found[i] = "unknown"
			}
		}
	}
	for i, k := range kicks {
		if found[i] != "" {
			k.Attribution = found[i]
		}
	}
}

// answers says whether o is the kick by which k's victim displaced k's
// displacer, and whether it may be.
func (r *Return) answers(k *Return) (is, may bool) {
	is = r.loss.DeviceID == k.displacerDevice && r.displacerDevice == k.loss.DeviceID
	may = (r.loss.DeviceID == k.displacerDevice || r.loss.DeviceID == "") && (r.displacerDevice == k.loss.DeviceID || r.displacerDevice == "")
	return is, may
}

// arrival is an Arrival with its login.
type arrival struct {
	*Arrival
	of *UserLogin
}

// arrivals are those of all logins of a user, in the order of time.
type arrivals []arrival

func arrivalsOf(logins []UserLogin) arrivals {
	var out arrivals
	for i := range logins {
		for j := range logins[i].Arrivals {
			out = append(out, arrival{&logins[i].Arrivals[j], &logins[i]})
		}
	}
	slices.SortFunc(out, func(a, b arrival) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.of.SetID, b.of.SetID), cmp.Compare(a.Seq, b.Seq))
	})
	return out
}

// from is the place of the first arrival at or after an instant.
func (as arrivals) from(at time.Time) int {
	i, _ := slices.BinarySearchFunc(as, at, func(a arrival, at time.Time) int { return a.At.Compare(at) })
	return i
}

// back is when the user came in anew after a loss: the next Logined, in
// whatever room and session, by how long after: by the clock of one boot where
// both were said in it, else by ours, since what two devices or a device of
// which the clock was set call the time cannot be compared (contract 4.2 tells of
// one sender).
func (as arrivals) back(l *UserLogin) (at time.Time, after Maybe) {
	loss := l.Loss
	for i := as.from(loss.At); i < len(as); i++ {
		a := as[i]
		if !at.IsZero() && a.At.After(at) {
			break
		}
		if a.IsReturn || !a.At.After(loss.At) || a.of.SetID == l.SetID && a.Seq < loss.Seq {
			continue
		}
		ms := a.At.Sub(loss.At).Milliseconds()
		if a.clock.isOfBoot(loss.clock) {
			var isBefore bool
			if ms, isBefore = since(loss.clock, a.clock); isBefore {
				continue
			}
		}
		if at.IsZero() || ms < after.N { // of two at one instant
			at, after = a.At, known(ms)
		}
	}
	return at, after
}

// displacer is the other session's arrival that lies nearest to the kick within
// the window, nil where that would be a guess:
//
//   - another login's arrival is about equally near
//   - it is of a login of which nothing else is known (IsStray)
//   - the victim itself came in after it, and so had displaced it
//   - it is the same device's, whose clock says that its login began after the
//     kick: the user's way back
//   - the victim had not been heard of for a while, its seat may have been taken
//     at any moment since, and another session came in meanwhile
func (as arrivals) displacer(l *UserLogin) *arrival {
	kick := l.Loss.At
	from, to := kick.Add(-displacedBefore), kick.Add(displacedAfter)
	quiet := from
	if q := l.Loss.QuietSince.Add(-displacedBefore); l.Loss.Silence != Heard && q.Before(quiet) {
		quiet = q
	}
	var nearest *arrival
	var isSure bool      // it can have done it, and no other that is as near can not
	var could []*arrival // have done it, by what they say
	for i := as.from(quiet); i < len(as) && !as[i].At.After(to); i++ {
		a := &as[i]
		if a.of.SetID == l.SetID {
			continue
		}
		can := a.could(l)
		if can {
			could = append(could, a)
		}
		if a.At.Before(from) {
			continue
		}
		if nearest == nil || a.apart(kick) < nearest.apart(kick) || !can && a.apart(kick) == nearest.apart(kick) {
			nearest, isSure = a, can
		}
	}
	if nearest == nil || !isSure {
		return nil
	}
	for _, a := range could {
		isOther := a.of != nearest.of
		if isOther && a.apart(kick)-nearest.apart(kick) < equallyNear+2*l.Loss.Slack+nearest.Slack+a.Slack ||
			isOther && l.Loss.Silence != Heard && a.At.Before(nearest.At) {
			return nil
		}
	}
	return nearest
}

func (a *arrival) apart(from time.Time) time.Duration { return a.At.Sub(from).Abs() }

// could says whether an arrival can have displaced a login.
func (a *arrival) could(l *UserLogin) bool {
	loss := l.Loss
	for i := range l.Arrivals {
		if own := l.Arrivals[i]; own.Seq < loss.Seq && own.At.After(a.At) {
			return false
		}
	}
	isWayBack := a.DeviceID != "" && a.DeviceID == loss.DeviceID && a.of.Began.After(loss.At)
	if a.of.clock.isOfBoot(loss.clock) {
		isWayBack = a.of.clock.MonoUS > loss.clock.MonoUS
	}
	return !isWayBack && !a.IsStray
}

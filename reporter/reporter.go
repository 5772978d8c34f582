// Package reporter stands beside the vendor's SDK and adds what its callback
// lacks: which session, a running number, when, who and where (contract 2). It
// keeps events until the intake has taken them.
//
// It promises: a session for each loginRoom or switchRoom, numbers from 0
// without a gap, and that an event is the same each time it is sent. What does
// not fit any more is dropped, the oldest first, and a lost event says how many
// those were.
//
// It refuses: clocks, randomness and sockets. Its owner says what time it is,
// sends what Waiting holds and says what has been taken.
package reporter

import (
	"encoding/json"
	"slices"
	"time"

	"roomtrail/events"
)

// Clock is what a device's clocks show: wall time, and a count that never goes
// back while the device runs.
type Clock struct {
	Wall      time.Time
	Monotonic time.Duration
}

// Config is what a reporter may be told.
type Config struct {
	// About is what all events say alike: app, user, platform, device, versions,
	// network. Family follows from the platform where it is empty.
	About events.Event
	// NewID names a session; it must never give the same name twice.
	NewID func() string
	// Limit is how many events wait at most; zero is 1 000.
	Limit int
}

const limit = 1000

// Reporter is the reporter of one running SDK.
type Reporter struct {
	config   Config
	sessions map[string]*session // the last one of each room
	waiting  []events.Event
}

type session struct {
	id   string
	next int64 // seq
}

// New returns a reporter that has nothing to say yet.
func New(c Config) *Reporter {
	if c.Limit == 0 {
		c.Limit = limit
	}
	if platform, family := events.NormalizePlatform(c.About.Platform); c.About.Family == "" {
		c.About.Platform, c.About.Family = platform, family
	}
	return &Reporter{config: c, sessions: map[string]*session{}}
}

// Move changes what the next events say of the network.
func (r *Reporter) Move(network, carrier, region string) {
	r.config.About.Network, r.config.About.Carrier, r.config.About.Region = network, carrier, region
}

// State takes one roomStateChanged. Via is login or switch on Logining, which
// begins a session; so does anything else in a room that has none. The event
// is returned as it will be sent.
func (r *Reporter) State(now Clock, room string, reason events.Reason, code int64, extended, via string) events.Event {
	if _, ok := r.sessions[room]; !ok || reason == events.Logining {
		r.sessions[room] = &session{id: r.config.NewID()}
	}
	e := r.event(now, room, events.State)
	e.Reason, e.ErrorCode, e.Via, e.ExtendedData = reason, code, via, r.extended(extended)
	return r.keep(e)
}

// Peer takes one roomUserUpdate about one user; update is ADD or DELETE.
func (r *Reporter) Peer(now Clock, room, update, user string) (events.Event, bool) {
	if _, ok := r.sessions[room]; !ok {
		return events.Event{}, false
	}
	e := r.event(now, room, events.Peer)
	e.Update, e.PeerUserID = update, user
	return r.keep(e), true
}

// App says of one room that the application was hidden, shown (visible) or is
// closing.
func (r *Reporter) App(now Clock, room, why string) (events.Event, bool) {
	if _, ok := r.sessions[room]; !ok {
		return events.Event{}, false
	}
	e := r.event(now, room, events.App)
	e.Why = why
	return r.keep(e), true
}

// Waiting is what the intake has not taken yet, oldest first. The slice is
// valid until the next call.
func (r *Reporter) Waiting() []events.Event { return r.waiting }

// Taken forgets what the intake has taken: all up to the last of what was sent,
// as far as it still waits; the oldest may have been dropped meanwhile.
func (r *Reporter) Taken(sent []events.Event) {
	if len(sent) == 0 {
		return
	}
	session, seq := sent[len(sent)-1].SessionID, sent[len(sent)-1].Seq
	r.forget(1 + slices.IndexFunc(r.waiting, func(e events.Event) bool { return e.SessionID == session && e.Seq == seq }))
}

func (r *Reporter) forget(n int) {
	left := copy(r.waiting, r.waiting[n:])
	clear(r.waiting[left:])
	r.waiting = r.waiting[:left]
}

func (r *Reporter) event(now Clock, room string, kind events.Kind) events.Event {
	s := r.sessions[room]
	e := r.config.About
	e.RoomID, e.SessionID, e.Seq, e.Kind, e.Reason = room, s.id, s.next, kind, events.NoReason
	e.OccurredAt = now.Wall.UTC().Truncate(time.Microsecond)
	e.MonotonicMS, e.HasMonotonic = float64(now.Monotonic.Microseconds())/1000, true
	s.next++
	return e
}

func (r *Reporter) keep(e events.Event) events.Event {
	r.waiting = append(r.waiting, e)
	if len(r.waiting) > r.config.Limit {
		r.shed(e)
	}
	return e
}

// shed drops the older half, and says of each session how many that were: the
// numbers show a gap, and the lost event why.
func (r *Reporter) shed(last events.Event) {
	n := len(r.waiting) / 2
	counts := map[string]int64{}
	var rooms []string
	for i := range n {
		e := &r.waiting[i]
		if s := r.sessions[e.RoomID]; s.id != e.SessionID {
			continue // a session that is over: nothing can follow in it
		}
		if counts[e.RoomID]++; counts[e.RoomID] == 1 {
			rooms = append(rooms, e.RoomID)
		}
	}
	r.forget(n)
	for _, room := range rooms {
		e := r.event(Clock{last.OccurredAt, time.Duration(last.MonotonicMS * float64(time.Millisecond))}, room, events.Lost)
		e.Count, e.Why = counts[room], "buffer_full"
		r.waiting = append(r.waiting, e)
	}
}

// extended is extended data as the SDK of the family hands it over: text on
// web, an object elsewhere.
func (r *Reporter) extended(text string) []byte {
	if r.config.About.Family != events.Web && json.Valid([]byte(text)) {
		return []byte(text)
	}
	b, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string always encodes
	}
	return b
}

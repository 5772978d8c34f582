package main

import (
	"encoding/binary"
	"fmt"
	"math/rand"
	"time"

	"roomtrail/events"
)

// Shape of the log that is drained.
const (
	liveSessions   = 2000
	shortest       = 4 // events in a session
	longest        = 40
	duplicateShare = 0.01
	lateShare      = 0.01
	latest         = 20_000 // events that may pass before a late one arrives
	// With so many live sessions it gives each an event about every 30 s.
	tick = 15 * time.Millisecond
)

// workload makes a realistic log: sessions that interleave, with interruptions
// and proofs of life, and events that come twice or late.
type workload struct {
	rand   *rand.Rand
	now    time.Time
	n      int // events given
	made   int // sessions begun
	live   []*session
	late   []lateEvent
	recent [512]events.Event
}

type lateEvent struct {
	event events.Event
	due   int
}

// session is one stay of one user, up to its end.
type session struct {
	first  events.Event // what all its events say alike
	length int
	seq    int
	broken bool
	over   bool
}

// newWorkload is the same for the same n, but for the day: it ends at now.
func newWorkload(now time.Time, n int) *workload {
	w := &workload{rand: rand.New(rand.NewSource(1)), now: now.UTC().Truncate(time.Millisecond).Add(-time.Duration(n) * tick)}
	for range liveSessions {
		w.live = append(w.live, w.begin())
	}
	return w
}

// next is the next event as the door would append it.
func (w *workload) next() events.Event {
	w.now = w.now.Add(tick)
	w.n++
	e := w.choose()
	e.ReceivedAt = w.now
	binary.LittleEndian.PutUint64(e.Salt[:], w.rand.Uint64())
	binary.LittleEndian.PutUint64(e.Salt[8:], w.rand.Uint64())
	w.recent[w.n%len(w.recent)] = e
	return e
}

// choose takes an event that is due, one that was there, or a new one.
func (w *workload) choose() events.Event {
	if len(w.late) > 0 && w.late[0].due <= w.n {
		e := w.late[0].event
		w.late = w.late[1:]
		return e
	}
	if again := &w.recent[w.rand.Intn(len(w.recent))]; again.AppID != "" && w.rand.Float64() < duplicateShare {
		return *again
	}
	for {
		i := w.rand.Intn(len(w.live))
		e := w.live[i].next(w.rand, w.now)
		if w.live[i].over {
			w.live[i] = w.begin()
		}
		if w.rand.Float64() >= lateShare {
			return e
		}
		w.late = append(w.late, lateEvent{e, w.n + 1 + w.rand.Intn(latest)})
	}
}

var (
	benchPlatforms = [...]string{"web", "web", "web", "android", "ios"}
	benchNetworks  = [...]string{"wifi", "wifi", "cellular", "ethernet"}
	benchRegions   = [...]string{"eu-west", "us-east", "ap-south"}
)

func (w *workload) begin() *session {
	w.made++
	n := w.made
	platform, family := events.NormalizePlatform(benchPlatforms[n%len(benchPlatforms)])
	return &session{
		length: shortest + w.rand.Intn(longest-shortest+1),
		first: events.Event{
			AppID: appID, RoomID: fmt.Sprintf("room-%04d", n%500), UserID: fmt.Sprintf("user-%06d", n/2),
			SessionID: fmt.Sprintf("%06x-%08x", n, w.rand.Uint32()), BootID: fmt.Sprintf("b%07x", n), HasMonotonic: true,
			Platform: platform, Family: family, SDKVersion: "3.12.0", AppVersion: "2.4.1", OS: "Windows 10",
			Network: benchNetworks[n%len(benchNetworks)], Region: benchRegions[n%len(benchRegions)],
			HasClockOff: true, ClockOffsetMS: 40, Source: events.FromClient, Trust: events.TrustPublic,
		},
	}
}

// next is the session's next event: Logining, Logined, proofs of life and
// interruptions, and an end, which one in fifteen owes.
func (s *session) next(r *rand.Rand, now time.Time) events.Event {
	e := s.first
	e.Seq, e.OccurredAt, e.MonotonicMS = int64(s.seq), now.Add(-40*time.Millisecond), float64(now.UnixMilli()%10_000_000)
	e.Kind, e.Reason = events.State, events.NoReason
	last := s.seq == s.length-1
	switch p := r.Float64(); {
	case s.seq == 0:
		e.Reason = events.Logining
	case s.seq == 1:
		e.Reason = events.Logined
	case s.broken && p < 0.9 && !last:
		e.Reason, s.broken = events.Reconnected, false
	case s.broken:
		e.Reason, e.ErrorCode, s.over = events.ReconnectFailed, 1002053, true
	case last && p < 0.9:
		e.Reason = events.Logout
	case last && p < 0.93:
		e.Reason, e.ErrorCode = events.KickOut, 1002055
	case !last && p < 0.08:
		e.Reason, e.ErrorCode, s.broken = events.Reconnecting, 1002051, true
	default:
		e.Kind = events.Alive
	}
	if e.IsState() {
		e.ExtendedData = []byte(`""`)
	}
	s.seq++
	s.over = s.over || last
	return e
}

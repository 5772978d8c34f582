package room

import (
	"time"

	"roomtrail/events"
)

// Profile is how a client behaves. Its zero value is the vendor's room
// connection status page for native SDKs.
type Profile struct {
	Family         events.Family // zero is native
	RetryWindow    time.Duration // W; zero is 5 min on web, 20 min on native
	HeartbeatEvery time.Duration // zero is 5 s
	AnswerTimeout  time.Duration // how long one try waits; zero is 10 s
	HoldBack       time.Duration // how late the first Reconnecting is said; zero is at once
	TimeoutCode    int64         // when W is over; zero is 1002053
	MultiRoom      bool          // the engine may be in several rooms
	Terminal       int           // the vendor's term_type, see the function of that name
	// ComputedBeats spares the driver each heartbeat: it tells the room Heard, up
	// to a time far ahead, and when the line breaks, up to LastBeat.
	ComputedBeats bool
}

// ObservedWeb is the web SDK as it was seen to run, where that differs from its
// page: Reconnecting 8 s late, and 1002031 at the end of W.
func ObservedWeb() Profile {
	return Profile{Family: events.Web, HoldBack: 8 * time.Second, TimeoutCode: codeLoginTimeout}
}

const (
	webWindow    = 5 * time.Minute
	nativeWindow = 20 * time.Minute
	// The signalling heartbeat of the web SDK. A user is then gone from the
	// room 85 to 90 s after the loss, as the page says ("about 90 s").
	heartbeatEvery = 5 * time.Second
	answerTimeout  = 10 * time.Second
)

// filled is the profile with its zeros replaced.
func (p Profile) filled() Profile {
	if p.Family == "" {
		p.Family = events.Native
	}
	if p.RetryWindow == 0 {
		p.RetryWindow = nativeWindow
		if p.Family == events.Web {
			p.RetryWindow = webWindow
		}
	}
	if p.HeartbeatEvery == 0 {
		p.HeartbeatEvery = heartbeatEvery
	}
	if p.AnswerTimeout == 0 {
		p.AnswerTimeout = answerTimeout
	}
	if p.TimeoutCode == 0 {
		p.TimeoutCode = codeRetryTimeout
	}
	return p
}

func (p *Profile) isWeb() bool { return p.Family == events.Web }

// Rules is how the rooms of one app behave. Its zero value is what the vendor
// documents for an app with nothing switched on.
type Rules struct {
	HeartbeatTimeout time.Duration // H; zero is 90 s
	// Check reads a token: when it ends (zero is never), or why it is no good
	// (TokenWrong, TokenExpired). Nil takes anything.
	Check        func(now time.Time, user, room, token string) (expires time.Time, why Cause)
	KickOnExpiry bool   // a switch on the vendor's side: whose token ends is kicked
	MultiRoom    bool   // a user may be in several rooms
	MaxRooms     int    // rooms of one user; zero is 5
	MaxMembers   int    // users of one room; zero is no limit
	UpdateLimit  int    // a room with more users tells nobody who comes and goes; zero is 500
	First        uint64 // the first room_seq and session_id are the next numbers
}

const (
	heartbeatTimeout = 90 * time.Second
	maxRooms         = 5
	updateLimit      = 500
)

func (r Rules) filled() Rules {
	if r.HeartbeatTimeout == 0 {
		r.HeartbeatTimeout = heartbeatTimeout
	}
	if r.MaxRooms == 0 {
		r.MaxRooms = maxRooms
	}
	if r.UpdateLimit == 0 {
		r.UpdateLimit = updateLimit
	}
	return r
}

// Back-off of a client's tries, as the web SDK has it: the first waits 1 to 4 s
// by chance, then 4 s doubled every second try up to 32 s.
const (
	firstWaitLeast = 1 * time.Second
	firstWaitMost  = 4 * time.Second
	longestWait    = 32 * time.Second
)

// wait is how long to wait after the n-th try that failed, counted from 0;
// chance decides the first.
func wait(n int, chance uint64) time.Duration {
	if n == 0 {
		spread := (firstWaitMost - firstWaitLeast).Milliseconds()
		return firstWaitLeast + time.Duration(chance%uint64(spread+1))*time.Millisecond
	}
	if n/2 > 3 { // also what keeps the shift from overflowing
		return longestWait
	}
	return min(firstWaitMost<<(n/2), longestWait)
}

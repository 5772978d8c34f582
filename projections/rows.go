package projections

import (
	"time"

	"roomtrail/events"
	"roomtrail/room"
)

// Maybe is a number that may be null.
type Maybe struct {
	N     int64
	Known bool
}

func known(n int64) Maybe { return Maybe{n, true} }

// Described are the columns that say where an event came from. Empty is null.
type Described struct {
	DeviceID, Platform, SDKVersion, AppVersion string
	Family                                     events.Family
	Network, Carrier, Region                   string
}

func described(e *events.Event) Described {
	return Described{
		DeviceID: e.DeviceID, Platform: e.Platform, Family: e.Family, SDKVersion: e.SDKVersion,
		AppVersion: e.AppVersion, Network: e.Network, Carrier: e.Carrier, Region: e.Region,
	}
}

// or fills what d does not say from o.
func (d Described) or(o Described) Described {
	first(&d.DeviceID, o.DeviceID)
	first(&d.Platform, o.Platform)
	first(&d.SDKVersion, o.SDKVersion)
	first(&d.AppVersion, o.AppVersion)
	first(&d.Network, o.Network)
	first(&d.Carrier, o.Carrier)
	first(&d.Region, o.Region)
	if d.Family == "" {
		d.Family = o.Family
	}
	return d
}

// first sets a column from the first event that carries it.
func first(dst *string, s string) {
	if *dst == "" {
		*dst = s
	}
}

// Login is one stay of one user in one room, from Logining to its end: a row
// of the view sessions. Zero times and empty strings are null; durations are
// whole milliseconds by contract 4.2.
type Login struct {
	No int
	Described
	OS, RoomSessionID, Via string

	FirstAt        time.Time // happened_at of its first event
	LoginStartedAt time.Time
	LoginedAt      time.Time
	TimeToLoginMS  Maybe
	LoginErrorCode Maybe
	CallerFault    bool

	EndedAt      time.Time
	EndedBy      string // an end reason, or superseded
	EndErrorCode Maybe

	State          events.Reason
	Interruptions  int
	ConnectedMS    int64
	ReconnectingMS int64
	// Each interruption capped at its W: what a user waits for at most.
	CappedReconnectingMS int64
	IsFlapping           bool
	SeenEvents           int64 // different numbers
	LastSeq              int64 // the highest
	LastEventAt          time.Time
	LastStateAt          time.Time // of its last state event
	LastAliveAt          time.Time
	ClosingSaid          bool // the app's last word was that it closes
	FirstReceivedAt      time.Time
	LastReceivedAt       time.Time
	MissingEvents        int64
	IsImport             bool

	Limits // those valid at FirstAt
}

// Ended says whether the login is over.
func (l *Login) Ended() bool { return l.EndedBy != "" }

// Interruption is one Reconnecting up to its outcome.
type Interruption struct {
	LoginNo, No int
	Described
	StartedAt       time.Time
	EndedAt         time.Time
	StartReceivedAt time.Time
	EndReceivedAt   time.Time
	Outcome         string // empty while open
	DurationMS      Maybe
	ErrorCode       int64
	EndErrorCode    Maybe
	IsImport        bool

	HeartbeatTimeoutMS, RetryWindowMS int64 // those valid at StartedAt
}

// Kick is a login ended by a KickOut; what else there is to say of it stands
// in its login.
type Kick struct {
	LoginNo           int
	KickedAt          time.Time
	ReceivedAt        time.Time
	ErrorCode         int64
	Reason            string
	Attribution       string
	SessionAgeMS      int64
	WhileReconnecting bool
	Message           string
	HasMessage        bool
	IsImport          bool
}

// Anomaly is a broken rule, on the event that broke it.
type Anomaly struct {
	Seq        int64
	Kind       string
	Ref        events.Ref
	Detail     string
	Platform   string
	SDKVersion string
	HappenedAt time.Time
}

// Mark is what the fold found of one message of the log.
type Mark struct {
	Ref        events.Ref
	IsCopy     bool // a later copy of its identity
	Previous   events.Reason
	Transition room.Rating // empty where it is no state event, or a copy
}

// Rows are what a fold yields.
type Rows struct {
	Logins        []Login
	Interruptions []Interruption
	Kicks         []Kick
	Anomalies     []Anomaly
	Marks         []Mark
	Counts        Counts // what these rows add to the counters
}

// Keys of rows within their session.
type (
	InterruptionKey struct{ LoginNo, No int }
	AnomalyKey      struct {
		Seq  int64
		Kind string
	}
)

// Gone are the keys of rows that a late event made disappear.
type Gone struct {
	Logins        []int
	Interruptions []InterruptionKey
	Kicks         []int
	Anomalies     []AnomalyKey
}

// Diff says which rows of after are new or changed, and which of before are
// gone. Both are complete rows of one session.
func Diff(before, after Rows) (Rows, Gone) {
	var changed Rows
	var gone Gone
	changed.Logins, gone.Logins = diff(before.Logins, after.Logins, func(r Login) int { return r.No })
	changed.Interruptions, gone.Interruptions = diff(before.Interruptions, after.Interruptions,
		func(r Interruption) InterruptionKey { return InterruptionKey{r.LoginNo, r.No} })
	changed.Kicks, gone.Kicks = diff(before.Kicks, after.Kicks, func(r Kick) int { return r.LoginNo })
	changed.Anomalies, gone.Anomalies = diff(before.Anomalies, after.Anomalies,
		func(r Anomaly) AnomalyKey { return AnomalyKey{r.Seq, r.Kind} })
	changed.Marks, _ = diff(before.Marks, after.Marks, func(r Mark) events.Ref { return r.Ref })
	return changed, gone
}

func diff[R, K comparable](before, after []R, key func(R) K) (changed []R, gone []K) {
	old := make(map[K]R, len(before))
	for _, r := range before {
		old[key(r)] = r
	}
	for _, r := range after {
		k := key(r)
		if was, ok := old[k]; !ok || was != r {
			changed = append(changed, r)
		}
		delete(old, k)
	}
	for _, r := range before {
		if _, ok := old[key(r)]; ok {
			gone = append(gone, key(r))
		}
	}
	return changed, gone
}

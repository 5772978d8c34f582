package projections

// Measure is one column of the counters.
type Measure int

// What is counted. Logins count at the time of their first event, interruptions
// at their Reconnecting, events when they happened; what is decided against now
// (open interruptions, pending logins) is in none of the closed counts.
const (
	Logins         Measure = iota
	Attempts               // logins with a Logining
	LoggedIn               // of those: with a Logined
	LoggedIn5s             // within 5 000 ms
	LoginFailed            // attempts that ended by LoginFailed without a Logined
	CallerFault            // of those: by the caller's fault
	LoginCancelled         // attempts that ended otherwise without a Logined

	ShortLogins // by connected and reconnecting time: under 5 min
	ShortInterrupted
	MediumLogins // under 30 min
	MediumInterrupted
	LongLogins
	LongInterrupted
	LoginInterruptions // of the logins counted here, whenever they began
	ConnectedMS
	ReconnectingMS // each interruption capped at its W
	Flapping       // three interruptions in 5 min

	EndedLogout
	EndedLoginFailed
	EndedReconnectFailed
	EndedKickOut
	EndedSuperseded
	Exits        // ended, with a Logining or Logined
	CleanExits   // of those: by Logout
	Lasting      // of those: 5 min and longer
	CleanLasting // of those: without interruption, by Logout
	KickedDuplicateLogin
	KickedBackend
	KickedTokenExpired
	KickedSessionException
	KickedUnknown
	SeenEvents
	MissingEvents

	Interruptions
	Reconnected
	ReconnectFailed
	InterruptionKicked
	InterruptionLoggedOut
	InterruptionLoginFailed
	InterruptionSuperseded
	RecoveredFast      // reconnected within 10 000 ms
	RecoveredInvisible // reconnected before H
	TimedOut           // closed, and open for H or longer
	Ambiguous          // closed, and open for 85 to 100 s

	Events // of clients, without copies
	StateLogining
	StateLogined
	StateLoginFailed
	StateReconnecting
	StateReconnected
	StateReconnectFailed
	StateKickOut
	StateLogout
	StateLogoutFailed
	Logouts           // that ended a login
	LogoutUnknownRoom // LogoutFailed because the room is unknown: a caller's mistake
	Copies
	LateEvents   // known more than 60 s after they happened
	SkewedEvents // by a clock more than 5 s off
	ImpossibleEvents

	measures
)

// MeasureColumns are the columns of the counters, in the order of the measures.
var MeasureColumns = [measures]string{
	"logins", "attempts", "logged_in", "logged_in_5s", "login_failed", "caller_fault", "login_cancelled",
	"short_logins", "short_interrupted", "medium_logins", "medium_interrupted", "long_logins", "long_interrupted",
	"login_interruptions", "connected_ms", "reconnecting_ms", "flapping",
	"ended_logout", "ended_login_failed", "ended_reconnect_failed", "ended_kick_out", "ended_superseded",
	"exits", "clean_exits", "lasting", "clean_lasting",
	"kicked_duplicate_login", "kicked_backend", "kicked_token_expired", "kicked_session_exception", "kicked_unknown",
	"seen_events", "missing_events",
	"interruptions", "reconnected", "reconnect_failed", "interruption_kicked", "interruption_logged_out",
	"interruption_login_failed", "interruption_superseded", "recovered_fast", "recovered_invisible", "timed_out", "ambiguous",
	"events", "state_logining", "state_logined", "state_login_failed", "state_reconnecting", "state_reconnected",
	"state_reconnect_failed", "state_kick_out", "state_logout", "state_logout_failed", "logouts", "logout_unknown_room",
	"copies", "late_events", "skewed_events", "impossible_events",
}

// Span is what a histogram counts.
type Span int16

// The spans, as the column what of the histograms has them.
const (
	TimeToLogin  Span = 1 // of logins by loginRoom
	TimeToSwitch Span = 2 // of logins by switchRoom
	Reconnect    Span = 3 // of interruptions that ended Reconnected
)

package query

// Parameters, in the order in which help lists them.
var (
	since      = Param{Name: "since", Doc: "start of the time range: " + wantTime}
	until      = Param{Name: "until", Doc: "end of the time range, spelled as since; now where it is absent"}
	app        = Param{Name: "app", Doc: "app_id"}
	room       = Param{Name: "room", Doc: "room_id"}
	user       = Param{Name: "user", Doc: "user_id"}
	session    = Param{Name: "session", Doc: "session_id, as the reporter made it"}
	platform   = Param{Name: "platform", Doc: "platform, as web or android"}
	sdkVersion = Param{Name: "sdk_version", Doc: "version of the vendor's SDK"}
	network    = Param{Name: "network", Doc: "wifi, cellular, ethernet, none or unknown"}
	carrier    = Param{Name: "carrier", Doc: "carrier"}
	region     = Param{Name: "region", Doc: "region"}
	limit      = Param{Name: "limit", Doc: "rows at most"}
)

// Filters, as SQL. A cast tells Postgres the type of an argument that is NULL.
const (
	whose = `
  AND (@app::text IS NULL OR app_id = @app)
  AND (@room::text IS NULL OR room_id = @room)
  AND (@user::text IS NULL OR user_id = @user)`
	bySession = `
  AND (@session::text IS NULL OR session_id = @session)`
	byPlatform = `
  AND (@platform::text IS NULL OR platform = lower(replace(@platform, '-', '_')))`
	bySDK = `
  AND (@sdk_version::text IS NULL OR sdk_version = @sdk_version)`
	byNetwork = `
  AND (@network::text IS NULL OR network = @network)
  AND (@carrier::text IS NULL OR carrier = @carrier)
  AND (@region::text IS NULL OR region = @region)`

	filters = whose + byPlatform + bySDK + byNetwork
)

// spanOf limits a question to what has its time within the range. The ends may
// be NULL: a question asked beside a session looks at all times.
func spanOf(column string) string {
	return `(@since::timestamptz IS NULL OR ` + column + ` >= @since)
  AND (@until::timestamptz IS NULL OR ` + column + ` < @until)`
}

// loginsInSpan is spanOf for logins, of which some began unseen. Apart from
// those it compares the bare column, so that an index can serve it.
const loginsInSpan = `(@since::timestamptz IS NULL OR login_started_at >= @since
       OR login_started_at IS NULL AND coalesce(logined_at, first_received_at) >= @since)
  AND (@until::timestamptz IS NULL OR login_started_at < @until
       OR login_started_at IS NULL AND coalesce(logined_at, first_received_at) < @until)`

var questions = []Question{
	{
		Name: "health",
		Path: "/v1/health",
		Doc: `The overview: logins, interruptions, heartbeat timeouts and kicks, by platform and in total.
Every figure counts what started in the time range: logins by their Logining,
interruptions by their Reconnecting, kicks by the kick.
  login_success_rate          logged in / (logged in + failed + presumed failed)
  service_login_success_rate  the same without failures by the caller's fault
  reconnect_success_rate      reconnected / (reconnected + failed + presumed lost)
  reconnect_finished_p50_ms   durations of interruptions that ended Reconnected, no others
  heartbeat_timeout_rate      interruptions whose open time passed the heartbeat timeout,
                              of those that started at least that long ago
  login_open_share            logins still pending; figures are settled when it is 0
  interruption_open_share     interruptions without an outcome yet; likewise
The web SDK says Reconnecting some seconds late, so web durations are short by that.`,
		Params:  []Param{since, until, app, room, user, platform, sdkVersion, network, carrier, region},
		Upright: true,
		Total:   true,
		SQL:     healthSQL,
	},
	{
		Name: "sessions",
		Path: "/v1/sessions",
		Doc: `Logins, newest first: how they started, how long they were connected, how they ended.
One row is one login: one stay of one user in one room. A login counts by its
Logining; where none was seen, by its Logined or the first receipt.`,
		Params: []Param{since, until, app, room, user, session, platform, sdkVersion, network, carrier, region, limit},
		Table: []string{
			"login_started_at", "app_id", "room_id", "user_id", "platform", "login_outcome", "login_error_code",
			"time_to_login_ms", "state", "presence", "interruptions", "connected_ms", "reconnecting_ms", "session_id",
		},
		SQL: `
SELECT app_id, session_id, login_no, room_id, room_session_id, user_id, device_id, platform, family,
       sdk_version, app_version, os, network, carrier, region, via,
       login_started_at, logined_at, time_to_login_ms, login_outcome, login_error_code, caller_fault,
       ended_at, ended_by, end_error_code, end_provenance, state, presence, gone_at,
       interruptions, connected_ms, reconnecting_ms, last_event_at, last_alive_at,
       first_received_at, last_received_at, missing_events, is_import
FROM sessions
WHERE ` + loginsInSpan + filters + bySession + `
ORDER BY coalesce(login_started_at, logined_at, first_received_at) DESC,
         app_id, room_id, user_id, session_id, login_no
LIMIT @limit`,
	},
	{
		Name: "session",
		Path: "/v1/sessions/{app}/{session}",
		Doc: `The timeline of one session: each event in the order it happened, and what became of each login.
Several users or rooms may share a session_id: all that match are answered.
gap_ms is the time since the event before, by the reporter's monotonic clock
where both events carry it.`,
		Params: []Param{
			app, room, user,
			{Name: "session", Doc: "session_id, as the reporter made it", Required: true},
			limit,
		},
		With:  []string{"sessions", "interruptions", "kicks", "anomalies"},
		Limit: MaxLimit,
		SQL:   sessionSQL,
	},
	{
		Name: "interruptions",
		Path: "/v1/interruptions",
		Doc: `Interruptions, newest first: each Reconnecting, how long it took and how it closed.
An interruption counts by its Reconnecting. recovery_case 1 is back before the
heartbeat timeout, 2 back after it, 3 never back.`,
		Params: []Param{since, until, app, room, user, session, platform, sdkVersion, network, carrier, region, limit},
		Table: []string{
			"started_at", "app_id", "room_id", "user_id", "platform", "network", "carrier", "region", "outcome",
			"duration_ms", "age_ms", "heartbeat_timed_out", "recovery_case", "error_code", "end_error_code", "cause", "session_id",
		},
		SQL: `
SELECT app_id, session_id, login_no, interruption_no, room_id, user_id, device_id, platform, family,
       sdk_version, app_version, network, carrier, region, started_at, ended_at,
       start_received_at, end_received_at, is_open, age_ms, outcome, duration_ms, error_code, end_error_code,
       heartbeat_timed_out, heartbeat_ambiguous, recovery_case, provenance, cause, storm_id, is_import
FROM interruptions
WHERE ` + spanOf("started_at") + filters + bySession + `
ORDER BY started_at DESC, app_id, room_id, user_id, session_id, login_no, interruption_no
LIMIT @limit`,
	},
	{
		Name: "recovery",
		Path: "/v1/recovery",
		Doc: `How many are back after how long: of those who lost the room, by the time since their Reconnecting.
Interruptions count that started in the time range.
  share  estimate of who is back within t_ms (product-limit): what is open counts
         as still waiting, what gave up as never back, what ended otherwise until then
  low_share high_share  its 95 % band
  naive_share  of those that are over, the share that was back by then: too high while many wait
  returned  how many were back by then
Ask metric('reconnect_success', …) for how many come back at all.`,
		Params: []Param{since, until, app},
		Table:  []string{"t_ms", "share", "low_share", "high_share", "naive_share", "returned"},
		Limit:  MaxLimit,
		SQL:    recoverySQL,
	},
	{
		Name: "kicks",
		Path: "/v1/kicks",
		Doc: `Logins that ended by a kick, newest first: why, by whom, and whether the user came back.
A kick counts by when it happened.`,
		Params: []Param{since, until, app, room, user, session, platform, sdkVersion, network, carrier, region, limit},
		Table: []string{
			"kicked_at", "app_id", "room_id", "user_id", "platform", "error_code", "kick_reason", "attribution",
			"displaced_by_platform", "session_age_ms", "while_reconnecting", "relogin_after_ms", "message", "session_id",
		},
		SQL: `
SELECT app_id, session_id, login_no, room_id, user_id, device_id, platform, family, sdk_version, app_version,
       network, carrier, region, kicked_at, received_at, error_code, kick_reason, attribution,
       displaced_by_session_id, displaced_by_login_no, displaced_by_room_id, displaced_by_device_id,
       displaced_by_platform, session_age_ms, while_reconnecting, relogin_after_ms, message, is_import
FROM kicks
WHERE ` + spanOf("kicked_at") + filters + bySession + `
ORDER BY kicked_at DESC, app_id, room_id, user_id, session_id, login_no
LIMIT @limit`,
	},
	{
		Name: "heartbeats",
		Path: "/v1/heartbeats",
		Doc: `Heartbeat timeouts, newest first: when the room gave a user up.
A timeout counts by when it was passed. witnessed: the vendor's server said so;
inferred: an interruption stayed open that long.`,
		Params: []Param{since, until, app, room, user, session, platform, network, carrier, region, limit},
		Table: []string{
			"timed_out_at", "app_id", "room_id", "user_id", "platform", "network", "carrier", "region",
			"provenance", "server_reason", "session_id", "login_no", "interruption_no",
		},
		SQL: `
SELECT app_id, room_id, user_id, session_id, login_no, interruption_no, server_session_id, platform, family,
       network, carrier, region, server_reason, timed_out_at, provenance, is_import
FROM heartbeat_timeouts
WHERE ` + spanOf("timed_out_at") + whose + bySession + byPlatform + byNetwork + `
ORDER BY timed_out_at DESC, app_id, room_id, user_id, session_id, login_no, interruption_no, server_session_id
LIMIT @limit`,
	},
	{
		Name: "errors",
		Path: "/v1/errors",
		Doc: `Error codes by reason: how often, what they mean, what to do.
Login failures count by the start of their login, Reconnecting and
ReconnectFailed by the start of their interruption, kicks and failed logouts by
when they happened. share is that of the code within its reason, users are those
it happened to: one user is seldom urgent, many are.`,
		Params: []Param{since, until, app, room, user, platform, sdkVersion, network, carrier, region, limit},
		Table:  []string{"reason", "family", "error_code", "category", "events", "share", "users", "last_at"},
		SQL:    errorsSQL,
	},
	{
		Name: "anomalies",
		Path: "/v1/anomalies",
		Doc: `Broken rules, newest first: impossible transitions, missing events, unknown codes, conflicting copies.
An anomaly counts by when its event happened.`,
		Params: []Param{since, until, app, room, user, session, platform, sdkVersion, limit},
		Table:  []string{"happened_at", "kind", "detail", "app_id", "room_id", "user_id", "platform", "session_id", "seq", "event_ref"},
		SQL: `
SELECT app_id, event_ref, session_id, room_id, user_id, platform, sdk_version, seq, kind, detail, happened_at, stream_seq
FROM anomalies
WHERE ` + spanOf("happened_at") + whose + bySession + byPlatform + bySDK + `
ORDER BY happened_at DESC, app_id, room_id, user_id, session_id, seq, kind
LIMIT @limit`,
	},
	{
		Name: "doctor",
		Path: "/v1/doctor",
		Doc: `What arrives from each platform and what does not, with a verdict and what to do.
found counts what is missing or wrong, among those that should be right; share
is their ratio. ok, note and warning judge it, unknown had nothing to judge.
  lasting logins without a sign of life  no alive event, a minute and more after Logined
  numbers missing in sessions            gaps in seq, of all numbers up to the last event
  logins without device_id               in none of their events
  events without a monotonic clock       monotonic_ms or boot_id is missing
  events without sent_at                 the clock's offset is not known
  events by clocks more than 5 s off     their times are corrected by the offset
  sessions that begin without Logining   the listener came too late
  states said twice                      repeated_state anomalies, of state events: above a
                                         fifth, two listeners report, the older and the newer
  server callbacks                       of the whole app (platform any), with the last one
Events count by when they happened, logins by their Logining.`,
		Params: []Param{since, until, app, platform},
		Table:  []string{"app_id", "platform", "looked_at", "found", "among", "share", "last_at", "verdict", "advice"},
		Limit:  MaxLimit,
		SQL:    doctorSQL,
	},
}

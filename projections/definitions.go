package projections

import "fmt"

// Members of several figures.
const (
	settledAttempts = "logged_in + login_failed + presumed_failed"
	settledReturns  = "reconnected + reconnect_failed + presumed_lost"
	ended           = "ended_logout + ended_login_failed + ended_reconnect_failed + ended_kick_out + ended_superseded + witnessed + gone"
	hours           = "connected_ms / 3600000.0"
)

// Definitions are all figures, in the order of their numbers.
var Definitions = definitions()

func definitions() []Definition {
	var out []Definition
	for _, list := range [][]Definition{logins(), timesToLogin(), interruptions(), durations(), ends(), stability(), witnessed(), health(), pipeline()} {
		out = append(out, list...)
	}
	return out
}

func share(d Definition) Definition {
	d.Unit, d.Scale, d.IsShare = "share", 1, true
	if d.Minimum == 0 {
		d.Minimum = 30
	}
	if d.Open == "" {
		d.Open = "0"
	}
	if d.Inferred == "" {
		d.Inferred = "0"
	}
	return d
}

func attempts(d Definition) Definition {
	d.Sources, d.By = []string{"login"}, byLogin
	d.All, d.Open, d.Inferred = settledAttempts+" + pending", "pending", "presumed_failed"
	return share(d)
}

func logins() []Definition {
	failures := Definition{
		Name: "login_failures_per_1000", No: "4", Title: "Login failures by code, per 1 000 attempts", Formula: "LoginFailed (with a code) per 1 000 settled attempts",
		Numerator: "login_failed", Denominator: settledAttempts,
	}
	failures = attempts(failures)
	failures.Unit, failures.Scale, failures.IsShare, failures.By = "per 1 000 attempts", 1000, false, byLoginCode
	codes := attempts(Definition{
		Name: "login_failure_codes", No: "4", Title: "Login failures by code", Formula: "LoginFailed with a code by all LoginFailed: ask by error_code",
		Numerator: "login_failed", Denominator: "login_failed",
	})
	codes.By, codes.Inferred = byLoginCode, "0"
	cancelled := attempts(Definition{
		Name: "login_cancelled", No: "1", Title: "Cancelled logins", Formula: "attempts that ended otherwise than by Logined or LoginFailed, by all attempts that are over",
		Numerator: "login_cancelled + attempts_witnessed", Denominator: settledAttempts + " + login_cancelled + attempts_witnessed",
	})
	cancelled.All = "attempts"
	return []Definition{
		attempts(Definition{
			Name: "login_success", No: "1", Title: "Login success rate", Formula: "attempts with Logined by settled attempts: Logined, LoginFailed, and those that ran out of time without a word; cancelled ones count in neither",
			Numerator: "logged_in", Denominator: settledAttempts,
		}),
		attempts(Definition{
			Name: "service_login_success", No: "1s", Title: "Login success rate, service view", Formula: "as login_success, without failures by the caller's fault (auth, parameters, usage): the one to page on",
			Numerator: "logged_in", Denominator: settledAttempts + " - caller_fault",
		}),
		cancelled,
		attempts(Definition{
			Name: "login_within_5s", No: "2", Title: "Login success within 5 s", Formula: "attempts with Logined within 5.000 s by settled attempts; failures count as misses",
			Numerator: "logged_in_5s", Denominator: settledAttempts,
		}),
		codes, failures,
	}
}

// quantiles makes a figure of each usual quantile.
func quantiles(d Definition) []Definition {
	var out []Definition
	for _, percent := range []int{50, 95, 99} {
		q := d
		q.Name, q.Title = fmt.Sprintf("%s_p%d", d.Name, percent), fmt.Sprintf("%s, p%d", d.Title, percent)
		q.Unit, q.Scale, q.Quantile = "ms", 1, float64(percent)/100
		out = append(out, q)
	}
	return out
}

func timesToLogin() []Definition {
	entered := Definition{
		No: "3", Minimum: 30, Sources: words("duration login"), Numerator: "0", Denominator: "finished",
		All: "finished + pending", Open: "pending", Inferred: "0", By: byRoom,
	}
	login, change, all := entered, entered, entered
	login.Name, login.Title, login.Spans = "time_to_login", "Time to login by loginRoom", []Span{TimeToLogin}
	login.Formula = "Logined less Logining, of attempts by loginRoom that got in"
	change.Name, change.Title, change.Spans = "time_to_switch", "Time to login by switchRoom", []Span{TimeToSwitch}
	change.Formula = "Logined less Logining, of attempts by switchRoom that got in"
	all.Name, all.Title, all.Spans = "time_to_login_all", "Time to login, failures included", []Span{TimeToLogin, TimeToSwitch}
	all.Formula = "Logined less Logining, of all settled attempts; one that failed takes for ever, so null with a denominator means: never"
	all.Denominator, all.All, all.Inferred = "finished + login_failed + presumed_failed", "finished + login_failed + presumed_failed + pending", "presumed_failed"
	return append(append(quantiles(login), quantiles(change)...), quantiles(all)...)
}

func interrupted(d Definition) Definition {
	d.Sources, d.Minimum = []string{"interruption"}, 20
	if d.By == nil {
		d.By = byInterruption
	}
	if d.All == "" {
		d.All, d.Open, d.Inferred = settledReturns+" + waiting", "waiting", "presumed_lost"
	}
	return share(d)
}

func interruptions() []Definition {
	return []Definition{
		{
			Name: "interruption_rate", No: "5", Title: "Interruption rate", Unit: "per 100 hours", Minimum: 30, Scale: 100,
			Formula: "interruptions of the logins that started then, per 100 hours in which they were connected",
			Sources: []string{"login"}, Numerator: "login_interruptions", Denominator: hours,
			All: "logins", Open: "running", Inferred: "0", By: byLogin,
		},
		sessions(Definition{
			Name: "interrupted_sessions", No: "6", Title: "Interrupted sessions", Formula: "sessions with an interruption by sessions started; ask by length (under 5 min, under 30 min, longer: short, medium, long), else long sessions dominate",
			Numerator: "short_interrupted + medium_interrupted + long_interrupted", Denominator: "logins",
		}),
		interrupted(Definition{
			Name: "reconnect_success", No: "7", Title: "Reconnect success rate", Formula: "interruptions that ended by Reconnected by those that ended by Reconnected or ReconnectFailed or are presumed lost; other ends count in neither",
			Numerator: "reconnected", Denominator: settledReturns,
		}),
		interrupted(Definition{
			Name: "interruption_other_ends", No: "7", Title: "Interruptions that ended otherwise", Formula: "interruptions that ended by Logout, KickOut, LoginFailed or a new login, by all that are over",
			Numerator:   "interruption_kicked + interruption_logged_out + interruption_login_failed + interruption_superseded",
			Denominator: "interruptions - waiting", All: "interruptions", Open: "waiting", Inferred: "presumed_lost",
		}),
		interrupted(Definition{
			Name: "fast_recovery", No: "8", Title: "Fast recovery", Formula: "Reconnected within 10 s, by the denominator of reconnect_success",
			Numerator: "recovered_fast", Denominator: settledReturns,
		}),
		interrupted(Definition{
			Name: "invisible_recovery", No: "9", Title: "Invisible recovery", Formula: "Reconnected before H (others saw nothing), by the denominator of reconnect_success",
			Numerator: "recovered_invisible", Denominator: settledReturns,
		}),
		interrupted(Definition{
			Name: "give_up_rate", No: "11", Title: "Give-up rate", Formula: "ReconnectFailed and presumed lost by interruptions that are over; compare within one platform, W differs",
			Numerator: "reconnect_failed + presumed_lost", Denominator: "interruptions - waiting",
			All: "interruptions", Open: "waiting", Inferred: "presumed_lost",
		}),
		interrupted(Definition{
			Name: "heartbeat_timeout_rate", No: "12a", Title: "Heartbeat timeouts, inferred", Formula: "interruptions that were open for H or longer by interruptions that started at least H ago, closed or not",
			Numerator: "timed_out + open_timed_out - young_timed_out", Denominator: "interruptions - young",
			All: "interruptions", Open: "young", Inferred: "open_timed_out",
		}),
		interrupted(Definition{
			Name: "heartbeat_timeout_ambiguous", No: "12a", Title: "Heartbeat timeouts that may be none", Formula: "interruptions that were open for 85 to 100 s by interruptions that started at least H ago: H counts from the last heartbeat that the server got",
			Numerator: "ambiguous + open_ambiguous - young_ambiguous", Denominator: "interruptions - young",
			All: "interruptions", Open: "young", Inferred: "open_ambiguous",
		}),
	}
}

func durations() []Definition {
	finished := Definition{
		Name: "reconnect_duration", No: "10", Title: "Time to reconnect, of those that came back", Minimum: 20,
		Formula: "Reconnected less Reconnecting, of finished ones alone: too good while others wait or were lost",
		Sources: words("duration interruption"), Numerator: "0", Denominator: "finished",
		All: "finished + waiting", Open: "waiting", Inferred: "0", By: byRoom, Spans: []Span{Reconnect},
	}
	all := Definition{
		Name: "reconnect_duration_all", No: "10", Title: "Time to reconnect, of all", Minimum: 20,
		Formula: "the time after which that share is back by the product-limit estimate: who is open or ended otherwise counts as still waiting, who was lost as never back; null means: not within what has been seen",
		Sources: []string{"recovery"}, Numerator: "0", Denominator: "watched",
		All: "watched", Open: "still_open", Inferred: "lost", By: byRoom,
	}
	return append(quantiles(finished), quantiles(all)...)
}

func sessions(d Definition) Definition {
	if d.Sources == nil {
		d.Sources = []string{"login"}
	}
	if d.By == nil {
		d.By = byLogin
	}
	if d.All == "" {
		d.All, d.Open = "logins", "running"
	}
	return share(d)
}

func ends() []Definition {
	kicks := sessions(Definition{
		Name: "kicks_per_1000_hours", No: "13", Title: "Kicks per 1 000 connected hours", Formula: "sessions ended by KickOut per 1 000 hours in which the sessions that started then were connected; by kick_reason and attribution",
		Numerator: "ended_kick_out", Denominator: hours, By: byKick,
	})
	kicks.Unit, kicks.Scale, kicks.IsShare = "per 1 000 hours", 1000, false
	return []Definition{
		sessions(Definition{
			Name: "lost_sessions", No: "11b", Title: "Lost sessions", Formula: "sessions ended by ReconnectFailed, seen to time out by the server, with an interruption presumed lost, or gone without closing, by sessions started; by end_provenance",
			Numerator: "ended_reconnect_failed + lost_witnessed + lost_inferred", Denominator: "logins", By: byEnd,
			All: "logins", Open: "may_be_lost", Inferred: "lost_inferred", InferredOf: "ended_reconnect_failed + lost_witnessed + lost_inferred",
		}),
		sessions(Definition{
			Name: "kick_rate", No: "13", Title: "Kick rate", Formula: "sessions ended by KickOut by sessions started; by kick_reason and attribution, always by all sessions",
			Numerator: "ended_kick_out", Denominator: "logins", By: byKick,
		}),
		kicks,
		share(Definition{
			Name: "logout_failure_rate", No: "14", Title: "Logout failures", Formula: "LogoutFailed by Logout that ended a login and LogoutFailed",
			Sources: []string{"event"}, Numerator: "state_logout_failed", Denominator: "logouts + state_logout_failed", All: "logouts + state_logout_failed", By: byEventCode,
		}),
		share(Definition{
			Name: "logout_unknown_room", No: "14", Title: "Logouts from an unknown room", Formula: "LogoutFailed because the room is unknown (1002002, mostly a caller's mistake) by Logout that ended a login and LogoutFailed",
			Sources: []string{"event"}, Numerator: "logout_unknown_room", Denominator: "logouts + state_logout_failed", All: "logouts + state_logout_failed", By: byRoom,
		}),
	}
}

func stability() []Definition {
	available := Definition{
		Name: "session_availability", No: "16", Title: "Session availability", Unit: "share", Minimum: 30, Scale: 1,
		Formula: "time connected by time connected or reconnecting, each interruption counted up to its W, of the sessions that started then",
		Sources: []string{"login"}, Numerator: "connected_ms", Denominator: "connected_ms + reconnecting_ms + open_reconnecting_ms",
		All: "logins", Open: "running", Inferred: "open_reconnecting_ms", By: byLogin,
	}
	return []Definition{
		available,
		sessions(Definition{
			Name: "clean_sessions", No: "17", Title: "Clean sessions", Formula: "sessions of 5 min and more with no interruption that ended by Logout, by sessions of 5 min and more that are over",
			Numerator: "clean_lasting", Denominator: "lasting + witnessed_lasting + gone_lasting", By: byLogin,
			All: "lasting + witnessed_lasting + gone_lasting + running_exits", Open: "running_exits", Inferred: "gone_lasting",
		}),
		sessions(Definition{
			Name: "clean_exits", No: "19", Title: "Clean exits", Formula: "sessions ended by Logout by sessions that are over, any way, also by silence",
			Numerator: "clean_exits", Denominator: "exits + witnessed_exits + gone_exits",
			All: "exits + witnessed_exits + gone_exits + running_exits", Open: "running_exits", Inferred: "gone_exits",
		}),
		sessions(Definition{
			Name: "flap_share", No: "20", Title: "Flapping sessions", Formula: "sessions with three interruptions in 5 min by sessions started",
			Numerator: "flapping", Denominator: "logins",
		}),
	}
}

func health() []Definition {
	event := func(d Definition) Definition {
		if d.Sources == nil {
			d.Sources = []string{"event"}
		}
		if d.All == "" {
			d.All = d.Denominator
		}
		d.By = byRoom
		return share(d)
	}
	return []Definition{
		event(Definition{
			Name: "duplicates", No: "26", Title: "Events that came twice", Formula: "later copies by all events received",
			Numerator: "copies", Denominator: "events + copies",
		}),
		event(Definition{
			Name: "late_events", No: "26", Title: "Late events", Formula: "events known more than 60 s after they happened by events",
			Numerator: "late_events", Denominator: "events",
		}),
		event(Definition{
			Name: "skewed_events", No: "26", Title: "Events by a wrong clock", Formula: "events by a clock more than 5 s off by events",
			Numerator: "skewed_events", Denominator: "events",
		}),
		event(Definition{
			Name: "impossible_events", No: "26", Title: "Impossible transitions", Formula: "state events that cannot follow the one before by state events",
			Numerator:   "impossible_events",
			Denominator: "state_logining + state_logined + state_login_failed + state_reconnecting + state_reconnected + state_reconnect_failed + state_kick_out + state_logout + state_logout_failed",
		}),
		event(Definition{
			Name: "inferred_endings", No: "26", Title: "Endings told by silence", Formula: "sessions that are gone without a word by sessions that are over",
			Sources: []string{"login"}, Numerator: "gone", Denominator: ended, All: ended + " + running", Open: "running", Inferred: "gone",
		}),
	}
}

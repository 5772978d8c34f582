package projections

// witnessed are figures of what the server saw, what users left behind and who
// came back, all read from rows.
func witnessed() []Definition {
	impact := Definition{
		No: "22", Unit: "share of connected time", Minimum: 30, Scale: 1, Sources: words("impact login"), Denominator: "connected_ms / 60000.0",
		All: "logins", Open: "running", Inferred: "0", By: byRoom,
	}
	both, own, peers := impact, impact, impact
	both.Name, both.Title, both.Numerator = "room_impact", "Impact on rooms", "(own_ms + peer_ms) / 60000.0"
	both.Formula = "person-minutes in Reconnecting, and those for which others saw the user gone (from H to the return or the end), by connected person-minutes of the sessions that started then"
	own.Name, own.Title, own.Numerator, own.Formula = "room_impact_own", "Impact felt alone", "own_ms / 60000.0", "the user's own minutes in Reconnecting by connected person-minutes"
	peers.Name, peers.Title, peers.Numerator, peers.Formula = "room_impact_peers", "Impact felt by the room", "peer_ms / 60000.0", "minutes for which others saw the user gone by connected person-minutes"
	return []Definition{
		share(Definition{
			Name: "storm_share", No: "21", Title: "Interruptions with a common cause", Minimum: 20, Formula: "interruptions that belong to a storm by interruptions started",
			Sources: words("storm interruption"), Numerator: "common_cause", Denominator: "interruptions", All: "interruptions", Open: "undecided", By: byRoom,
		}),
		both, own, peers,
		share(Definition{
			Name: "witnessed_timeout_rate", No: "12b", Title: "Heartbeat timeouts, witnessed", Formula: "stays that the server ended for a missing heartbeat (reason 1 or 2) by stays of which the server told the end",
			Sources: []string{"visit"}, Numerator: "witnessed_timeouts", Denominator: "server_ends", All: "server_ends", By: byRoom,
		}),
		share(Definition{
			Name: "timeout_agreement", No: "12c", Title: "Agreement on heartbeat timeouts", Formula: "timeouts that the server told and that follow from the client's words too, by those known either way, in apps with callbacks",
			Sources: []string{"timeout"}, Numerator: "both_timeout", Denominator: "either_timeout", All: "either_timeout", Minimum: 20, By: byRoom,
		}),
		{
			Name: "ghost_time", No: "15", Title: "Ghost time", Unit: "s per 1 000 sessions", Minimum: 30, Scale: 1000,
			Formula: "seconds for which rooms showed who had left by LogoutFailed or was lost, per 1 000 sessions that are over: to what the server saw, else an upper bound, to the next login there or H; inferred is the share of that",
			Sources: words("ghost login"), Numerator: "ghost_ms / 1000.0", Denominator: ended,
			All: ended + " + running", Open: "running", Inferred: "unwitnessed_ms", InferredOf: "ghost_ms", By: byRoom,
		},
		share(Definition{
			Name: "return_after_loss", No: "23", Title: "Return after loss", Formula: "users with Logined within 60 s after ReconnectFailed or KickOut by users with that ending, each ending counted",
			Sources: []string{"return"}, Numerator: "returned_users", Denominator: "lost_users - may_return", All: "lost_users", Open: "may_return", By: byRoom,
		}),
		share(Definition{
			Name: "dark_share", No: "24", Title: "Dark sessions", Formula: "sessions presumed dark now by sessions believed connected now (live, silent or dark), whenever they began",
			Sources: []string{"presence"}, Numerator: "dark", Denominator: "believed", All: "believed", By: byRoom, IsNow: true,
		}),
		share(Definition{
			Name: "sequence_completeness", No: "25", Title: "Completeness of the numbering", Formula: "different numbers received by those up to the highest that was announced, by an event or a sign of life",
			Sources: []string{"login"}, Numerator: "seen_events", Denominator: "seen_events + missing_events + announced_events", All: "logins", Open: "running", By: byLogin,
		}),
	}
}

// pipeline are figures of ourselves.
func pipeline() []Definition {
	received := Definition{
		Name: "received_after", No: "27", Title: "From happening to receipt", Minimum: 30, Formula: "receipt less happening, of events that happened then: the network's part of freshness",
		Sources: []string{"receipt"}, Numerator: "0", Denominator: "finished", All: "finished", Open: "0", Inferred: "0", By: byRoom,
	}
	visible := Definition{
		Name: "visible_after", No: "27", Title: "From receipt to being seen", Minimum: 30, Formula: "commit less receipt, of events committed then: our part of freshness",
		Sources: []string{"freshness"}, Numerator: "0", Denominator: "finished", All: "finished", Open: "0", Inferred: "0", By: []string{},
	}
	lag := Definition{
		No: "28", Minimum: 1, Scale: 1, Sources: []string{"lag"}, Denominator: "lags_known", All: "lags_known", Open: "0", Inferred: "0", By: []string{}, IsNow: true,
	}
	seconds, behind, stalled := lag, lag, lag
	seconds.Name, seconds.Title, seconds.Unit, seconds.Numerator = "projection_lag_seconds", "Projection lag", "s", "lag_seconds"
	seconds.Formula = "seconds between the newest stored stream time and the last applied now, of the slowest partition; null where one stands still"
	behind.Name, behind.Title, behind.Unit, behind.Numerator = "projection_lag_events", "Events behind", "events", "lag_events"
	behind.Formula = "events stored and not yet applied now; null where a partition stands still"
	stalled.Name, stalled.Title, stalled.Unit, stalled.Numerator = "projection_stalled", "Partitions that stand still", "share", "stalled_partitions"
	stalled.Denominator, stalled.All = "all_partitions", "all_partitions"
	stalled.Formula = "partitions that nobody applies now by all partitions"
	return append(append(quantiles(received), quantiles(visible)...), seconds, behind, stalled)
}

package projectionstest

import (
	"time"

	"roomtrail/events"
	"roomtrail/projections"
)

// Views answers as the SQL views would: a second, slow telling of what they
// decide against now. Only columns that the cases name are there.
func Views(key events.SetKey, rows projections.Rows, facts []events.Stored, now time.Time) map[string][]Row {
	out := map[string][]Row{}
	put := func(view string, r Row) {
		r["app_id"], r["session_id"], r["room_id"], r["user_id"] = key.AppID, key.SessionID, key.RoomID, key.UserID
		out[view] = append(out[view], r)
	}
	for _, l := range rows.Logins {
		put("sessions", session(l))
	}
	for _, i := range rows.Interruptions {
		put("interruptions", interruption(i, now))
	}
	for _, k := range rows.Kicks {
		r := Row{"login_no": k.LoginNo, "kicked_at": k.KickedAt, "error_code": k.ErrorCode, "kick_reason": k.Reason, "message": nil}
		if k.HasMessage {
			r["message"] = k.Message
		}
		for _, l := range rows.Logins {
			if l.No == k.LoginNo {
				r["platform"] = l.Platform
			}
		}
		put("kicks", r)
	}
	for _, a := range rows.Anomalies {
		put("anomalies", Row{"seq": a.Seq, "kind": a.Kind, "detail": a.Detail})
	}
	seqs := map[events.Ref]int64{}
	for _, f := range facts {
		seqs[f.Ref] = f.Seq
	}
	for _, m := range rows.Marks {
		if m.Transition != "" {
			put("room_events", Row{"seq": seqs[m.Ref], "transition": string(m.Transition)})
		}
	}
	return out
}

func session(l projections.Login) Row {
	r := Row{
		"login_no": l.No, "platform": l.Platform, "family": string(l.Family), "network": text(l.Network),
		"sdk_version": text(l.SDKVersion), "login_started_at": instant(l.LoginStartedAt),
		"logined_at": instant(l.LoginedAt), "time_to_login_ms": maybe(l.TimeToLoginMS),
		"login_error_code": maybe(l.LoginErrorCode), "ended_at": instant(l.EndedAt), "ended_by": text(l.EndedBy),
		"end_error_code": maybe(l.EndErrorCode), "end_provenance": nil, "state": l.State.String(),
		"interruptions": l.Interruptions, "connected_ms": l.ConnectedMS, "reconnecting_ms": l.ReconnectingMS,
		"last_event_at": l.LastEventAt, "last_alive_at": instant(l.LastAliveAt),
		"missing_events": l.MissingEvents, "is_import": l.IsImport,
	}
	if l.Ended() {
		r["end_provenance"] = "observed"
	}
	return r
}

func interruption(i projections.Interruption, now time.Time) Row {
	r := Row{
		"login_no": i.LoginNo, "interruption_no": i.No, "platform": i.Platform, "family": string(i.Family),
		"network": text(i.Network), "sdk_version": text(i.SDKVersion), "started_at": i.StartedAt,
		"ended_at": instant(i.EndedAt), "outcome": text(i.Outcome), "duration_ms": maybe(i.DurationMS),
		"error_code": i.ErrorCode, "end_error_code": maybe(i.EndErrorCode), "provenance": "observed", "recovery_case": nil,
	}
	passed := i.DurationMS.N
	if i.Outcome == "" {
		if passed = now.Sub(i.StartedAt).Milliseconds(); passed >= i.RetryWindowMS+60_000 {
			r["outcome"], r["provenance"], r["recovery_case"] = "presumed_lost", "inferred", 3
		}
	}
	r["heartbeat_timed_out"] = passed >= i.HeartbeatTimeoutMS
	switch {
	case i.Outcome == "reconnected" && passed < i.HeartbeatTimeoutMS:
		r["recovery_case"] = 1
	case i.Outcome == "reconnected":
		r["recovery_case"] = 2
	case i.Outcome == "reconnect_failed":
		r["recovery_case"] = 3
	}
	return r
}

func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func instant(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}

func maybe(m projections.Maybe) any {
	if !m.Known {
		return nil
	}
	return m.N
}

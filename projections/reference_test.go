package projections_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"time"

	"roomtrail/events"
	"roomtrail/projections"
)

// The rules of contract 4 told a second time, straight from its text: whole
// sets, pass after pass, no state and no thought of speed. The fold is held
// against it.

type row map[string]any

// told are rows by view and key; columns have their outward names.
type told map[string]map[string]row

func (t told) put(view string, r row, key ...any) {
	if t[view] == nil {
		t[view] = map[string]row{}
	}
	name := fmt.Sprint(key...)
	if t[view][name] != nil {
		panic("two rows of " + view + " are " + name)
	}
	t[view][name] = r
}

// stay is one login: its events in order, and how it ended.
type stay struct {
	events  []events.Stored
	endedBy string         // "" while open
	end     *events.Stored // of its own, or the Logining that superseded it
}

func (s *stay) states() []events.Stored {
	return slices.DeleteFunc(slices.Clone(s.events), func(e events.Stored) bool { return e.Kind != events.State })
}

// reference tells all rows of one session's set.
func reference(profiles projections.Profiles, set []events.Stored) told {
	t := told{}
	counted, conflicts := firstCopies(set)
	t.anomalies(counted, conflicts)
	t.marks(set, counted)
	for i, s := range stays(counted) {
		t.login(i+1, s)
		t.interruptions(profiles, i+1, s)
		t.kick(i+1, s)
	}
	return t
}

// firstCopies are the events that count, by seq, and the first copy of each
// that says something else (4.1).
func firstCopies(set []events.Stored) (counted []events.Stored, conflicts map[int64]events.Stored) {
	inLog := slices.Clone(set)
	sort.Slice(inLog, func(i, j int) bool {
		a, b := inLog[i].Ref, inLog[j].Ref
		return a.Generation < b.Generation || a.Generation == b.Generation && a.Seq < b.Seq
	})
	first := map[int64]events.Stored{}
	conflicts = map[int64]events.Stored{}
	for _, e := range inLog {
		f, seen := first[e.Seq]
		if !seen {
			first[e.Seq] = e
			counted = append(counted, e)
		} else if _, already := conflicts[e.Seq]; !already && !reflect.DeepEqual(asSent(f), asSent(e)) {
			conflicts[e.Seq] = e
		}
	}
	sort.Slice(counted, func(i, j int) bool { return counted[i].Seq < counted[j].Seq })
	return counted, conflicts
}

// asSent is what the sender said: all but what the intake added, and
// extended_data as a JSON value.
func asSent(s events.Stored) any {
	e := s.Event
	var data any
	if e.ExtendedData != nil {
		if err := json.Unmarshal(e.ExtendedData, &data); err != nil {
			panic(err)
		}
	}
	e.ExtendedData, e.ReceivedAt, e.ClockOffsetMS, e.HasClockOff = nil, time.Time{}, 0, false
	e.Source, e.Trust, e.Import, e.Salt = "", "", false, [16]byte{}
	return []any{e, data}
}

// happened is the sender's clock, put right where it is far off (4.2).
func happened(e events.Stored) time.Time {
	if e.HasClockOff && (e.ClockOffsetMS > 5000 || e.ClockOffsetMS < -5000) {
		return e.OccurredAt.Add(time.Duration(e.ClockOffsetMS) * time.Millisecond)
	}
	return e.OccurredAt
}

// between is a duration in whole milliseconds, which may be negative (4.2).
func between(from, to events.Stored) int64 {
	if from.HasMonotonic && to.HasMonotonic && from.BootID != "" && from.BootID == to.BootID {
		return int64(to.MonotonicMS - from.MonotonicMS)
	}
	return to.OccurredAt.Sub(from.OccurredAt).Milliseconds()
}

// stays cuts a session into logins (4.3, 4.6).
func stays(counted []events.Stored) []stay {
	var all []stay
	for _, e := range counted {
		open := len(all) > 0 && all[len(all)-1].endedBy == ""
		switch {
		case e.Kind != events.State:
			if open {
				last := &all[len(all)-1]
				last.events = append(last.events, e)
			}
			continue
		case e.Reason == events.Logining && open:
			last := &all[len(all)-1]
			if states := last.states(); states[len(states)-1].Reason == events.Logining {
				break // again, at its start
			}
			last.endedBy, last.end = "superseded", &e
			all = append(all, stay{})
		case e.Reason == events.Logining || len(all) == 0:
			all = append(all, stay{})
		case !open:
			continue // after the end
		}
		last := &all[len(all)-1]
		last.events = append(last.events, e)
		switch e.Reason {
		case events.LoginFailed, events.ReconnectFailed, events.KickOut, events.Logout:
			last.endedBy, last.end = e.Reason.String(), &e
		}
	}
	return all
}

// find is the first state event of the stay with the reason, or nil.
func (s *stay) find(r events.Reason) *events.Stored {
	for _, e := range s.states() {
		if e.Reason == r {
			return &e
		}
	}
	return nil
}

// stretch is from an event to another; to is the last of the stay where open.
type stretch struct {
	from, to events.Stored
	open     bool
}

// connected are the stretches from Logined or Reconnected to the next
// Reconnecting or the end (4.4).
func (s *stay) connected() []stretch {
	var all []stretch
	var from *events.Stored
	for _, e := range s.states() {
		if from == nil && (e.Reason == events.Logined || e.Reason == events.Reconnected) {
			from = &e
		} else if from != nil && e.Reason == events.Reconnecting {
			all = append(all, stretch{*from, e, false})
			from = nil
		}
	}
	if from != nil && s.end != nil {
		all = append(all, stretch{*from, *s.end, false})
	} else if from != nil {
		all = append(all, stretch{*from, s.events[len(s.events)-1], true})
	}
	return all
}

// broken are the stretches from a Reconnecting to its outcome (4.5).
func (s *stay) broken() []stretch {
	var all []stretch
	var from *events.Stored
	for _, e := range s.states() {
		if from == nil && e.Reason == events.Reconnecting {
			from = &e
		} else if from != nil && e.Reason == events.Reconnected {
			all = append(all, stretch{*from, e, false})
			from = nil
		}
	}
	if from != nil && s.end != nil {
		all = append(all, stretch{*from, *s.end, false})
	} else if from != nil {
		all = append(all, stretch{*from, *from, true})
	}
	return all
}

// carried is the first value that is not empty.
func carried(list []events.Stored, column func(events.Stored) string) string {
	for _, e := range list {
		if v := column(e); v != "" {
			return v
		}
	}
	return ""
}

// roomSession is a field of any event, and of the extended data of a Logined.
func roomSession(e events.Stored) string {
	if e.RoomSessionID != "" || e.Reason != events.Logined {
		return e.RoomSessionID
	}
	return extended(e)["room_session_id"]
}

// extended are the texts of extended_data, an object or a string that holds one.
func extended(e events.Stored) map[string]string {
	data := e.ExtendedData
	var inside string
	if json.Unmarshal(data, &inside) == nil {
		data = []byte(inside)
	}
	var all map[string]any
	_ = json.Unmarshal(data, &all) // anything else holds no texts
	texts := map[string]string{}
	for k, v := range all {
		if text, ok := v.(string); ok {
			texts[k] = text
		}
	}
	return texts
}

var descriptive = map[string]func(events.Stored) string{
	"device_id": func(e events.Stored) string { return e.DeviceID }, "platform": func(e events.Stored) string { return e.Platform },
	"family": func(e events.Stored) string { return string(e.Family) }, "sdk_version": func(e events.Stored) string { return e.SDKVersion },
	"app_version": func(e events.Stored) string { return e.AppVersion }, "network": func(e events.Stored) string { return e.Network },
	"carrier": func(e events.Stored) string { return e.Carrier }, "region": func(e events.Stored) string { return e.Region },
}

func (t told) login(no int, s stay) {
	first, last, states := s.events[0], s.events[len(s.events)-1], s.states()
	r := row{
		"os":              carried(s.events, func(e events.Stored) string { return e.OS }),
		"room_session_id": carried(s.events, roomSession),
		"via":             carried(s.events, func(e events.Stored) string { return e.Via }),
		"state":           states[len(states)-1].Reason, "last_event_at": happened(last), "is_import": first.Import,
		"interruptions": len(s.broken()), "missing_events": last.Seq - first.Seq + 1 - int64(len(s.events)),
		"ended_by": s.endedBy, "caller_fault": false, "closing": false,
		"login_started_at": nil, "logined_at": nil, "time_to_login_ms": nil, "ended_at": nil, "end_error_code": nil, "login_error_code": nil, "last_alive_at": nil,
	}
	for name, column := range descriptive {
		r[name] = carried(s.events, column)
	}
	began, in := s.find(events.Logining), s.find(events.Logined)
	if first.Reason != events.Logining {
		began = nil
	} else {
		r["login_started_at"] = happened(*began)
	}
	if in != nil {
		r["logined_at"] = happened(*in)
	}
	if began != nil && in != nil {
		r["time_to_login_ms"] = max(0, between(*began, *in))
	}
	if s.end != nil {
		r["ended_at"] = happened(*s.end)
		if s.endedBy != "superseded" {
			r["end_error_code"] = s.end.ErrorCode
		}
		if s.endedBy == "LoginFailed" {
			r["login_error_code"] = s.end.ErrorCode
			code, _ := events.LookupCode(s.end.Family, s.end.ErrorCode)
			r["caller_fault"] = code.Category == "auth" || code.Category == "parameter" || code.Category == "client-usage"
		}
	}
	var connected, reconnecting int64
	for _, c := range s.connected() {
		connected += max(0, between(c.from, c.to))
	}
	for _, b := range s.broken() {
		if !b.open {
			reconnecting += max(0, between(b.from, b.to))
		}
	}
	r["connected_ms"], r["reconnecting_ms"] = connected, reconnecting
	for _, e := range s.events {
		earliest(r, "first_received_at", e.ReceivedAt, false)
		earliest(r, "last_received_at", e.ReceivedAt, true)
		if e.Kind == events.Alive {
			earliest(r, "last_alive_at", happened(e), true)
		}
		if e.Kind == events.App {
			r["closing"] = e.Why == "closing"
		}
	}
	t.put("sessions", r, no)
}

func earliest(r row, column string, at time.Time, latest bool) {
	if was, ok := r[column].(time.Time); !ok || latest && at.After(was) || !latest && at.Before(was) {
		r[column] = at
	}
}

func (t told) interruptions(profiles projections.Profiles, login int, s stay) {
	for i, b := range s.broken() {
		limits := profiles.At(b.from.AppID, b.from.Family, b.from.Platform, happened(b.from))
		r := row{
			"started_at": happened(b.from), "start_received_at": b.from.ReceivedAt, "error_code": b.from.ErrorCode,
			"is_import": b.from.Import, "heartbeat_timeout_ms": limits.HeartbeatTimeoutMS, "retry_window_ms": limits.RetryWindowMS,
			"outcome": "", "ended_at": nil, "end_received_at": nil, "duration_ms": nil, "end_error_code": nil,
		}
		if b.from.RetryWindowMS > 0 {
			r["retry_window_ms"] = b.from.RetryWindowMS
		}
		// From its Reconnecting, else the last carried before it.
		var before []events.Stored
		for _, e := range s.events {
			if e.Seq <= b.from.Seq {
				before = append([]events.Stored{e}, before...)
			}
		}
		for name, column := range descriptive {
			r[name] = carried(before, column)
		}
		if !b.open {
			r["ended_at"], r["end_received_at"] = happened(b.to), b.to.ReceivedAt
			r["duration_ms"], r["end_error_code"] = max(0, between(b.from, b.to)), b.to.ErrorCode
			r["outcome"] = map[events.Reason]string{
				events.Reconnected: "reconnected", events.ReconnectFailed: "reconnect_failed", events.KickOut: "kicked",
				events.Logout: "logged_out", events.LoginFailed: "login_failed", events.Logining: "superseded",
			}[b.to.Reason]
			if b.to.Reason == events.Logining {
				r["end_error_code"] = nil
			}
		}
		t.put("interruptions", r, login, "/", i+1)
	}
}

func (t told) kick(login int, s stay) {
	if s.endedBy != "KickOut" {
		return
	}
	r := row{"kicked_at": happened(*s.end), "received_at": s.end.ReceivedAt, "error_code": s.end.ErrorCode, "message": nil, "kick_reason": "unknown",
		"is_import": s.end.Import, "session_age_ms": max(0, between(s.events[0], *s.end))}
	native := s.end.Family == events.Native
	switch code := s.end.ErrorCode; {
	case code == 1002050:
		r["kick_reason"] = "duplicate_login"
	case code == 1002055:
		r["kick_reason"] = "backend"
	case native && code == 1002056, !native && code == 1102018:
		r["kick_reason"] = "token_expired"
	case native && code == 1002057:
		r["kick_reason"] = "session_exception"
	}
	broken := s.broken()
	r["while_reconnecting"] = len(broken) > 0 && broken[len(broken)-1].to.Seq == s.end.Seq
	if text, ok := extended(*s.end)["custom_kickout_message"]; ok {
		r["message"] = text
	}
	t.put("kicks", r, login)
}

// marks are what room_events says of each message (4.7, 5).
func (t told) marks(set, counted []events.Stored) {
	for _, e := range set {
		t.put("room_events", row{"is_copy": true, "previous": events.NoReason, "transition": ""}, e.Ref)
	}
	previous := events.NoReason
	for _, e := range counted {
		r := t["room_events"][fmt.Sprint(e.Ref)]
		r["is_copy"] = false
		if e.Kind == events.State {
			r["previous"], r["transition"] = previous, rating(previous, e.Reason)
			previous = e.Reason
		}
	}
}

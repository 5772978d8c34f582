package pipeline_test

import (
	"fmt"
	"time"

	"roomtrail/sim"
)

// retold is a login as its delivered events tell it: contract 4.3 to 4.6 once
// more, for sessions of one login, slowly and from the text.
type retold struct {
	startedAt, loginedAt, endedAt time.Time
	endedBy, state                string
	endCode                       int64
	connectedMS, reconnectingMS   int64
	missing                       int64
	kickedOffline                 bool
	breaks                        []retoldBreak
}

type retoldBreak struct {
	startedAt, endedAt time.Time
	outcome            any
	ms                 any
	from               time.Time
}

var outcomesOf = map[string]string{
	"ReconnectFailed": "reconnect_failed", "KickOut": "kicked", "Logout": "logged_out", "LoginFailed": "login_failed",
}

// retell is false where no state event was delivered: such a session has no row.
func (d *day) retell(l *sim.Login) (*retold, bool) {
	r, begun := &retold{}, false
	var last int64
	var connected *time.Time
	for _, e := range l.Events {
		if !e.Delivered || r.endedBy != "" || !begun && e.Kind != "state" {
			continue
		}
		happened := d.happened[fmt.Sprintf("%s/%d", l.SessionID, e.Seq)]
		if begun {
			r.missing += e.Seq - last - 1
		}
		last, begun = e.Seq, true
		var open *retoldBreak
		if n := len(r.breaks); n > 0 && r.breaks[n-1].endedAt.IsZero() {
			open = &r.breaks[n-1]
		}
		if e.Kind == "state" {
			r.state = e.Reason
			switch e.Reason {
			case "Logining":
				r.startedAt = happened
			case "Logined", "Reconnected":
				if e.Reason == "Logined" && r.loginedAt.IsZero() {
					r.loginedAt = happened
				}
				if e.Reason == "Reconnected" {
					r.close(open, e, happened, "reconnected")
				}
				if connected == nil {
					connected = &e.At
				}
			case "Reconnecting":
				r.connectedMS += stretch(connected, e.At)
				connected = nil
				if open == nil {
					r.breaks = append(r.breaks, retoldBreak{startedAt: happened, from: e.At, outcome: "presumed_lost"})
				}
			case "LoginFailed", "ReconnectFailed", "KickOut", "Logout":
				r.kickedOffline = open != nil
				r.connectedMS += stretch(connected, e.At)
				connected = nil
				r.close(open, e, happened, outcomesOf[e.Reason])
				r.endedAt, r.endedBy, r.endCode = happened, e.Reason, e.ErrorCode
			}
		}
	}
	if connected != nil { // still connected: up to the last event
		for _, e := range l.Events {
			if e.Seq == last {
				r.connectedMS += stretch(connected, e.At)
			}
		}
	}
	return r, begun
}

func (r *retold) close(open *retoldBreak, e sim.Said, happened time.Time, outcome string) {
	if open == nil {
		return
	}
	ms := e.At.Sub(open.from).Milliseconds()
	open.endedAt, open.outcome, open.ms = happened, outcome, ms
	r.reconnectingMS += ms
}

func stretch(from *time.Time, to time.Time) int64 {
	if from == nil {
		return 0
	}
	return to.Sub(*from).Milliseconds()
}

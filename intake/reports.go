package intake

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"time"

	"roomtrail/events"
)

// verdict is what is said of an event that was not accepted.
type verdict struct {
	Index  int    `json:"index"`
	Status string `json:"status"`
	Error  string `json:"error"`
	Field  string `json:"field,omitempty"`
}

// reply is the answer to a report (contract 2).
type reply struct {
	Accepted   int               `json:"accepted"`
	Rejected   int               `json:"rejected"`
	Results    []verdict         `json:"results"`
	AliveEvery int64             `json:"alive_every_ms"`
	DryRun     bool              `json:"dry_run,omitempty"`
	Understood []json.RawMessage `json:"understood,omitempty"`
}

// reports takes POST /v1/events.
func (d *Door) reports(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	answer, size, f := d.take(w, r)
	status := http.StatusOK
	if f != nil {
		status = f.status
	}
	d.config.Observe.request(Request{
		Status: status, Accepted: answer.Accepted, Rejected: answer.Rejected, Bytes: size, Took: time.Since(start),
	})
	if f != nil {
		d.config.Logger.Info("report refused", "status", status, "reason", f.reason, "client", clientAddr(r, d.config.TrustedProxies))
		d.refuse(w, f, answer.Results)
		return
	}
	if answer.Rejected > 0 {
		first := answer.Results[0]
		d.config.Logger.Info("events rejected", "accepted", answer.Accepted, "rejected", answer.Rejected,
			"first_field", first.Field, "first_reason", first.Error, "client", clientAddr(r, d.config.TrustedProxies))
	}
	writeJSON(w, status, answer)
}

// take does everything but the answering: limits, key, body, verdicts, log.
func (d *Door) take(w http.ResponseWriter, r *http.Request) (answer reply, size int, f *fault) {
	from, its, size, done, f := d.open(w, r, "events")
	defer done()
	if f != nil {
		return answer, size, f
	}
	accepted, answer, foreign := d.judge(&from, its)
	if f := d.chargeEvents(w, r, &from, len(its.events), accepted); f != nil {
		return reply{}, size, f
	}
	if len(accepted) == 0 && foreign != "" {
		f := faultf(http.StatusForbidden, "no event is of what the key or token is for")
		f.field = foreign
		return answer, size, f
	}
	if r.URL.Query().Get("dry_run") == "1" {
		answer.DryRun = true
		for i := range accepted {
			answer.Understood = append(answer.Understood, events.Encode(&accepted[i]))
		}
		return answer, size, nil
	}
	if err := d.append(r.Context(), accepted); err != nil {
		return reply{}, size, d.unavailable(err)
	}
	return answer, size, nil
}

// open finds out who sends and takes the body apart: the envelope's list, or
// what stands for it. What comes back is valid until done is called.
func (d *Door) open(w http.ResponseWriter, r *http.Request, list string) (from sender, its items, size int, done func(), f *fault) {
	done = func() {}
	if from, f = d.admit(w, r); f != nil {
		return from, its, 0, done, f
	}
	held := d.allow(r)
	done = held.release
	confirm := from.watch(r)
	body, f := readBody(w, r, held, maxPlain)
	if f == nil {
		f = confirm()
	}
	if f == nil {
		its, f = split(r.Header.Get("Content-Type"), body, list)
	}
	return from, its, len(body), done, f
}

// judge reads each event and says which are acceptable. foreign is the first
// field by which one was not of its key's app, or its token's user, room or
// session.
func (d *Door) judge(from *sender, its items) (accepted []events.Event, answer reply, foreign string) {
	now := d.config.Now()
	salts := make([]byte, 16*len(its.events))
	_, _ = rand.Read(salts) // never fails
	accepted = make([]events.Event, 0, len(its.events))
	answer = reply{Results: []verdict{}, AliveEvery: d.aliveEvery(from.App, "")}
	read := events.FromReport
	if from.imported {
		read = events.FromArchive
	}
	for i, item := range its.events {
		e, err := read(now, item)
		if err == nil {
			if refused := from.Refuses(e.Key()); refused != nil {
				foreign, err = cmp.Or(foreign, refused.Field), refused
			}
		}
		if err != nil {
			answer.Results = append(answer.Results, verdictOf(i, err))
			continue
		}
		e.Trust = from.Trust
		e.Import = from.imported
		copy(e.Salt[:], salts[16*i:])
		if !its.sentAt.IsZero() && !from.imported { // who sends an archive now has not the clock of then
			e.SetSentAt(its.sentAt)
		}
		accepted = append(accepted, e)
	}
	answer.Accepted, answer.Rejected = len(accepted), len(answer.Results)
	if len(accepted) > 0 {
		answer.AliveEvery = d.aliveEvery(accepted[0].AppID, accepted[0].Platform)
	}
	return accepted, answer, foreign
}

// append waits for the log, but not for a sender who has gone: what was
// handed over is stored in any case.
func (d *Door) append(ctx context.Context, accepted []events.Event) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), appendTimeout)
	defer cancel()
	return d.log.Append(ctx, accepted)
}

// appendTimeout is how long a sender waits for the log before it is told to
// come back.
const appendTimeout = 10 * time.Second

// unavailable is the answer when the log did not take a request: the sender
// keeps its batch and sends it again; copies are harmless.
func (d *Door) unavailable(err error) *fault {
	d.config.Logger.Error("log did not take events", "error", err)
	f := faultf(http.StatusServiceUnavailable, "the log does not answer; keep the events and send them again")
	f.wait = time.Second
	if d.config.IsFull != nil && d.config.IsFull(err) {
		f.reason, f.wait = "the log is full; keep the events and send them again", 30*time.Second
	}
	return f
}

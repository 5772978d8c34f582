package intake

import (
	"bytes"
	"errors"
	"net/http"

	"roomtrail/events"
)

// aliveEvery is what reporters are asked for where nothing is set.
const aliveEvery = 30_000

func (d *Door) aliveEvery(app, platform string) int64 {
	if d.config.AliveEvery != nil {
		if ms := d.config.AliveEvery(app, platform); ms > 0 {
			return ms
		}
	}
	return aliveEvery
}

// alive takes POST /v1/alive: signs of life, which are no events and may get
// lost, since the next one says the same.
func (d *Door) alive(w http.ResponseWriter, r *http.Request) {
	answer, f := d.takeSigns(w, r)
	if f != nil {
		d.config.Logger.Info("signs of life refused", "status", f.status, "reason", f.reason, "client", clientAddr(r, d.config.TrustedProxies))
		d.refuse(w, f, answer.Results)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

func (d *Door) takeSigns(w http.ResponseWriter, r *http.Request) (answer reply, f *fault) {
	from, ok := d.sender(r)
	if !ok {
		return answer, faultf(http.StatusUnauthorized, "the write key is missing or not known; send Authorization: Bearer KEY, or ?key=KEY")
	}
	held := &allowance{room: d.room}
	defer held.release()
	body := bodies.Get().(*bytes.Buffer)
	defer bodies.Put(body)
	body.Reset()
	if f := d.readBody(w, r, body, held); f != nil {
		return answer, f
	}
	its, f := split(r.Header.Get("Content-Type"), body.Bytes(), "alive")
	if f != nil {
		return answer, f
	}
	answer = reply{Results: []verdict{}, AliveEvery: d.aliveEvery(from.app, "")}
	now := d.config.Now()
	signs := make([]events.Sign, 0, len(its.events))
	for i, item := range its.events {
		s, err := events.FromAlive(now, item)
		if err == nil && from.app != "" && s.AppID != from.app {
			err = &events.Refused{Field: "app_id", Reason: "the write key is not for this app"}
		}
		if err != nil {
			answer.Results = append(answer.Results, verdictOf(i, err))
			continue
		}
		signs = append(signs, s)
	}
	answer.Accepted, answer.Rejected = len(signs), len(answer.Results)
	if d.config.Signs == nil {
		return answer, d.unavailable(errors.New("nobody takes signs of life"))
	}
	if err := d.config.Signs(signs); err != nil {
		return answer, d.unavailable(err)
	}
	return answer, nil
}

// verdictOf is what is said of an event that was refused.
func verdictOf(index int, err error) verdict {
	v := verdict{Index: index, Status: "rejected", Error: err.Error()}
	var refused *events.Refused
	if errors.As(err, &refused) {
		v.Field, v.Error = refused.Field, refused.Reason
	}
	return v
}

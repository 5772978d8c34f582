package intake

import (
	"cmp"
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
	from, its, _, done, f := d.open(w, r, "alive")
	defer done()
	if f != nil {
		return answer, f
	}
	// The session is charged for events alone: they also prove that it lives.
	if f := d.chargeEvents(w, r, &from, len(its.events), nil); f != nil {
		return answer, f
	}
	answer = reply{Results: []verdict{}, AliveEvery: d.aliveEvery(from.App, "")}
	now := d.config.Now()
	signs := make([]events.Sign, 0, len(its.events))
	foreign := ""
	for i, item := range its.events {
		s, err := events.FromAlive(now, item)
		if err == nil {
			if refused := from.Refuses(s.Key); refused != nil {
				foreign, err = cmp.Or(foreign, refused.Field), refused
			}
		}
		if err != nil {
			answer.Results = append(answer.Results, verdictOf(i, err))
			continue
		}
		signs = append(signs, s)
	}
	answer.Accepted, answer.Rejected = len(signs), len(answer.Results)
	if len(signs) == 0 && foreign != "" {
		f := faultf(http.StatusForbidden, "no sign of life is of what the key or token is for")
		f.field = foreign
		return answer, f
	}
	if len(signs) > 0 {
		answer.AliveEvery = d.aliveEvery(signs[0].Key.AppID, "")
	}
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

package intake

import (
	"net/http"

	"roomtrail/events"
)

// messages takes POST /v1/messages: messages of the log, one a line, that are
// appended again as they are. They say of themselves when they were received
// and how far their sender was trusted, so that only the import key opens this:
// it is the way to a log that has no port, for the owner of its directory.
func (d *Door) messages(w http.ResponseWriter, r *http.Request) {
	if from, f := d.admit(w, r); f != nil || !from.imported {
		d.refuse(w, faultf(http.StatusUnauthorized, "messages are taken with the import key alone; reports go to /v1/events"), nil)
		return
	}
	list, f := d.readMessages(w, r)
	if f == nil {
		if err := d.append(r.Context(), list); err != nil {
			f = d.unavailable(err)
		}
	}
	if f != nil {
		d.refuse(w, f, nil)
		return
	}
	writeJSON(w, http.StatusOK, reply{Accepted: len(list), Results: []verdict{}, AliveEvery: aliveEvery})
}

func (d *Door) readMessages(w http.ResponseWriter, r *http.Request) ([]events.Event, *fault) {
	held := d.allow(r)
	defer held.release()
	body, f := readBody(w, r, held, maxPlain)
	if f != nil {
		return nil, f
	}
	its, f := lines(body)
	if f != nil {
		return nil, f
	}
	list := make([]events.Event, 0, len(its.events))
	for i, line := range its.events {
		e, err := events.Decode(events.SchemaVersion, line)
		if err != nil {
			return nil, faultf(http.StatusBadRequest, "message %d: %v", i, err)
		}
		list = append(list, e)
	}
	return list, nil
}

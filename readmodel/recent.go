package readmodel

import "roomtrail/events"

// recent remembers the facts of sessions that are under way. Late and repeated
// events mostly belong to those, and each asks for all that was said before.
// What is here is all of a set, or nothing.
type recent struct {
	facts map[int64][]events.Stored
	n     int
}

// maxRecent bounds the facts that are remembered: some 60 MB.
const maxRecent = 50_000

func (r *recent) clear() {
	clear(r.facts)
	r.n = 0
}

func (r *recent) drop(id int64) {
	r.n -= len(r.facts[id])
	delete(r.facts, id)
}

// keep notes what a committed batch has added to a set.
func (r *recent) keep(s *set) {
	whole, isWhole := r.facts[s.id]
	if len(s.old) > 0 {
		whole, isWhole = s.old, true
	}
	if s.state.Login.Ended() || !isWhole && !s.isNew {
		r.drop(s.id)
		return
	}
	if r.n > maxRecent {
		r.clear()
	}
	r.n -= len(r.facts[s.id])
	whole = append(append(whole, s.fresh...), s.repeated...)
	r.facts[s.id] = whole
	r.n += len(whole)
}

// firsts finds the copies that count of the places that are asked for, where the
// facts of the set are remembered.
func (r *recent) firsts(id int64, asked map[place]bool, into map[place]events.Stored) bool {
	facts, ok := r.facts[id]
	for i := range facts {
		p := place{id, facts[i].Seq}
		if !asked[p] {
			continue
		}
		if was, ok := into[p]; !ok || facts[i].Ref.Before(was.Ref) {
			into[p] = facts[i]
		}
	}
	return ok
}

package readmodel

import (
	"roomtrail/events"
	"roomtrail/projections"
)

// Break gives the fold a fault: it panics half way, over events that say so.
func (m *ReadModel) Break(over func(events.Stored) bool) {
	m.advance = func(profiles projections.Profiles, saved *projections.Session, old, fresh []events.Stored) (*projections.Session, projections.Rows, projections.Gone) {
		state, rows, gone := projections.Advance(profiles, saved, old, fresh)
		for _, f := range fresh {
			if over(f) {
				panic("there is no such state")
			}
		}
		return state, rows, gone
	}
}

package projections

import "roomtrail/events"

// SaveFrom is the number of facts from which on a session's state is kept
// beside its rows. States of live sessions are remembered by who applies; what
// is kept serves the first event after a restart, and folding some dozens of
// facts once costs less than writing the state with every batch.
const SaveFrom = 64

// NeedsFacts says whether Advance needs the facts that were folded before:
// where no state is kept, or where a fresh fact does not come after it.
func NeedsFacts(saved *Session, fresh []events.Stored) bool {
	return saved == nil || !saved.Appends(fresh)
}

// Advance takes fresh facts into a session: saved is its kept state or nil,
// old its earlier facts (only where NeedsFacts). It returns the new state,
// the rows that are new or changed, and the keys of rows that are gone.
func Advance(profiles Profiles, saved *Session, old, fresh []events.Stored) (*Session, Rows, Gone) {
	if !NeedsFacts(saved, fresh) {
		return saved, saved.Append(profiles, fresh), Gone{}
	}
	before, rowsBefore := Fold(profiles, old)
	if before.Appends(fresh) {
		return before, before.Append(profiles, fresh), Gone{}
	}
	all := make([]events.Stored, 0, len(old)+len(fresh))
	after, rowsAfter := Fold(profiles, append(append(all, old...), fresh...))
	changed, gone := Diff(rowsBefore, rowsAfter)
	changed.Counts = rowsAfter.Counts
	changed.Counts.Add(rowsBefore.Counts, -1)
	return after, changed, gone
}

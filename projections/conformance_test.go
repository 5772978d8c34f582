package projections_test

import (
	"testing"

	"roomtrail/events"
	"roomtrail/projections"
	"roomtrail/projections/projectionstest"
)

// bySession groups facts as the read model does.
func bySession(facts []events.Stored) map[events.SetKey][]events.Stored {
	sets := map[events.SetKey][]events.Stored{}
	for _, f := range facts {
		sets[f.Key()] = append(sets[f.Key()], f)
	}
	return sets
}

// Every conformance case against the fold in memory.
func TestConformanceCasesInMemory(t *testing.T) {
	t.Parallel()
	for _, c := range projectionstest.Cases(t) {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			got := map[string][]projectionstest.Row{}
			for key, facts := range bySession(c.Facts(t)) {
				_, rows := projections.Fold(projections.DefaultProfiles, facts)
				for view, r := range projectionstest.Views(key, rows, facts, c.Now) {
					got[view] = append(got[view], r...)
				}
			}
			c.Check(t, got)
		})
	}
}

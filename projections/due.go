package projections

import "roomtrail/events"

// End is where one partition of the log ends at present.
type End struct {
	events.Ref      // of its last message
	Partitions int  // of its generation
	IsRetired  bool // nothing is appended to it any more
}

// Due is the generation that is to be applied now, of ends in order: the
// oldest that is not done; 0 where there is none. A session lies in one
// partition of each generation, so two runners would fold one set at once if
// two generations were applied side by side.
//
// A generation is done when all its partitions are known, retired and applied
// to their ends. The newest never is. applied holds the last message of each
// partition that has been applied; where none has, it is missing.
func Due(ends []End, applied []events.Ref) int {
	at := make(map[events.Ref]bool, len(applied))
	for _, ref := range applied {
		at[ref] = true
	}
	for len(ends) > 0 {
		first, done := ends[0], 0
		for len(ends) > 0 && ends[0].Generation == first.Generation {
			if e := ends[0]; e.IsRetired && (e.Seq == 0 || at[e.Ref]) {
				done++
			}
			ends = ends[1:]
		}
		if len(ends) == 0 || done < first.Partitions {
			return first.Generation
		}
	}
	return 0
}

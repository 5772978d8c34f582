// Package projections turns sets of events into rows.
//
// It promises: the rows of a session are a pure function of the set of its
// events and of the profiles; order of arrival, repetition, batch borders and
// restarts never change them (contract 4). Appending to a saved state gives
// the rows that folding the whole set gives.
//
// It refuses: clocks, storage, goroutines. Whether an open interruption has
// timed out is asked of the views, not folded here.
//
//	facts of one session ──sort by seq──> Step, Step, Step ──> rows
//	                                        │
//	                                      State (saved for long sessions)
package projections

// Version is the one number of the read model: it names the schema that holds
// the derived tables. Any change to a fold or its tables raises it.
const Version = 3

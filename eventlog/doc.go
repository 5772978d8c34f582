// Package eventlog keeps events in NATS JetStream, the truth of everything.
//
// It promises: Append returns nil only when every event has been acknowledged
// by the server; a reader gives messages without a hole or says which are
// missing; a log that was rolled back or made anew is recognised; the number of
// partitions changes without loss (generations.go).
//
// It refuses: to look into what events mean, to trust the broker's consumer
// positions, to skip anything.
//
//	Append ─┐
//	Append ─┼─> writer of the partition ─ one atomic batch ─> stream
//	Append ─┘     (gathers 2 ms or 1 000 events)                │
//	                                           Reader <─ in order, no acks
package eventlog

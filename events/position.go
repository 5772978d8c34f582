package events

import "time"

// Position is how far one partition has been applied, and by what its log is
// recognised: a log that was rolled back or made anew shows another digest or
// another time of creation.
type Position struct {
	Generation, Partition int
	Seq                   uint64    // last applied; 0 before the first
	LogCreated            time.Time // zero before the first
	Digest                [16]byte  // of the message at Seq
	Epoch                 int64     // who may commit
}

// Batch is what was read from one partition at once: facts that follow a
// position without a hole.
type Batch struct {
	Facts      []Stored
	LogLast    uint64    // last sequence in the log when the batch was read
	LogCreated time.Time // when the log was created
}

// HaltError stops a partition until a person decides: going on would skip
// events or guess.
type HaltError struct{ Why string }

func (e *HaltError) Error() string { return "partition halted: " + e.Why }

package pipeline

import (
	"context"

	"roomtrail/events"
	"roomtrail/projections"
)

// Ahead reads the next batch while the one before is applied. What it has read
// is given out only for the position that it follows; after a fault, where the
// runner asks for another, it is dropped.
type Ahead struct {
	log   projections.Log
	next  chan read // a read that is under way or done; nil when there is none
	after events.Position
}

type read struct {
	batch events.Batch
	err   error
}

// ReadAhead wraps a log. It is for one runner.
func ReadAhead(log projections.Log) *Ahead { return &Ahead{log: log} }

func (a *Ahead) Read(ctx context.Context, after events.Position, limit int) (events.Batch, error) {
	got, ok := a.take(ctx, after)
	if !ok {
		got.batch, got.err = a.log.Read(ctx, after, limit)
	}
	if n := len(got.batch.Facts); got.err == nil && n > 0 && got.batch.LogLast > got.batch.Facts[n-1].Ref.Seq {
		// More is known to be there, so the read ahead will not have to wait.
		last := got.batch.Facts[n-1]
		a.after = after
		a.after.Seq, a.after.Digest, a.after.LogCreated = last.Ref.Seq, last.Digest, got.batch.LogCreated
		next := make(chan read, 1)
		a.next = next
		go func(after events.Position) {
			batch, err := a.log.Read(ctx, after, limit)
			next <- read{batch, err}
		}(a.after)
	}
	return got.batch, got.err
}

// Close waits for the read that is under way, so that the log may be closed.
func (a *Ahead) Close() {
	if a.next != nil {
		<-a.next
		a.next = nil
	}
}

// take waits for the read that is under way: the log serves one at a time.
func (a *Ahead) take(ctx context.Context, after events.Position) (read, bool) {
	if a.next == nil {
		return read{}, false
	}
	got := <-a.next
	a.next = nil
	return got, a.after == after && got.err == nil && ctx.Err() == nil
}

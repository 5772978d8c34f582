package projections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"roomtrail/events"
)

// Log is what a runner needs of the log.
type Log interface {
	// Read returns up to limit facts that follow the position without a hole.
	// It waits a moment for the first; none is no error.
	Read(ctx context.Context, after events.Position, limit int) (events.Batch, error)
}

// Store is what a runner needs of the read model.
type Store interface {
	// Claim makes the caller the one who may commit, or returns ErrOwned.
	Claim(ctx context.Context, generation, partition int) (events.Position, error)
	// Apply commits a batch and the position after it in one transaction.
	// Where the stored position is not from, it applies nothing and returns
	// the stored one: an earlier commit whose reply was lost.
	Apply(ctx context.Context, from events.Position, batch events.Batch) (events.Position, error)
	// Idle renews the claim when there is nothing to apply.
	Idle(ctx context.Context, at events.Position, logLast uint64) error
	// Halt records why the partition stands still.
	Halt(ctx context.Context, at events.Position, why error) error
}

// ErrOwned says that somebody else may commit at present.
var ErrOwned = errors.New("another process applies this partition")

// ErrFenced says that somebody else has taken over: nothing may be committed
// with this position any more.
var ErrFenced = errors.New("another process has taken this partition over")

// Runner applies one partition.
type Runner struct {
	Log                   Log
	Store                 Store
	Generation, Partition int
	Limit                 int           // facts in a batch; 0 means 20 000
	Pause                 time.Duration // after an error; 0 means 1 s
	Wait                  func(ctx context.Context, d time.Duration) error
	Observe               func(Observation) // may be nil

	at      events.Position
	claimed bool
}

// Observation is what one Step did, for metrics and logs.
type Observation struct {
	Partition int
	Applied   int
	Position  uint64
	LogLast   uint64
	Err       error
}

// Step claims the partition if need be, reads one batch and applies it. It
// returns how many facts it applied.
func (r *Runner) Step(ctx context.Context) (n int, err error) {
	if !r.claimed {
		if r.at, err = r.Store.Claim(ctx, r.Generation, r.Partition); err != nil {
			return 0, fmt.Errorf("claim partition %d/%d: %w", r.Generation, r.Partition, err)
		}
		r.claimed = true
	}
	limit := r.Limit
	if limit == 0 {
		limit = 20_000
	}
	batch, err := r.Log.Read(ctx, r.at, limit)
	if err != nil {
		return 0, r.failed(ctx, fmt.Errorf("read after %d/%d/%d: %w", r.Generation, r.Partition, r.at.Seq, err))
	}
	if len(batch.Facts) == 0 {
		return 0, r.failed(ctx, r.Store.Idle(ctx, r.at, batch.LogLast))
	}
	next, err := r.Store.Apply(ctx, r.at, batch)
	if err != nil {
		return 0, r.failed(ctx, fmt.Errorf("apply %d facts after %d/%d/%d: %w", len(batch.Facts), r.Generation, r.Partition, r.at.Seq, err))
	}
	if next.Seq > r.at.Seq { // else a commit was lost with a crash, and is done again
		n = int(next.Seq - r.at.Seq)
	}
	r.at = next
	if r.Observe != nil {
		r.Observe(Observation{Partition: r.Partition, Applied: n, Position: next.Seq, LogLast: batch.LogLast})
	}
	return n, nil
}

// failed gives the claim up, so that the next Step starts from what the
// store says, and writes a halt down where a person must decide.
func (r *Runner) failed(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	r.claimed = false
	var halt *events.HaltError
	if errors.As(err, &halt) {
		if herr := r.Store.Halt(ctx, r.at, err); herr != nil {
			return errors.Join(err, herr)
		}
	}
	return err
}

// Run steps until the context ends. Errors are told to Observe and tried
// again after a pause; the position in the store makes that harmless.
func (r *Runner) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		_, err := r.Step(ctx)
		if err == nil || ctx.Err() != nil {
			continue
		}
		if r.Observe != nil {
			r.Observe(Observation{Partition: r.Partition, Position: r.at.Seq, Err: err})
		}
		pause := r.Pause
		if pause == 0 {
			pause = time.Second
		}
		var halt *events.HaltError
		if errors.As(err, &halt) {
			pause *= 10 // only a person can help
		}
		if err := r.Wait(ctx, pause); err != nil {
			break
		}
	}
	return ctx.Err()
}

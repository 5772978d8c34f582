package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"roomtrail/eventlog"
	"roomtrail/events"
	"roomtrail/intake"
	"roomtrail/projections"
)

// lookEvery is how often a projector asks which generation of the log is due.
const lookEvery = time.Second

// project applies the generation of the log that is due, with a runner for
// each partition, and goes over to the next one when all of it is applied, by
// whichever process.
func (p *Pipeline) project(ctx context.Context) {
	told := p.teller("generations of the log are not known")
	running, stop := 0, func() {}
	defer func() { stop() }()
	for ctx.Err() == nil {
		due, partitions, err := p.due(ctx)
		told(ctx, err)
		if err == nil && due != running {
			stop()
			if running != 0 {
				_ = p.model.Release(ctx) // the lease runs out by itself
				p.metrics.leave(running)
				p.config.Logger.Info("another generation of the log is applied", "generation", due, "partitions", partitions, "before", running)
			}
			running, stop = due, p.startGeneration(ctx, due, partitions)
		}
		_ = wait(ctx, lookEvery)
	}
}

// due asks which generation is applied now, and notes what waits in others. It
// finishes what a process has left that was changing the number of partitions:
// until then the generation before would not end.
func (p *Pipeline) due(ctx context.Context) (generation, partitions int, err error) {
	info, err := p.log.Finish(ctx)
	if err != nil {
		return 0, 0, err
	}
	applied, err := p.model.Applied(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("ask for what is applied: %w", err)
	}
	generation = projections.Due(endsOf(info), applied)
	var waiting []events.Ref
	for _, i := range info {
		if i.Generation == generation {
			partitions = i.Partitions
		}
		if i.Generation > generation {
			waiting = append(waiting, lastOf(i))
			p.metrics.awaits(lastOf(i))
		}
	}
	if len(waiting) == 0 {
		return generation, partitions, nil
	}
	return generation, partitions, p.model.Await(ctx, waiting)
}

// endsOf is the log as Due sees it.
func endsOf(info []eventlog.PartitionInfo) []projections.End {
	ends := make([]projections.End, 0, len(info))
	for _, i := range info {
		ends = append(ends, projections.End{Ref: lastOf(i), Partitions: i.Partitions, IsRetired: i.IsRetired})
	}
	return ends
}

// lastOf names the last message of a partition.
func lastOf(i eventlog.PartitionInfo) events.Ref {
	return events.Ref{Generation: i.Generation, Partition: i.Partition, Seq: i.Last}
}

// startGeneration starts a runner for each partition. Stop waits for their end.
func (p *Pipeline) startGeneration(ctx context.Context, generation, partitions int) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var runners sync.WaitGroup
	for n := range partitions {
		reader := p.log.Reader(generation, n, 500*time.Millisecond)
		ahead := ReadAhead(reader)
		runner := &projections.Runner{
			Log: ahead, Store: p.model, Generation: generation, Partition: n,
			Limit: p.config.BatchSize, Wait: wait, Observe: p.observe(generation, n),
		}
		runners.Go(func() {
			defer reader.Close()
			defer ahead.Close()
			_ = runner.Run(ctx) // it ends with the context alone
		})
	}
	return func() {
		cancel()
		runners.Wait()
	}
}

// observe tells metrics and log what a runner does; an error that repeats is
// told once a minute.
func (p *Pipeline) observe(generation, partition int) func(projections.Observation) {
	var said string
	var at time.Time
	return func(o projections.Observation) {
		p.metrics.applied(generation, partition, o)
		if o.Err == nil {
			said = ""
			return
		}
		if errors.Is(o.Err, projections.ErrOwned) {
			return // somebody else applies it; this one stands by
		}
		if text := o.Err.Error(); text != said || time.Since(at) > time.Minute {
			p.config.Logger.Error("partition is not applied", "generation", generation, "partition", partition, "position", o.Position, "error", o.Err)
			said, at = text, time.Now()
		}
	}
}

// partitionBytes is the size of a partition where there are n. A stream sets
// it aside: on a small disk less than asked for, so that there is as much left
// for another generation.
func (p *Pipeline) partitionBytes(n int) int64 {
	if p.nats == nil {
		return p.config.MaxBytes
	}
	return min(p.config.MaxBytes, p.nats.MaxStore()/int64(n)*9/20)
}

// Repartition changes the number of partitions: a new generation of the log is
// opened, unless the newest has as many.
func (p *Pipeline) Repartition(ctx context.Context, n int) error {
	if n < 1 || n > events.Buckets {
		return fmt.Errorf("%d partitions; want 1 to %d", n, events.Buckets)
	}
	before := p.log.Generation()
	if err := p.log.Repartition(ctx, n, p.partitionBytes(n)); err != nil {
		return err
	}
	if g := p.log.Generation(); g != before {
		p.config.Logger.Info("events go to a new generation of the log", "generation", g, "partitions", n, "before", before)
	}
	return nil
}

// PartitionsPath is where a command on the same machine reaches the log of
// this process.
const PartitionsPath = "/internal/partitions"

// handlePartitions opens that way.
func (p *Pipeline) handlePartitions(door *intake.Door) {
	if p.dir == nil {
		return // no endpoint is published: commands reach the server itself
	}
	door.Handle("GET "+PartitionsPath, p.ownersOnly(func(r *http.Request) (any, error) { return p.log.Info(r.Context()) }))
	door.Handle("POST "+PartitionsPath, p.ownersOnly(func(r *http.Request) (any, error) {
		var n int
		if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
			return nil, fmt.Errorf("read number of partitions: %w", err)
		}
		if err := p.Repartition(r.Context(), n); err != nil {
			return nil, err
		}
		return p.log.Info(r.Context())
	}))
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/events"
	"roomtrail/pipeline"
	"roomtrail/projections"
	"roomtrail/readmodel"
)

const (
	// What goes on meanwhile: an event a millisecond, appended ten at a time.
	trafficEvery = 10 * time.Millisecond
	trafficBatch = 10

	rebuildLimit = "reading the same facts with one COPY, and one INSERT … SELECT of each finished derived table into one with the same keys and indexes"
)

// rebuild drains a log and fills the read model anew while traffic goes on, is
// killed half way, and goes on. Both must show the same: any difference fails.
func (b *bench) rebuild(ctx context.Context, r *report) (row, error) {
	out := row{Name: "rebuild", What: "facts into a second read model that is compared and made live, killed half way, with 1 000 events a second going on", Timed: "a transaction of the fill", Limit: rebuildLimit}
	d, err := openDrain(ctx, b.dir)
	if err != nil {
		return out, err
	}
	defer d.close(ctx)
	r.Machine.Postgres = d.version
	b.say("rebuild: filling the log with %d events and draining it", b.flags.Events)
	if err := d.fill(ctx, b.flags.Events); err != nil {
		return out, fmt.Errorf("fill log: %w", err)
	}
	traffic, err := d.startTraffic(ctx, b.flags.Events)
	if err != nil {
		return out, err
	}
	defer traffic.end()
	b.say("rebuild: filling, comparing and switching")
	stop, err := b.profile(out.Name)
	if err != nil {
		return out, err
	}
	err = b.timeRebuild(ctx, d, &out)
	return out, errors.Join(err, stop(), traffic.end())
}

func (b *bench) timeRebuild(ctx context.Context, d *drainStand, out *row) error {
	clock, limit := clock{postmaster: d.postmaster}, clock{}
	var took []time.Duration
	spent := map[readmodel.RebuildStep]time.Duration{}
	last := time.Now()
	halfWay, kill := context.WithCancel(ctx)
	defer kill()
	config := readmodel.RebuildConfig{Progress: func(p readmodel.RebuildProgress) {
		now := time.Now()
		spent[p.Step] += now.Sub(last)
		if p.Step == readmodel.StepFill && p.Done > 0 {
			took = append(took, now.Sub(last))
			if 2*p.Done > p.Of {
				kill()
			}
		}
		last = now
	}}
	var found readmodel.RebuildReport
	err := clock.time(func() (err error) {
		last = time.Now()
		if _, err := readmodel.Rebuild(halfWay, d.url, config); halfWay.Err() == nil {
			return errors.Join(err, errors.New("it was over before it could be killed half way"))
		}
		last = time.Now()
		found, err = readmodel.Rebuild(ctx, d.url, config)
		return err
	})
	switch {
	case err != nil:
		return err
	case !found.Resumed:
		return errors.New("it began anew after it was killed")
	case found.Differs():
		return fmt.Errorf("the rebuilt read model differs from the live one: %+v", found.Views)
	case found.Facts < int64(b.flags.Events):
		return fmt.Errorf("only %d of %d facts were folded", found.Facts, b.flags.Events)
	}
	b.say("rebuild: %d facts of %d sets; fill %.1f s, catch up %.1f s, second stage %.1f s, compare %.1f s, in all %.1f s", found.Facts, found.Sets,
		spent[readmodel.StepFill].Seconds(), spent[readmodel.StepCatchUp].Seconds(), spent[readmodel.StepSettle].Seconds(), spent[readmodel.StepCompare].Seconds(), found.Took.Seconds())
	out.measured(int(found.Facts), &clock, took)
	if err := limit.time(func() error { return d.copyDerived(ctx) }); err != nil {
		return fmt.Errorf("copy derived tables: %w", err)
	}
	out.compare(float64(found.Facts) / limit.elapsed.Seconds())
	return nil
}

// copyDerived does the least that a rebuild must.
func (d *drainStand) copyDerived(ctx context.Context) error {
	if _, err := d.sql.PgConn().CopyTo(ctx, io.Discard, "COPY (SELECT * FROM roomtrail.events) TO STDOUT (FORMAT binary)"); err != nil {
		return err
	}
	rows, err := d.sql.Query(ctx, "SELECT tablename::text FROM pg_tables WHERE schemaname = $1", projections.Schema())
	if err != nil {
		return err
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	sql := "SET synchronous_commit = off; CREATE SCHEMA least;"
	for _, t := range tables {
		sql += fmt.Sprintf("CREATE TABLE least.%[2]s (LIKE %[1]s.%[2]s INCLUDING ALL); INSERT INTO least.%[2]s OVERRIDING SYSTEM VALUE SELECT * FROM %[1]s.%[2]s;", projections.Schema(), t)
	}
	_, err = d.sql.Exec(ctx, sql)
	return err
}

// traffic appends events and applies them until it is ended.
type traffic struct {
	stop context.CancelFunc
	all  sync.WaitGroup
	once sync.Once
	err  error
}

// startTraffic returns when the log of n events has been drained.
func (d *drainStand) startTraffic(ctx context.Context, n int) (*traffic, error) {
	ctx, stop := context.WithCancel(ctx)
	t := &traffic{stop: stop}
	reader := d.log.Reader(d.log.Generation(), 0, 100*time.Millisecond)
	ahead := pipeline.ReadAhead(reader)
	drained := make(chan struct{})
	var once sync.Once
	runner := &projections.Runner{
		Log: ahead, Limit: drainBatch, Store: d.model, Generation: d.log.Generation(), Pause: 50 * time.Millisecond, Wait: wait,
		Observe: func(o projections.Observation) {
			if o.Position >= uint64(n) {
				once.Do(func() { close(drained) })
			}
		},
	}
	t.all.Go(func() {
		defer reader.Close()
		defer ahead.Close()
		_ = runner.Run(ctx) // what it meets, such as a fence, it tries again
	})
	select {
	case <-drained:
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), t.end())
	}
	t.all.Go(func() {
		w := newWorkload(time.Now(), 1<<20)
		for wait(ctx, trafficEvery) == nil {
			list := make([]events.Event, trafficBatch)
			for i := range list {
				list[i] = w.next()
				list[i].UserID += "-now" // sessions of their own
			}
			if err := d.log.Append(ctx, list); err != nil && ctx.Err() == nil {
				t.err = fmt.Errorf("append traffic: %w", err)
				return
			}
		}
	})
	return t, nil
}

// end waits for its end; the second call says the same.
func (t *traffic) end() error {
	t.once.Do(func() {
		t.stop()
		t.all.Wait()
	})
	return t.err
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

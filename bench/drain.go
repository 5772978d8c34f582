package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"

	"roomtrail/embedded"
	"roomtrail/eventlog"
	"roomtrail/events"
	"roomtrail/pipeline"
	"roomtrail/projections"
	"roomtrail/readmodel"
)

const (
	drainBatch = 20_000 // the projector's own, which it uses here
	// The drain and its limit take turns, so that what else the machine does
	// meets both.
	drainTurn = 5 * drainBatch
	limitRows = 5000 // in a transaction

	drainLimit = "COPY of the same fact rows, already in COPY's own form, to a temporary table and one INSERT … ON CONFLICT DO NOTHING into a table with the same key and indexes; 5 000 rows a transaction, synchronous_commit off, as the read model does"
)

// drain reads a full log into an empty read model, as a rebuild does.
func (b *bench) drain(ctx context.Context, r *report) (row, error) {
	defer debug.SetGCPercent(debug.SetGCPercent(300)) // as ingest serve does
	out := row{Name: "drain", What: "events from the log into Postgres, in batches of 20 000", Timed: "a batch", Limit: drainLimit}
	d, err := openDrain(ctx, b.dir)
	if err != nil {
		return out, err
	}
	defer d.close(ctx)
	r.Machine.Postgres = d.version
	b.say("drain: filling the log with %d events", b.flags.Events)
	if err := d.fill(ctx, b.flags.Events); err != nil {
		return out, fmt.Errorf("fill log: %w", err)
	}
	if err := d.prepareLimit(ctx); err != nil {
		return out, err
	}
	b.say("drain: draining it, by turns with its limit")
	stop, err := b.profile(out.Name)
	if err != nil {
		return out, err
	}
	err = d.compare(ctx, b.flags.Events, &out)
	return out, errors.Join(err, stop())
}

// compare drains n events and writes the same facts with the least effort, by
// turns.
func (d *drainStand) compare(ctx context.Context, n int, out *row) error {
	reader := d.log.Reader(1, 0, time.Second)
	reads := &turnstile{log: reader}
	defer func() {
		reads.mu.Lock() // a read ahead may be under way after a fault
		reader.Close()
	}()
	runner := &projections.Runner{Log: pipeline.ReadAhead(reads), Limit: drainBatch, Store: d.model, Generation: d.log.Generation()}
	drained, limit := clock{postmaster: d.postmaster}, clock{}
	var took []time.Duration
	for done := 0; done < n; {
		from := done
		err := drained.time(func() error {
			for done < min(from+drainTurn, n) {
				stepped := time.Now()
				applied, err := runner.Step(ctx)
				if err == nil && applied == 0 {
					err = fmt.Errorf("nothing is read after %d of %d events", done, n)
				}
				if err != nil {
					return err
				}
				done += applied
				took = append(took, time.Since(stepped))
			}
			reads.mu.Lock() // what is being read ahead belongs to the drain
			return nil
		})
		if err != nil {
			return fmt.Errorf("drain: %w", err)
		}
		err = d.writeLimit(ctx, &limit, from, done)
		reads.mu.Unlock()
		if err != nil {
			return fmt.Errorf("write facts: %w", err)
		}
	}
	out.measured(n, &drained, took)
	out.compare(float64(n) / limit.elapsed.Seconds())
	return d.check(ctx, n)
}

// turnstile keeps a log from being read while its lock is held.
type turnstile struct {
	log projections.Log
	mu  sync.Mutex
}

func (t *turnstile) Read(ctx context.Context, after events.Position, limit int) (events.Batch, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.log.Read(ctx, after, limit)
}

// drainStand is a log, an empty read model, and a connection of our own.
type drainStand struct {
	server     *embedded.NATS
	conn       *nats.Conn
	log        *eventlog.Log
	postgres   *embedded.Postgres
	model      *readmodel.ReadModel
	sql        *pgx.Conn
	url        string // of the database
	version    string
	postmaster int
}

func openDrain(ctx context.Context, dir string) (_ *drainStand, err error) {
	d := &drainStand{}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close(ctx))
		}
	}()
	if d.server, err = embedded.StartNATS(embedded.NATSConfig{Dir: filepath.Join(dir, "nats")}); err != nil {
		return nil, err
	}
	if d.conn, err = d.server.Connect(); err != nil {
		return nil, err
	}
	if d.log, err = eventlog.Open(ctx, d.conn, eventlog.Config{MaxBytes: min(10<<30, d.server.MaxStore()*9/10)}); err != nil {
		return nil, err
	}
	if d.postgres, err = embedded.StartPostgres(ctx, embedded.PostgresConfig{Dir: filepath.Join(dir, "postgres")}); err != nil {
		return nil, err
	}
	d.url = d.postgres.DSN(d.postgres.Superuser(), "postgres")
	if err = readmodel.Migrate(ctx, d.url, ""); err != nil {
		return nil, err
	}
	if d.model, err = readmodel.Open(ctx, d.url, readmodel.Config{Owner: "bench"}); err != nil {
		return nil, err
	}
	if d.sql, err = pgx.Connect(ctx, d.url); err != nil {
		return nil, err
	}
	d.version = d.sql.PgConn().ParameterStatus("server_version")
	d.postmaster = parentOf(int(d.sql.PgConn().PID()))
	return d, nil
}

// close ends everything in the opposite order, also a stand that is half open.
func (d *drainStand) close(ctx context.Context) (err error) {
	// An interrupted run ends its servers all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	if d.sql != nil {
		d.sql.Close(ctx)
	}
	if d.model != nil {
		d.model.Close()
	}
	if d.postgres != nil {
		err = d.postgres.Stop(ctx)
	}
	if d.log != nil {
		d.log.Close()
	}
	if d.conn != nil {
		d.conn.Close()
	}
	if d.server != nil {
		d.server.Close()
	}
	return err
}

// fill appends n events to the log.
func (d *drainStand) fill(ctx context.Context, n int) error {
	w := newWorkload(time.Now(), n)
	list := make([]events.Event, 0, limitBatch)
	for left := n; left > 0; left -= len(list) {
		list = list[:0]
		for range min(left, limitBatch) {
			list = append(list, w.next())
		}
		if err := d.log.Append(ctx, list); err != nil {
			return err
		}
	}
	return nil
}

// prepareLimit makes the tables of the limit.
func (d *drainStand) prepareLimit(ctx context.Context) error {
	for _, sql := range []string{
		"SET synchronous_commit = off",
		"CREATE SCHEMA bench",
		"CREATE TABLE bench.events (LIKE roomtrail.events INCLUDING ALL)",
		"CREATE TEMP TABLE staging (LIKE roomtrail.events) ON COMMIT DELETE ROWS",
		"CHECKPOINT",
	} {
		if _, err := d.sql.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	return nil
}

// writeLimit writes facts that were drained once more, with the least that
// Postgres must do for them. Fetching them is not timed.
func (d *drainStand) writeLimit(ctx context.Context, limit *clock, from, until int) error {
	for ; from < until; from += limitRows {
		var rows bytes.Buffer
		_, err := d.sql.PgConn().CopyTo(ctx, &rows, fmt.Sprintf(
			"COPY (SELECT * FROM roomtrail.events WHERE generation = %d AND partition = 0 AND stream_seq > %d AND stream_seq <= %d ORDER BY stream_seq) TO STDOUT (FORMAT binary)",
			d.log.Generation(), from, min(from+limitRows, until)))
		if err != nil {
			return err
		}
		if err := limit.time(func() error { return d.copyAndMerge(ctx, &rows) }); err != nil {
			return err
		}
	}
	return nil
}

func (d *drainStand) copyAndMerge(ctx context.Context, rows *bytes.Buffer) error {
	return pgx.BeginFunc(ctx, d.sql, func(tx pgx.Tx) error {
		if _, err := tx.Conn().PgConn().CopyFrom(ctx, rows, "COPY staging FROM STDIN (FORMAT binary)"); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO bench.events SELECT * FROM staging ON CONFLICT DO NOTHING")
		return err
	})
}

// check makes sure that both have written everything.
func (d *drainStand) check(ctx context.Context, n int) error {
	var drained, limit int
	err := d.sql.QueryRow(ctx, "SELECT (SELECT count(*) FROM roomtrail.events), (SELECT count(*) FROM bench.events)").Scan(&drained, &limit)
	if err == nil && (drained != n || limit != n) {
		err = fmt.Errorf("the drain wrote %d and its limit %d of %d facts", drained, limit, n)
	}
	return err
}

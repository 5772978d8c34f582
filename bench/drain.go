package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"

	"roomtrail/embedded"
	"roomtrail/eventlog"
	"roomtrail/events"
	"roomtrail/projections"
	"roomtrail/readmodel"
)

const (
	drainBatch = 5000
	drainLimit = "COPY of the same fact rows, already in COPY's own form, to a temporary table and one INSERT … ON CONFLICT DO NOTHING into a table with the same key and indexes; 5 000 rows a transaction, synchronous_commit off, as the read model does"
)

// drain reads a full log into an empty read model, as after a rebuild.
func (b *bench) drain(ctx context.Context, r *report) (row, error) {
	out := row{Name: "drain", What: "events from the log into Postgres, in batches of 5 000", Timed: "a batch", Limit: drainLimit}
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
	b.say("drain: draining it")
	if err := b.drainAll(ctx, d, &out); err != nil {
		return out, err
	}
	b.say("drain: its limit, with the same rows")
	limit, err := d.limit(ctx, uint64(b.flags.Events))
	out.compare(limit)
	return out, err
}

// drainAll is the part under the clock.
func (b *bench) drainAll(ctx context.Context, d *drainStand, out *row) error {
	reader := d.log.Reader(0, time.Second)
	defer reader.Close()
	runner := &projections.Runner{Log: reader, Store: d.model, Generation: d.log.Generation(), Limit: drainBatch}
	if err := d.exec(ctx, "CHECKPOINT"); err != nil {
		return err
	}
	stop, err := b.profile(out.Name)
	if err != nil {
		return err
	}
	var took []time.Duration
	cpu, postgres := ownCPU(), serverCPU(d.postmaster)
	began := time.Now()
	for done := 0; done < b.flags.Events; {
		stepped := time.Now()
		n, err := runner.Step(ctx)
		if err == nil && n == 0 {
			err = fmt.Errorf("nothing is read after %d of %d events", done, b.flags.Events)
		}
		if err != nil {
			return errors.Join(err, stop())
		}
		done += n
		took = append(took, time.Since(stepped))
	}
	out.measured(b.flags.Events, time.Since(began), took)
	out.CPU = perMillion(ownCPU()-cpu, out.Events)
	out.PostgresCPU = perMillion(serverCPU(d.postmaster)-postgres, out.Events)
	return stop()
}

// drainStand is a log, an empty read model, and a connection of our own.
type drainStand struct {
	server     *embedded.NATS
	conn       *nats.Conn
	log        *eventlog.Log
	postgres   *embedded.Postgres
	model      *readmodel.ReadModel
	sql        *pgx.Conn
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
	url := d.postgres.DSN(d.postgres.Superuser(), "postgres")
	if err = readmodel.Migrate(ctx, url, ""); err != nil {
		return nil, err
	}
	if d.model, err = readmodel.Open(ctx, url, readmodel.Config{Owner: "bench"}); err != nil {
		return nil, err
	}
	if d.sql, err = pgx.Connect(ctx, url); err != nil {
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

func (d *drainStand) exec(ctx context.Context, sql string) error {
	_, err := d.sql.Exec(ctx, sql)
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

// limit writes the facts that the drain has left once more, with the least
// that Postgres must do for them.
func (d *drainStand) limit(ctx context.Context, n uint64) (perSecond float64, err error) {
	for _, sql := range []string{
		"SET synchronous_commit = off",
		"CREATE SCHEMA bench",
		"CREATE TABLE bench.events (LIKE roomtrail.events INCLUDING ALL)",
		"CREATE TEMP TABLE staging (LIKE roomtrail.events) ON COMMIT DELETE ROWS",
		"CHECKPOINT",
	} {
		if err := d.exec(ctx, sql); err != nil {
			return 0, fmt.Errorf("%s: %w", sql, err)
		}
	}
	var rows bytes.Buffer
	var elapsed time.Duration
	for from := uint64(0); from < n; from += drainBatch {
		rows.Reset()
		_, err := d.sql.PgConn().CopyTo(ctx, &rows, fmt.Sprintf(
			"COPY (SELECT * FROM roomtrail.events WHERE stream_seq > %d AND stream_seq <= %d ORDER BY stream_seq) TO STDOUT (FORMAT binary)",
			from, from+drainBatch))
		if err != nil {
			return 0, fmt.Errorf("read facts: %w", err)
		}
		began := time.Now()
		if err := d.copyAndMerge(ctx, &rows); err != nil {
			return 0, fmt.Errorf("write facts: %w", err)
		}
		elapsed += time.Since(began)
	}
	var count uint64
	if err := d.sql.QueryRow(ctx, "SELECT count(*) FROM bench.events").Scan(&count); err != nil {
		return 0, err
	}
	if count != n {
		return 0, fmt.Errorf("the limit wrote %d of %d facts", count, n)
	}
	return float64(n) / elapsed.Seconds(), nil
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

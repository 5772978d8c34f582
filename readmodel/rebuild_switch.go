package readmodel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"roomtrail/projections"
)

// switchOver lets the views show the rebuilt tables, in one transaction: before
// its commit nothing has happened. The live read model stands still meanwhile,
// its writers are fenced, and those of an older version for good.
func (r *rebuild) switchOver(ctx context.Context, report *RebuildReport) error {
	if err := r.catchUp(ctx, report); err != nil {
		return err
	}
	old := r.live.name
	if r.live.version == r.m.rm.version {
		old += "_old"
	}
	err := r.underSchemaLock(ctx, func() error {
		try := 0
		return r.stand(ctx, func(tx pgx.Tx) error {
			try++
			return r.switchTx(ctx, tx, report, try)
		})
	})
	if err != nil {
		return fmt.Errorf("switch: %w", err)
	}
	report.Switched, report.KeptSchema = true, old
	if r.config.KeepOld {
		return nil
	}
	if err := dropSchema(ctx, r.conn, old); err != nil {
		return fmt.Errorf("the rebuilt read model is live, but the old tables are still there (ingest rebuild --abandon drops them): %w", err)
	}
	report.KeptSchema = ""
	return nil
}

// switchTx is the one transaction. The live read model stands still.
func (r *rebuild) switchTx(ctx context.Context, tx pgx.Tx, report *RebuildReport, try int) error {
	if err := r.catchUpRest(ctx); err != nil {
		return err
	}
	if err := r.refuse(ctx, report); err != nil {
		return err
	}
	digest, err := profilesDigest(ctx, tx)
	if err != nil {
		return err
	}
	if digest != r.state.profiles {
		return errors.New("profiles were changed meanwhile; run it again, it begins anew")
	}
	// Whoever works in the second stage of the live one ends first, and finds
	// the new one afterwards.
	if err := exec(ctx, r.live.in(tx), `LOCK TABLE rm.dirty IN ACCESS EXCLUSIVE MODE`); err != nil {
		return err
	}
	if r.live.version == r.m.rm.version {
		err = exec(ctx, tx, fmt.Sprintf(`
ALTER SCHEMA %[1]s RENAME TO %[1]s_old;
ALTER SCHEMA %[2]s RENAME TO %[1]s;
UPDATE roomtrail.positions SET epoch = epoch + 1 WHERE version = %[3]d`, r.live.name, r.m.rm.name, r.live.version))
	} else {
		err = r.supersede(ctx, tx)
	}
	if err != nil {
		return err
	}
	if err := lockViews(ctx, tx, 500*time.Millisecond<<(try-1)); err != nil {
		return err
	}
	if err := pointViews(ctx, tx, r.liveName()); err != nil {
		return err
	}
	return forgetRebuild(ctx, tx)
}

// lockViews takes the views from their readers. A reader that waits for one of
// them while it holds another must not be the one that the server ends as
// deadlocked, which it looks for after a second: so this gives up before.
func lockViews(ctx context.Context, tx pgx.Tx, within time.Duration) error {
	rows, err := tx.Query(ctx, `
SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'v' AND c.relname = ANY($1) ORDER BY 1`, projections.PublicViews)
	if err != nil {
		return err
	}
	views, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	if err := exec(ctx, tx, fmt.Sprintf("SET LOCAL lock_timeout = '%dms'", within.Milliseconds()/2)); err != nil {
		return err
	}
	started := time.Now()
	for _, v := range views {
		// LOCK TABLE would lock all that the view rests on.
		if err := exec(ctx, tx, fmt.Sprintf("ALTER VIEW public.%s OWNER TO %s", v, ownerRole)); err != nil {
			return fmt.Errorf("lock view %s: %w", v, err)
		}
		if time.Since(started) > within {
			return errBusy
		}
	}
	return nil
}

// liveName is what the schema of the rebuilt tables is called from then on.
func (r *rebuild) liveName() string {
	if r.live.version == r.m.rm.version {
		return r.live.name
	}
	return r.m.rm.name
}

// supersede hands the positions of the older version to this one. Its rows of
// them stay, held by nobody for ever: its programs find them taken, and wait.
func (r *rebuild) supersede(ctx context.Context, tx pgx.Tx) error {
	old, now := r.live.version, r.m.rm.version
	for _, step := range []struct {
		sql  string
		args []any
	}{
		{`
INSERT INTO roomtrail.positions AS p (version, generation, partition, seq, log_created, digest, log_last, applied_at, halted)
SELECT $2, generation, partition, seq, log_created, digest, log_last, applied_at, halted
FROM roomtrail.positions
WHERE version = $1
ON CONFLICT (version, generation, partition) DO UPDATE
SET seq = EXCLUDED.seq, log_created = EXCLUDED.log_created, digest = EXCLUDED.digest, log_last = EXCLUDED.log_last,
    applied_at = EXCLUDED.applied_at, halted = EXCLUDED.halted, epoch = p.epoch + 1`, []any{old, now}},
		{`
UPDATE roomtrail.positions
SET epoch = epoch + 1, owner = 'superseded by read model ' || $2::text, lease_until = 'infinity', updated_at = now()
WHERE version = $1`, []any{old, fmt.Sprint(now)}},
		// An older program that starts again must not find its version and point
		// the views at it.
		{`DELETE FROM roomtrail.read_models WHERE version <> $1`, []any{now}},
		{`INSERT INTO roomtrail.read_models (version, live) VALUES ($1, true) ON CONFLICT (version) DO UPDATE SET live = true`, []any{now}},
	} {
		if err := exec(ctx, tx, step.sql, step.args...); err != nil {
			return fmt.Errorf("supersede read model %d: %w", old, err)
		}
	}
	return nil
}

// dropSchema drops derived tables, unless something outside of them rests on them.
func dropSchema(ctx context.Context, conn *pgx.Conn, name string) error {
	const others = `
SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('v', 'm') AND n.nspname <> $1 AND n.nspname NOT LIKE 'pg\_temp%'`
	err := withRetries(ctx, 8, func() error {
		return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{}, func(tx pgx.Tx) error {
			var before, after int
			if err := tx.QueryRow(ctx, others, name).Scan(&before); err != nil {
				return err
			}
			if err := exec(ctx, tx, "SET LOCAL lock_timeout = '3s'; DROP SCHEMA IF EXISTS "+pgx.Identifier{name}.Sanitize()+" CASCADE"); err != nil {
				return err
			}
			if err := tx.QueryRow(ctx, others, name).Scan(&after); err != nil {
				return err
			}
			if after < before {
				return fmt.Errorf("%d views outside of it rest on its tables; drop those first", before-after)
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("drop schema %s: %w", name, err)
	}
	return nil
}

// errBusy says that a lock was not to be had in time.
var errBusy = errors.New("readers hold the views")

// isBusy says whether trying again may help.
func isBusy(err error) bool {
	var pg *pgconn.PgError
	return errors.Is(err, errBusy) || errors.As(err, &pg) && (pg.Code == "55P03" || pg.Code == "40P01") // lock_not_available, deadlock_detected
}

package readmodel

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
		return r.stand(ctx, func(tx pgx.Tx) error { return r.switchTx(ctx, tx, report) })
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
func (r *rebuild) switchTx(ctx context.Context, tx pgx.Tx, report *RebuildReport) error {
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
	if err := r.lockReaders(ctx, tx); err != nil {
		return err
	}
	if r.live.version == r.m.rm.version {
		err = exec(ctx, tx, fmt.Sprintf(`
ALTER SCHEMA %[1]s RENAME TO %[1]s_old;
ALTER SCHEMA %[2]s RENAME TO %[1]s;
UPDATE roomtrail.positions SET epoch = epoch + 1 WHERE version = %[3]d AND epoch > 0 -- nobody holds what was never claimed`, r.live.name, r.m.rm.name, r.live.version))
	} else {
		err = r.supersede(ctx, tx)
	}
	if err != nil {
		return err
	}
	if err := pointViews(ctx, tx, r.liveName()); err != nil {
		return err
	}
	return forgetRebuild(ctx, tx)
}

// How long a lock is waited for while no other is held, how long while some are,
// and for how long some are held before all are.
const (
	waitAlone = "3s"
	waitAmong = "100ms"
	holdSome  = 600 * time.Millisecond
)

// lockReaders takes the views from their readers, and the marks of the second
// stage from who works there: they end first, and find the new tables afterwards.
//
// A reader that waits for one view while it holds another must not be the one that
// the server ends as deadlocked, which it looks for after a second. So what is not
// to be had soon is waited for with nothing in hand, and comes first then.
func (r *rebuild) lockReaders(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `
SELECT format('ALTER VIEW public.%I OWNER TO %I', relname, $2::text) -- LOCK TABLE would lock all that the view rests on
FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'v' AND relname = ANY($1)
ORDER BY relname`, projections.PublicViews, ownerRole)
	if err != nil {
		return err
	}
	locks, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	locks = append([]string{"LOCK TABLE " + r.live.name + ".dirty IN ACCESS EXCLUSIVE MODE"}, locks...)
	for range 2 * len(locks) {
		held, err := lockAll(ctx, tx, locks)
		if err == nil || held == 0 || !isBusy(err) {
			return err
		}
		first := locks[held]
		locks = append([]string{first}, slices.Delete(locks, held, held+1)...)
	}
	return errBusy
}

// lockAll takes all locks or none, and says how many were to be had.
func lockAll(ctx context.Context, tx pgx.Tx, locks []string) (held int, err error) {
	err = pgx.BeginFunc(ctx, tx, func(savepoint pgx.Tx) error {
		var since time.Time
		wait := waitAlone
		for _, lock := range locks {
			if err := exec(ctx, savepoint, "SET LOCAL lock_timeout = '"+wait+"'; "+lock); err != nil {
				return fmt.Errorf("%s: %w", lock, err)
			}
			if held++; held == 1 {
				since, wait = time.Now(), waitAmong
			}
			if time.Since(since) > holdSome && held < len(locks) {
				return errBusy
			}
		}
		return nil
	})
	return held, err
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
INSERT INTO roomtrail.positions AS p (version, generation, partition, seq, log_created, digest, log_last, applied_at, halted, epoch)
SELECT $2, generation, partition, seq, log_created, digest, log_last, applied_at, halted, epoch
FROM roomtrail.positions
WHERE version = $1
ON CONFLICT (version, generation, partition) DO UPDATE
SET seq = EXCLUDED.seq, log_created = EXCLUDED.log_created, digest = EXCLUDED.digest, log_last = EXCLUDED.log_last,
    applied_at = EXCLUDED.applied_at, halted = EXCLUDED.halted, epoch = greatest(p.epoch, EXCLUDED.epoch) + 1`, []any{old, now}},
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

package readmodel

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/projections"
)

// ViewDifference is what one public view would show otherwise.
type ViewDifference struct {
	View        string
	Rows        int64 // of the rebuilt read model
	OnlyLive    int64
	OnlyRebuilt int64
	Columns     []string // in which the rows that differ say something else
	Samples     []string // of rows that differ, as JSON, with "live" or "rebuilt" before it
}

// shownRows is how many rows that differ are shown of each view and side.
const shownRows = 3

// compare brings both read models to the same facts and asks every public view
// of both, in one snapshot. The live one stands still only until that is taken.
func (r *rebuild) compare(ctx context.Context, report *RebuildReport) error {
	isSame := r.live.version == r.m.rm.version
	if isSame { // so that the live one need not stand still for it
		if err := settleMost(ctx, r.m.beside(r.live)); err != nil {
			return fmt.Errorf("settle the live read model: %w", err)
		}
	}
	conn, err := schemaConn(ctx, r.url, r.config.tracer)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		return fmt.Errorf("compare: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	err = r.stand(ctx, func(pgx.Tx) error {
		if err := r.catchUpRest(ctx); err != nil {
			return err
		}
		if isSame {
			if err := r.settle(ctx, r.m.beside(r.live)); err != nil {
				return fmt.Errorf("settle the live read model: %w", err)
			}
		}
		return exec(ctx, tx, "SELECT 1") // the snapshot
	})
	if err != nil {
		return fmt.Errorf("compare: %w", err)
	}
	if err := exec(ctx, tx, "SET LOCAL work_mem = '64MB'; SET LOCAL jit = off"); err != nil {
		return err
	}
	names, err := makeRebuiltViews(ctx, tx, r.m.rm.name)
	if err != nil {
		return fmt.Errorf("compare: %w", err)
	}
	report.Views = nil
	for i, name := range names {
		r.progress(StepCompare, int64(i), int64(len(names)))
		d, err := compareView(ctx, tx, name)
		if err != nil {
			return fmt.Errorf("compare view %s: %w", name, err)
		}
		report.Views = append(report.Views, d)
	}
	r.progress(StepCompare, int64(len(names)), int64(len(names)))
	return nil
}

// beside is the same database with other derived tables, for the second stage.
func (m *ReadModel) beside(rm *schema) *ReadModel { return &ReadModel{pool: m.pool, rm: rm} }

// settleMost works out what is marked when it begins, and then what was marked
// meanwhile: where events come in there is always more.
func settleMost(ctx context.Context, m *ReadModel) error {
	for range 2 {
		var last int64
		if err := m.pool.QueryRow(ctx, m.rm.sql(`SELECT coalesce(max(id), 0) FROM rm.dirty`)).Scan(&last); err != nil {
			return err
		}
		for left := true; left; {
			n, err := m.Settle(ctx)
			if err != nil || n == 0 {
				return err
			}
			if err := m.pool.QueryRow(ctx, m.rm.sql(`SELECT coalesce(min(id), $1 + 1) <= $1 FROM rm.dirty`), last).Scan(&left); err != nil {
				return err
			}
		}
	}
	return nil
}

// stand holds the live read model still while do runs: no position moves, so no
// facts and no rows of the first stage are written. The second stage may go on, so it
// must not ask for locks on positions.
func (r *rebuild) stand(ctx context.Context, do func(pgx.Tx) error) error {
	return withRetries(ctx, 20, func() error {
		return pgx.BeginFunc(ctx, r.conn, func(tx pgx.Tx) error {
			if err := exec(ctx, tx, "SET LOCAL lock_timeout = '5s'; LOCK TABLE roomtrail.positions IN EXCLUSIVE MODE"); err != nil {
				return fmt.Errorf("hold the live read model: %w", err)
			}
			return do(tx)
		})
	})
}

// catchUpRest takes everything that is left, where the live one stands still.
func (r *rebuild) catchUpRest(ctx context.Context) error {
	if err := r.catchUpOnce(ctx); err != nil {
		return err
	}
	return r.settle(ctx, r.m)
}

// makeRebuiltViews makes the public views once more over the rebuilt tables, for
// this connection alone, and returns their names.
func makeRebuiltViews(ctx context.Context, tx pgx.Tx, schema string) (names []string, err error) {
	views := projections.DerivedViews()
	for _, v := range views {
		names = append(names, v.Name)
	}
	other := regexp.MustCompile(`\bpublic\.(` + strings.Join(names, "|") + `)\b`)
	for _, v := range views {
		sql := other.ReplaceAllString(projections.InSchema(schema, v.SQL), "pg_temp.rebuilt_$1")
		if err := exec(ctx, tx, "CREATE TEMP VIEW rebuilt_"+v.Name+" AS "+sql); err != nil {
			return nil, fmt.Errorf("make view %s: %w", v.Name, err)
		}
	}
	return names, nil
}

// compareView counts the rows that one of the two does not have. A sum of hashes
// tells whether any differ at all, which spares sorting all that are alike.
func compareView(ctx context.Context, tx pgx.Tx, name string) (d ViewDifference, err error) {
	d.View = name
	columns, list, err := commonColumns(ctx, tx, name)
	if err != nil {
		return d, err
	}
	if len(columns) == 0 { // the live version has no such view
		err = tx.QueryRow(ctx, "SELECT count(*) FROM pg_temp.rebuilt_"+name).Scan(&d.Rows)
		d.OnlyRebuilt = d.Rows
		return d, err
	}
	ask := "SELECT " + list + " FROM "
	sides := [2]string{ask + "public." + name, ask + "pg_temp.rebuilt_" + name}
	var rows [2]int64
	var sums [2]string
	for i, side := range sides {
		err := tx.QueryRow(ctx, "SELECT count(*), coalesce(sum(hashtextextended(v::text, 0)::numeric), 0)::text FROM ("+side+") v").Scan(&rows[i], &sums[i])
		if err != nil {
			return d, err
		}
	}
	d.Rows = rows[1]
	if rows[0] == rows[1] && sums[0] == sums[1] {
		return d, nil
	}
	return d, d.explain(ctx, tx, columns, sides)
}

// commonColumns are those that a view has in both versions, and a list of them
// in a form that can be compared.
func commonColumns(ctx context.Context, tx pgx.Tx, name string) (columns []string, list string, err error) {
	rows, err := tx.Query(ctx, `
SELECT l.attname::text, l.atttypid <> r.atttypid OR l.atttypid = 'json'::regtype
FROM pg_attribute l
JOIN pg_attribute r USING (attname)
WHERE l.attrelid = to_regclass('public.' || $1) AND r.attrelid = to_regclass('pg_temp.rebuilt_' || $1)
  AND l.attnum > 0 AND r.attnum > 0 AND NOT l.attisdropped
ORDER BY r.attnum`, name)
	if err != nil {
		return nil, "", err
	}
	var column string
	var asText bool
	var parts []string
	_, err = pgx.ForEachRow(rows, []any{&column, &asText}, func() error {
		quoted := pgx.Identifier{column}.Sanitize()
		columns = append(columns, column)
		if asText {
			quoted += "::text AS " + quoted
		}
		parts = append(parts, quoted)
		return nil
	})
	return columns, strings.Join(parts, ", "), err
}

// explain finds the rows that differ, the columns in which they do, and samples.
func (d *ViewDifference) explain(ctx context.Context, tx pgx.Tx, columns []string, sides [2]string) error {
	for i, side := range [2]string{"live", "rebuilt"} {
		table := "only_" + side
		if err := exec(ctx, tx, fmt.Sprintf("DROP TABLE IF EXISTS pg_temp.%s; CREATE TEMP TABLE %[1]s AS (%s) EXCEPT ALL (%s)", table, sides[i], sides[1-i])); err != nil {
			return err
		}
		n := []*int64{&d.OnlyLive, &d.OnlyRebuilt}[i]
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM pg_temp."+table).Scan(n); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, fmt.Sprintf("SELECT '%s ' || to_jsonb(t)::text FROM (SELECT * FROM pg_temp.%s ORDER BY 1, 2, 3 LIMIT %d) t", side, table, shownRows))
		if err != nil {
			return err
		}
		samples, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		d.Samples = append(d.Samples, samples...)
	}
	for _, c := range columns {
		var differs bool
		quoted := pgx.Identifier{c}.Sanitize()
		err := tx.QueryRow(ctx, fmt.Sprintf(`
SELECT EXISTS (SELECT %[1]s FROM pg_temp.only_live EXCEPT ALL SELECT %[1]s FROM pg_temp.only_rebuilt)
    OR EXISTS (SELECT %[1]s FROM pg_temp.only_rebuilt EXCEPT ALL SELECT %[1]s FROM pg_temp.only_live)`, quoted)).Scan(&differs)
		if err != nil {
			return err
		}
		if differs {
			d.Columns = append(d.Columns, c)
		}
	}
	return nil
}

// withRetries tries again where a lock was not to be had in time, later and later.
func withRetries(ctx context.Context, tries int, do func() error) (err error) {
	for try := range tries {
		if err = do(); err == nil || !isBusy(err) || try == tries-1 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(time.Duration(1<<try)*200*time.Millisecond, 3*time.Second)):
		}
	}
	return err
}

package readmodel

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"roomtrail/events"
	"roomtrail/projections"
)

// What the program knows is data too: views and functions join it. It is written
// at each migration.

// writeCodes brings the program's code table into the database.
func writeCodes(ctx context.Context, conn *pgx.Conn) error {
	var rows [][]any
	for _, c := range events.Codes() {
		rows = append(rows, []any{string(c.Family), c.ErrorCode, c.Category, c.Meaning, c.Advice})
	}
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "DELETE FROM roomtrail.error_codes"); err != nil {
			return err
		}
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"roomtrail", "error_codes"},
			[]string{"family", "error_code", "category", "meaning", "advice"}, pgx.CopyFromRows(rows))
		return err
	})
	if err != nil {
		return fmt.Errorf("migrate: write error codes: %w", err)
	}
	return nil
}

// writeEdges brings the buckets of durations into the database.
func writeEdges(ctx context.Context, conn *pgx.Conn) error {
	var rows [][]any
	edges := projections.HistogramEdges
	for i, from := range edges {
		var to any
		if i+1 < len(edges) {
			to = edges[i+1]
		}
		rows = append(rows, []any{i, from, to, projections.HistogramMiddle(int16(i))})
	}
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "DELETE FROM roomtrail.histogram_edges"); err != nil {
			return err
		}
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"roomtrail", "histogram_edges"}, columns(`bucket from_ms to_ms middle_ms`), pgx.CopyFromRows(rows))
		return err
	})
	if err != nil {
		return fmt.Errorf("migrate: write histogram edges: %w", err)
	}
	return nil
}

// writeDefinitions brings the meaning of the figures into the database.
func writeDefinitions(ctx context.Context, conn *pgx.Conn) error {
	var rows [][]any
	for i, d := range projections.Definitions {
		spans := make([]int16, 0, len(d.Spans))
		for _, s := range d.Spans {
			spans = append(spans, int16(s))
		}
		rows = append(rows, []any{
			d.Name, i + 1, d.No, d.Title, d.Unit, d.Formula, d.Minimum, append([]string{}, d.By...), d.Sources, d.Columns(),
			d.Numerator, d.Denominator, d.All, d.Open, d.Inferred, text(d.InferredOf),
			d.Scale, d.IsShare, ifAny(d.Quantile > 0, d.Quantile), spans, d.IsNow,
		})
	}
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "DELETE FROM roomtrail.metric_definitions"); err != nil {
			return err
		}
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"roomtrail", "metric_definitions"}, columns(`metric position no title unit formula minimum takes
			sources columns numerator denominator all_members open inferred inferred_of scale has_interval quantile spans is_now`), pgx.CopyFromRows(rows))
		return err
	})
	if err != nil {
		return fmt.Errorf("migrate: write definitions of figures: %w", err)
	}
	return nil
}

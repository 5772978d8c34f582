package readmodel

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"roomtrail/projections"
)

// schema is where the derived tables of a read model lie. SQL calls it rm, here
// as in the files of projections: which one is meant is decided once, by who
// opens the read model, since one that is being rebuilt lies beside the live one.
type schema struct {
	version int
	name    string
	named   sync.Map // SQL text: the same with the schema's name in it
}

// ofVersion is where a version lies that is live.
func ofVersion(version int) *schema {
	return &schema{version: version, name: projections.SchemaOf(version)}
}

// sql is the text with the schema's name in it.
func (s *schema) sql(text string) string {
	if named, ok := s.named.Load(text); ok {
		return named.(string)
	}
	named := projections.InSchema(s.name, text)
	s.named.Store(text, named)
	return named
}

// in is the transaction with SQL that says rm for the schema.
func (s *schema) in(tx pgx.Tx) pgx.Tx { return schemaTx{tx, s} }

type schemaTx struct {
	pgx.Tx
	rm *schema
}

func (t schemaTx) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return t.Tx.Exec(ctx, t.rm.sql(sql), args...)
}

func (t schemaTx) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return t.Tx.Query(ctx, t.rm.sql(sql), args...)
}

func (t schemaTx) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return t.Tx.QueryRow(ctx, t.rm.sql(sql), args...)
}

func (t schemaTx) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	for _, q := range b.QueuedQueries {
		q.SQL = t.rm.sql(q.SQL)
	}
	return t.Tx.SendBatch(ctx, b)
}

func (t schemaTx) CopyFrom(ctx context.Context, into pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error) {
	if into[0] == "rm" {
		into = append(pgx.Identifier{t.rm.name}, into[1:]...)
	}
	return t.Tx.CopyFrom(ctx, into, columns, rows)
}

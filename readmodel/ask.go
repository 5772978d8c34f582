package readmodel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Asker asks questions of the public views, as a role that may read them and
// nothing else, in connections that write nothing.
type Asker struct{ pool *pgxpool.Pool }

// An Answer is rows of plain values: nil, string, int64, float64, bool,
// time.Time, []string or json.RawMessage. What is none of these comes as the
// text that Postgres prints for it.
type Answer struct {
	Columns []Column
	Rows    [][]any
	More    bool // there are more rows than the limit
}

// A Column is a column of an answer: its name, unique in the answer, and the
// name of its Postgres type, "" if unknown.
type Column struct{ Name, Type string }

// askSettings hold for every connection of an Asker. Optional filters are
// NULL arguments, and only a plan made for the values at hand leaves them out.
var askSettings = map[string]string{
	"application_name":                    "roomtrail-query",
	"default_transaction_read_only":       "on",
	"statement_timeout":                   "30s",
	"lock_timeout":                        "5s",
	"idle_in_transaction_session_timeout": "60s",
	"timezone":                            "UTC",
	"datestyle":                           "ISO",
	"plan_cache_mode":                     "force_custom_plan",
	"jit":                                 "off",
}

// OpenAsker prepares to ask the database of that URL. It connects with the
// first question, not before.
func OpenAsker(ctx context.Context, url string) (*Asker, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read database url: %w", err) // pgx leaves the password out
	}
	for name, value := range askSettings {
		config.ConnConfig.RuntimeParams[name] = value
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = 10 * time.Second
	}
	config.AfterConnect = becomeReader
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	return &Asker{pool: pool}, nil
}

// Close ends the connections.
func (a *Asker) Close() { a.pool.Close() }

// becomeReader lets a URL of the owner see what the reader sees, so that both
// get the same answers. It is no wall: what a role can leave it can enter again,
// so a URL for others names the reader. A role that may not become the reader
// is one that was made to read.
func becomeReader(ctx context.Context, conn *pgx.Conn) error {
	var other bool
	err := conn.QueryRow(ctx, `
SELECT EXISTS (
  SELECT FROM pg_roles
  WHERE rolname = $1
  AND rolname <> current_user
  AND pg_has_role(oid, 'MEMBER')
)`, ReaderRole).Scan(&other)
	if err != nil {
		return fmt.Errorf("look for role %s: %w", ReaderRole, err)
	}
	if !other {
		return nil
	}
	_, err = conn.Exec(ctx, "SET ROLE "+ReaderRole)
	if pgErr := (*pgconn.PgError)(nil); errors.As(err, &pgErr) && pgErr.Code == "42501" { // insufficient_privilege
		return nil
	}
	if err != nil {
		return fmt.Errorf("become %s: %w", ReaderRole, err)
	}
	return nil
}

// asText makes Postgres spell every value itself, so that any type has a text.
var asText = pgx.QueryResultFormats{pgx.TextFormatCode}

// Ask runs one statement of the program's own with named arguments; an argument
// that the statement does not name, or that it names and is not given, is an
// error. It answers at most limit rows.
func (a *Asker) Ask(ctx context.Context, sql string, args map[string]any, limit int) (Answer, error) {
	rows, err := a.pool.Query(ctx, sql, asText, pgx.StrictNamedArgs(args))
	if err != nil {
		return Answer{}, fmt.Errorf("ask: %w", err)
	}
	return collect(rows, limit)
}

// SQL runs a query that somebody typed. It reaches the server only as the query
// of a cursor, and only through the extended protocol: the grammar there takes
// one SELECT, VALUES, TABLE or WITH and nothing after it. The transaction reads
// only and is always rolled back, which also takes back any setting.
func (a *Asker) SQL(ctx context.Context, text string, limit int) (Answer, error) {
	tx, err := a.pool.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		return Answer{}, fmt.Errorf("begin: %w", err)
	}
	// Whoever asked may have gone; the connection goes back clean all the same.
	defer tx.Rollback(context.WithoutCancel(ctx))
	// Exec without arguments would use the simple protocol, which runs as many
	// statements as the text holds.
	declare := "DECLARE asked NO SCROLL CURSOR FOR " + text
	if _, err := tx.Conn().PgConn().ExecParams(ctx, declare, nil, nil, nil, nil).Close(); err != nil {
		return Answer{}, fmt.Errorf("read query: %w", pointAt(err, len("DECLARE asked NO SCROLL CURSOR FOR ")))
	}
	// Described anew each time: the same FETCH has other columns for another query.
	fetch := fmt.Sprintf("FETCH FORWARD %d FROM asked", limit+1)
	rows, err := tx.Query(ctx, fetch, pgx.QueryExecModeDescribeExec, asText)
	if err != nil {
		return Answer{}, fmt.Errorf("run query: %w", err)
	}
	return collect(rows, limit)
}

// pointAt makes the position in an error one of the text that was typed.
func pointAt(err error, prefix int) error {
	if pgErr := (*pgconn.PgError)(nil); errors.As(err, &pgErr) && int(pgErr.Position) > prefix {
		return fmt.Errorf("%w at character %d", err, int(pgErr.Position)-prefix)
	}
	return err
}

func collect(rows pgx.Rows, limit int) (Answer, error) {
	defer rows.Close()
	types := rows.Conn().TypeMap()
	var answer Answer
	fields := rows.FieldDescriptions()
	seen := make(map[string]int)
	for _, f := range fields {
		c := Column{Name: f.Name}
		if seen[f.Name]++; seen[f.Name] > 1 {
			c.Name = fmt.Sprintf("%s_%d", f.Name, seen[f.Name])
		}
		if t, ok := types.TypeForOID(f.DataTypeOID); ok {
			c.Type = t.Name
		}
		answer.Columns = append(answer.Columns, c)
	}
	for rows.Next() {
		if len(answer.Rows) == limit {
			answer.More = true
			break
		}
		row := make([]any, len(fields))
		for i, raw := range rows.RawValues() {
			if raw != nil {
				row[i] = plain(types, fields[i].DataTypeOID, string(raw))
			}
		}
		answer.Rows = append(answer.Rows, row)
	}
	rows.Close() // before Err, which knows only then how it ended
	if err := rows.Err(); err != nil {
		return Answer{}, fmt.Errorf("read rows: %w", err)
	}
	return answer, nil
}

// plain turns Postgres' text for a value into a plain Go value. What does not
// fit (a numeric of many digits, an infinite time) stays the text it is.
func plain(types *pgtype.Map, oid uint32, text string) any {
	switch oid {
	case pgtype.BoolOID:
		return text == "t"
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.OIDOID:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n
		}
	case pgtype.Float4OID, pgtype.Float8OID:
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return f
		}
	case pgtype.NumericOID:
		return plainNumeric(text)
	case pgtype.TimestamptzOID:
		if t, err := time.Parse("2006-01-02 15:04:05.999999999Z07", text); err == nil {
			return t.UTC()
		}
	case pgtype.JSONOID, pgtype.JSONBOID:
		return json.RawMessage(text)
	case pgtype.TextArrayOID, pgtype.VarcharArrayOID:
		var list []string // a NULL within does not fit
		if types.Scan(oid, pgtype.TextFormatCode, []byte(text), &list) == nil {
			return list
		}
	}
	return text
}

// plainNumeric keeps a numeric exact: an int64 or a float64 where that says the
// same, else its text.
func plainNumeric(text string) any {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	const exactDigits = 15
	if digits := strings.Trim(text, "-0."); len(digits) <= exactDigits+1 {
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return f
		}
	}
	return text
}

package readmodel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/events"
)

// Aside is a message that could not be read or folded, kept whole.
type Aside struct {
	Ref           events.Ref
	Reason        string
	SchemaVersion string // in the message's header; "" where that is not known
	Size          int64
	SetAt         time.Time
	Bytes         []byte // not in a list
}

// Quarantine is what has been set aside, for the person who decides about it.
type Quarantine struct{ conn *pgx.Conn }

// ErrNotAside says that a message is not in quarantine.
var ErrNotAside = errors.New("not in quarantine")

// OpenQuarantine connects to a migrated database as its owner.
func OpenQuarantine(ctx context.Context, url string) (*Quarantine, error) {
	if err := CheckSchema(ctx, url); err != nil {
		return nil, err
	}
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("open quarantine: %w", err)
	}
	setParams(c, "roomtrail-quarantine")
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("open quarantine: %w", err)
	}
	return &Quarantine{conn}, nil
}

// Close ends the connection.
func (q *Quarantine) Close(ctx context.Context) { _ = q.conn.Close(ctx) }

// List tells what is set aside, the oldest first, without the bytes.
func (q *Quarantine) List(ctx context.Context) ([]Aside, error) {
	rows, err := q.conn.Query(ctx, `
SELECT generation, partition, stream_seq, reason, coalesce(schema_version, ''), length(bytes), set_at, ''::bytea
FROM roomtrail.quarantine
ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("list quarantine: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanAside)
	if err != nil {
		return nil, fmt.Errorf("list quarantine: %w", err)
	}
	return list, nil
}

// Get brings one message with its bytes.
func (q *Quarantine) Get(ctx context.Context, ref events.Ref) (Aside, error) {
	return get(ctx, q.conn, ref, "")
}

func get(ctx context.Context, db querier, ref events.Ref, lock string) (Aside, error) {
	rows, err := db.Query(ctx, `
SELECT generation, partition, stream_seq, reason, coalesce(schema_version, ''), length(bytes), set_at, bytes
FROM roomtrail.quarantine
WHERE generation = $1 AND partition = $2 AND stream_seq = $3 `+lock, ref.Generation, ref.Partition, int64(ref.Seq))
	if err != nil {
		return Aside{}, fmt.Errorf("get %s: %w", ref, err)
	}
	a, err := pgx.CollectExactlyOneRow(rows, scanAside)
	if errors.Is(err, pgx.ErrNoRows) {
		return Aside{}, fmt.Errorf("get %s: %w", ref, ErrNotAside)
	}
	if err != nil {
		return Aside{}, fmt.Errorf("get %s: %w", ref, err)
	}
	return a, nil
}

func scanAside(row pgx.CollectableRow) (a Aside, err error) {
	var seq int64
	err = row.Scan(&a.Ref.Generation, &a.Ref.Partition, &seq, &a.Reason, &a.SchemaVersion, &a.Size, &a.SetAt, &a.Bytes)
	a.Ref.Seq, a.SetAt = uint64(seq), a.SetAt.UTC()
	return a, err
}

// Retry reads a message with this program's version and, where that works,
// hands it to appendTo and takes it out of quarantine. appendTo returns nil
// when the event is durable in the log, as a new message.
//
// The log and this database have no commit in common. A crash after the append
// and before the commit leaves the message in both places; the next retry
// appends it once more, and copies of one identity count once (contract 4.1).
// The other order could lose it.
func (q *Quarantine) Retry(ctx context.Context, ref events.Ref, appendTo func(events.Event) error) error {
	return pgx.BeginFunc(ctx, q.conn, func(tx pgx.Tx) error {
		a, err := get(ctx, tx, ref, "FOR UPDATE") // a second retry waits, and finds it gone
		if err != nil {
			return err
		}
		version := a.SchemaVersion
		if version == "" {
			version = events.SchemaVersion
		}
		e, err := events.Decode(version, a.Bytes)
		if err != nil {
			return fmt.Errorf("%s is still not readable: %w", ref, err)
		}
		if err := appendTo(e); err != nil {
			return fmt.Errorf("append %s again: %w", ref, err)
		}
		return remove(ctx, tx, ref)
	})
}

// Drop removes a message, with an entry in the ledger that says who did so and
// why. In the log it stays under its ref.
func (q *Quarantine) Drop(ctx context.Context, ref events.Ref, actor, why string) error {
	return pgx.BeginFunc(ctx, q.conn, func(tx pgx.Tx) error {
		if _, err := get(ctx, tx, ref, "FOR UPDATE"); err != nil {
			return err
		}
		if err := remove(ctx, tx, ref); err != nil {
			return err
		}
		return enter(ctx, tx, actor, "quarantine_drop", ref.String(), why)
	})
}

func remove(ctx context.Context, tx pgx.Tx, ref events.Ref) error {
	_, err := tx.Exec(ctx, `
DELETE FROM roomtrail.quarantine
WHERE generation = $1 AND partition = $2 AND stream_seq = $3`, ref.Generation, ref.Partition, int64(ref.Seq))
	if err != nil {
		return fmt.Errorf("remove %s from quarantine: %w", ref, err)
	}
	return nil
}

// enter writes an act into the ledger, in the transaction that does it.
func enter(ctx context.Context, tx pgx.Tx, actor, act, subject, why string) error {
	_, err := tx.Exec(ctx, `
INSERT INTO roomtrail.audit_ledger (actor, act, subject, why)
VALUES ($1, $2, $3, $4)`, actor, act, subject, why)
	if err != nil {
		return fmt.Errorf("enter %s into the ledger: %w", act, err)
	}
	return nil
}

package readmodel

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"roomtrail/events"
	"roomtrail/projections"
)

// table is a derived table and how its rows are merged. Columns are in the
// order of its rows' values, keys first.
type table struct {
	name    string
	key     int // how many of the columns are the key
	columns []string
	adds    bool // what is written is added to what is there
}

var (
	loginsTable = table{name: "logins", key: 2, columns: columns(`set_id login_no device_id platform family sdk_version app_version os
		network carrier region room_session_id via first_at login_started_at logined_at time_to_login_ms
		login_error_code caller_fault ended_at ended_by end_error_code state interruptions connected_ms
		reconnecting_ms last_event_at last_state_at last_alive_at closing_said first_received_at last_received_at
		missing_events is_import heartbeat_timeout_ms retry_window_ms login_timeout_ms alive_every_ms
		capped_reconnecting_ms is_flapping seen_events last_seq`)}
	interruptionsTable = table{name: "interruptions", key: 3, columns: columns(`set_id login_no interruption_no device_id platform
		family sdk_version app_version network carrier region started_at ended_at start_received_at
		end_received_at outcome duration_ms error_code end_error_code is_import heartbeat_timeout_ms retry_window_ms
		times_out_at`)}
	kicksTable = table{name: "kicks", key: 2, columns: columns(`set_id login_no kicked_at received_at error_code kick_reason attribution
		session_age_ms while_reconnecting message is_import`)}
	anomaliesTable = table{name: "anomalies", key: 3, columns: columns(`set_id seq kind generation partition stream_seq detail platform
		sdk_version happened_at`)}
	marksTable   = table{name: "marks", key: 3, columns: columns(`generation partition stream_seq is_copy previous transition`)}
	statesTable  = table{name: "states", key: 1, columns: columns(`set_id state`)}
	allTables    = []table{loginsTable, interruptionsTable, kicksTable, anomaliesTable, marksTable, statesTable}
	stagedTables = append(slices.Clone(allTables), countersTable, histogramsTable)
)

func columns(s string) []string { return strings.Fields(s) }

// writes are the rows of one batch, by table. Rows of sets that are new and
// marks of messages that are new cannot meet a row that is there: they are
// copied straight into their table; the rest is merged.
type writes struct {
	fresh, merge map[string]*rows
	remove       map[string][][]any // keys
	counts       projections.Counts
	note         func(projections.Mark) (isNew, isSaid bool)
}

// newWrites has none yet. note takes what the fold finds of a message and says
// whether the message is new to these tables, and whether its fact says so itself.
func newWrites(note func(projections.Mark) (isNew, isSaid bool)) *writes {
	return &writes{
		fresh: map[string]*rows{}, merge: map[string]*rows{}, remove: map[string][][]any{},
		counts: projections.Counts{}, note: note,
	}
}

// judged is what the fold finds of a batch's messages, in the order of the log:
// it is written into their facts.
type judged struct {
	from  events.Position
	marks []projections.Mark
}

func newJudged(from events.Position, messages int) *judged {
	j := &judged{from: from, marks: make([]projections.Mark, messages)}
	for i := range j.marks {
		j.marks[i].Previous = events.NoReason
	}
	return j
}

func (j *judged) of(ref events.Ref) *projections.Mark { return &j.marks[ref.Seq-j.from.Seq-1] }

// note keeps what is found of messages of the batch, unless they are copies.
func (j *judged) note(m projections.Mark) (isNew, isSaid bool) {
	isNew = m.Ref.Generation == j.from.Generation && m.Ref.Partition == j.from.Partition && m.Ref.Seq > j.from.Seq
	if isNew && !m.IsCopy {
		*j.of(m.Ref) = m
		return true, true
	}
	return isNew, false
}

// row begins a row of a table.
func (w *writes) row(t table, isNew bool) *copyRow {
	into := w.merge
	if isNew {
		into = w.fresh
	}
	if into[t.name] == nil {
		into[t.name] = &rows{}
	}
	return into[t.name].begin(t)
}

// add notes what one set's fold changed.
func (w *writes) add(s *set) {
	for i := range s.rows.Logins {
		writeLogin(w.row(loginsTable, s.isNew), s.id, &s.rows.Logins[i])
	}
	for i := range s.rows.Interruptions {
		writeInterruption(w.row(interruptionsTable, s.isNew), s.id, &s.rows.Interruptions[i])
	}
	for i := range s.rows.Kicks {
		writeKick(w.row(kicksTable, s.isNew), s.id, &s.rows.Kicks[i])
	}
	for i := range s.rows.Anomalies {
		writeAnomaly(w.row(anomaliesTable, s.isNew), s.id, &s.rows.Anomalies[i])
	}
	for _, m := range append(s.rows.Marks, s.copies...) {
		if isNew, isSaid := w.note(m); !isSaid {
			writeMark(w.row(marksTable, isNew), m)
		}
	}
	w.counts.Add(s.rows.Counts, 1)
	for _, no := range s.gone.Logins {
		w.drop(loginsTable, s.id, no)
	}
	for _, k := range s.gone.Interruptions {
		w.drop(interruptionsTable, s.id, k.LoginNo, k.No)
	}
	for _, no := range s.gone.Kicks {
		w.drop(kicksTable, s.id, no)
	}
	for _, k := range s.gone.Anomalies {
		w.drop(anomaliesTable, s.id, k.Seq, k.Kind)
	}
	if s.state != nil && s.state.Facts >= projections.SaveFrom {
		state, err := json.Marshal(s.state)
		if err != nil {
			panic(fmt.Sprintf("state of set %d cannot be kept: %v", s.id, err)) // plain fields only
		}
		row := w.row(statesTable, s.isNew)
		row.int8(s.id)
		row.bytes(state)
	}
}

func (w *writes) drop(t table, key ...any) {
	w.remove[t.name] = append(w.remove[t.name], key)
}

// write brings the rows into their tables, removals first: a row that is gone
// and a row that is new may not share a key, but order keeps it obvious.
func (w *writes) write(ctx context.Context, tx pgx.Tx) error {
	for _, t := range allTables {
		if keys := w.remove[t.name]; len(keys) > 0 {
			if err := t.delete(ctx, tx, keys); err != nil {
				return fmt.Errorf("remove from %s: %w", t.name, err)
			}
		}
		if rows := w.fresh[t.name]; rows != nil {
			if err := rows.copyTo(ctx, tx, "rm."+t.name, t.columns); err != nil {
				return fmt.Errorf("write %s: %w", t.name, err)
			}
		}
		if rows := w.merge[t.name]; rows != nil {
			if err := t.mergeRows(ctx, tx, rows); err != nil {
				return fmt.Errorf("merge %s: %w", t.name, err)
			}
		}
	}
	return nil
}

// mergeRows upserts through the staging table of this connection.
func (t table) mergeRows(ctx context.Context, tx pgx.Tx, rows *rows) error {
	if err := rows.copyTo(ctx, tx, "pg_temp.stg_"+t.name, t.columns); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, t.mergeSQL())
	return err
}

func (t table) mergeSQL() string {
	var set []string
	for _, c := range t.columns[t.key:] {
		if t.adds {
			set = append(set, fmt.Sprintf("%[1]s = t.%[1]s + EXCLUDED.%[1]s", c))
		} else {
			set = append(set, c+" = EXCLUDED."+c)
		}
	}
	all := strings.Join(t.columns, ", ")
	return fmt.Sprintf("INSERT INTO rm.%s AS t (%s) SELECT %s FROM pg_temp.stg_%s ON CONFLICT (%s) DO UPDATE SET %s",
		t.name, all, all, t.name, strings.Join(t.columns[:t.key], ", "), strings.Join(set, ", "))
}

// delete removes rows by key. It is rare: a late event made them disappear.
func (t table) delete(ctx context.Context, tx pgx.Tx, keys [][]any) error {
	var where []string
	for i, c := range t.columns[:t.key] {
		where = append(where, fmt.Sprintf("%s = $%d", c, i+1))
	}
	sql := fmt.Sprintf("DELETE FROM rm.%s WHERE %s", t.name, strings.Join(where, " AND "))
	batch := &pgx.Batch{}
	for _, k := range keys {
		batch.Queue(sql, k...)
	}
	return tx.SendBatch(ctx, batch).Close()
}

// stage makes this connection's staging tables, once.
func (m *ReadModel) stage(ctx context.Context, conn *pgx.Conn) error {
	if _, ok := m.staged.Load(conn); ok {
		return nil
	}
	for _, t := range stagedTables {
		_, err := conn.Exec(ctx, fmt.Sprintf("CREATE TEMP TABLE IF NOT EXISTS stg_%s (LIKE %s.%s) ON COMMIT DELETE ROWS",
			t.name, m.rm.name, t.name))
		if err != nil {
			return fmt.Errorf("make staging table of %s: %w", t.name, err)
		}
	}
	m.staged.Store(conn, true)
	return nil
}

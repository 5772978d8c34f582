package readmodel

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

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
	fresh, merge map[string][][]any
	remove       map[string][][]any // keys
	counts       projections.Counts
	note         func(projections.Mark) (isNew, isSaid bool)
}

// newWrites has none yet. note takes what the fold finds of a message and says
// whether the message is new to these tables, and whether its fact says so itself.
func newWrites(note func(projections.Mark) (isNew, isSaid bool)) *writes {
	return &writes{
		fresh: map[string][][]any{}, merge: map[string][][]any{}, remove: map[string][][]any{},
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

func (w *writes) put(t table, isNew bool, row []any) {
	if isNew {
		w.fresh[t.name] = append(w.fresh[t.name], row)
	} else {
		w.merge[t.name] = append(w.merge[t.name], row)
	}
}

// add notes what one set's fold changed.
func (w *writes) add(s *set) {
	for i := range s.rows.Logins {
		w.put(loginsTable, s.isNew, loginRow(s.id, &s.rows.Logins[i]))
	}
	for i := range s.rows.Interruptions {
		w.put(interruptionsTable, s.isNew, interruptionRow(s.id, &s.rows.Interruptions[i]))
	}
	for _, k := range s.rows.Kicks {
		w.put(kicksTable, s.isNew, []any{
			s.id, k.LoginNo, k.KickedAt, k.ReceivedAt, k.ErrorCode, k.Reason, text(k.Attribution),
			k.SessionAgeMS, k.WhileReconnecting, ifAny(k.HasMessage, k.Message), k.IsImport,
		})
	}
	for _, a := range s.rows.Anomalies {
		w.put(anomaliesTable, s.isNew, []any{
			s.id, a.Seq, a.Kind, a.Ref.Generation, a.Ref.Partition, int64(a.Ref.Seq), a.Detail,
			a.Platform, text(a.SDKVersion), a.HappenedAt,
		})
	}
	for _, m := range append(s.rows.Marks, s.copies...) {
		isNew, isSaid := w.note(m)
		if isSaid {
			continue
		}
		w.put(marksTable, isNew, []any{
			m.Ref.Generation, m.Ref.Partition, int64(m.Ref.Seq), m.IsCopy, text(m.Previous.String()), text(string(m.Transition)),
		})
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
		w.put(statesTable, s.isNew, []any{s.id, state})
	}
}

func (w *writes) drop(t table, key ...any) {
	w.remove[t.name] = append(w.remove[t.name], key)
}

func loginRow(id int64, l *projections.Login) []any {
	return []any{
		id, l.No, text(l.DeviceID), l.Platform, string(l.Family), text(l.SDKVersion), text(l.AppVersion), text(l.OS),
		text(l.Network), text(l.Carrier), text(l.Region), text(l.RoomSessionID), text(l.Via), l.FirstAt,
		instant(l.LoginStartedAt), instant(l.LoginedAt), maybe(l.TimeToLoginMS), maybe(l.LoginErrorCode), l.CallerFault,
		instant(l.EndedAt), text(l.EndedBy), maybe(l.EndErrorCode), l.State.String(), l.Interruptions, l.ConnectedMS,
		l.ReconnectingMS, l.LastEventAt, l.LastStateAt, instant(l.LastAliveAt), l.ClosingSaid, l.FirstReceivedAt, l.LastReceivedAt,
		l.MissingEvents, l.IsImport, l.HeartbeatTimeoutMS, l.RetryWindowMS, l.LoginTimeoutMS, l.AliveEveryMS,
		l.CappedReconnectingMS, l.IsFlapping, l.SeenEvents, l.LastSeq,
	}
}

func interruptionRow(id int64, r *projections.Interruption) []any {
	return []any{
		id, r.LoginNo, r.No, text(r.DeviceID), r.Platform, string(r.Family), text(r.SDKVersion), text(r.AppVersion),
		text(r.Network), text(r.Carrier), text(r.Region), r.StartedAt, instant(r.EndedAt), r.StartReceivedAt,
		instant(r.EndReceivedAt), text(r.Outcome), maybe(r.DurationMS), r.ErrorCode, maybe(r.EndErrorCode), r.IsImport,
		r.HeartbeatTimeoutMS, r.RetryWindowMS, r.StartedAt.Add(time.Duration(r.HeartbeatTimeoutMS) * time.Millisecond),
	}
}

func maybe(m projections.Maybe) any { return ifAny(m.Known, m.N) }

// write brings the rows into their tables, removals first: a row that is gone
// and a row that is new may not share a key, but order keeps it obvious.
func (w *writes) write(ctx context.Context, tx pgx.Tx) error {
	for _, t := range allTables {
		if keys := w.remove[t.name]; len(keys) > 0 {
			if err := t.delete(ctx, tx, keys); err != nil {
				return fmt.Errorf("remove from %s: %w", t.name, err)
			}
		}
		if rows := w.fresh[t.name]; len(rows) > 0 {
			if _, err := tx.CopyFrom(ctx, pgx.Identifier{"rm", t.name}, t.columns, pgx.CopyFromRows(rows)); err != nil {
				return fmt.Errorf("write %s: %w", t.name, err)
			}
		}
		if rows := w.merge[t.name]; len(rows) > 0 {
			if err := t.mergeRows(ctx, tx, rows); err != nil {
				return fmt.Errorf("merge %s: %w", t.name, err)
			}
		}
	}
	return nil
}

// mergeRows upserts through the staging table of this connection.
func (t table) mergeRows(ctx context.Context, tx pgx.Tx, rows [][]any) error {
	if _, err := tx.CopyFrom(ctx, pgx.Identifier{"pg_temp", "stg_" + t.name}, t.columns, pgx.CopyFromRows(rows)); err != nil {
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

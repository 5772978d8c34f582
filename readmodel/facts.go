package readmodel

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/events"
	"roomtrail/projections"
)

// factColumns is the order in which writeFact gives its values.
var factColumns = columns(`stored_at generation partition stream_seq set_id seq kind reason error_code extended_data via
	occurred_at happened_at received_at clock_offset_ms monotonic_ms boot_id platform family device_id sdk_version
	app_version os network carrier region room_session_id retry_window_ms attributes lost_count why peer_update
	peer_user_id source trust is_import salt
	room_seq server_session_id server_reason user_update_seq term_type is_relogin login_time
	previous transition`)

// writeFact is one row of the facts: what was said, and what the fold found of it.
func writeFact(w *copyRow, f *events.Stored, setID int64, found projections.Mark) {
	w.begin(len(factColumns))
	w.time(f.StoredAt)
	w.int4(int64(f.Ref.Generation))
	w.int4(int64(f.Ref.Partition))
	w.int8(int64(f.Ref.Seq))
	w.int8(setID)
	w.int4(f.Seq)
	w.textValue(string(f.Kind))
	w.text(f.Reason.String())
	w.int8If(f.IsState(), f.ErrorCode)
	w.json(f.ExtendedData)
	w.text(f.Via)
	w.time(f.OccurredAt)
	w.time(f.HappenedAt())
	w.time(f.ReceivedAt)
	w.int8If(f.HasClockOff, f.ClockOffsetMS)
	w.float8If(f.HasMonotonic, f.MonotonicMS)
	w.text(f.BootID)
	w.textValue(f.Platform)
	w.textValue(string(f.Family))
	for _, s := range [...]string{f.DeviceID, f.SDKVersion, f.AppVersion, f.OS, f.Network, f.Carrier, f.Region, f.RoomSessionID} {
		w.text(s)
	}
	w.int8If(f.RetryWindowMS > 0, f.RetryWindowMS)
	w.jsonb(f.Attributes)
	w.int8If(f.Count > 0, f.Count)
	w.text(f.Why)
	w.text(f.Update)
	w.text(f.PeerUserID)
	w.textValue(string(f.Source))
	w.textValue(string(f.Trust))
	w.bool(f.Import)
	w.uuid(f.Salt)
	writeWitness(w, f.Witness)
	w.text(found.Previous.String())
	w.text(string(found.Transition))
}

// writeWitness is what a server callback says beside.
func writeWitness(w *copyRow, c *events.Witness) {
	if c == nil {
		for range 7 {
			w.null()
		}
		return
	}
	w.text(c.RoomSeq)
	w.text(c.SessionID)
	w.int4If(c.HasReason, c.Reason)
	w.int8If(c.UpdateSeq > 0, c.UpdateSeq)
	w.int4If(c.HasTerm, c.TermType)
	w.bool(c.IsRelogin)
	w.time(c.LoginAt)
}

// copyFacts writes the batch's facts in the order of the log, each run of one
// month straight into its partition: routing every row costs a tenth more.
func copyFacts(ctx context.Context, tx pgx.Tx, facts []events.Stored, owners []*set, found *judged) error {
	for len(facts) > 0 {
		month, n := monthOf(facts[0].StoredAt), 1
		for n < len(facts) && monthOf(facts[n].StoredAt) == month {
			n++
		}
		if err := copyMonth(ctx, tx, month, facts[:n], owners[:n], found); err != nil {
			return err
		}
		facts, owners = facts[n:], owners[n:]
	}
	return nil
}

func copyMonth(ctx context.Context, tx pgx.Tx, month time.Time, facts []events.Stored, owners []*set, found *judged) error {
	at := 0
	rows := newCopyRows(func(w *copyRow) bool {
		if at == len(facts) {
			return false
		}
		f := &facts[at]
		writeFact(w, f, owners[at].id, *found.of(f.Ref))
		at++
		return true
	})
	n, err := copyFrom(ctx, tx, "roomtrail."+partitionName(month), factColumns, rows)
	if err != nil {
		return fmt.Errorf("write facts: %w", err)
	}
	if int(n) != len(facts) {
		return fmt.Errorf("write facts: %d of %d were written", n, len(facts))
	}
	return nil
}

// selectFacts goes set by set, so that the index serves it whatever the planner
// believes of a table that grows by the second.
const selectFacts = `
SELECT e.*
FROM unnest($1::bigint[]) AS w(id)
CROSS JOIN LATERAL (
    SELECT ` + readColumns + `
    FROM roomtrail.events
    WHERE set_id = w.id AND stored_at >= $2 AND source = 'client'
    ORDER BY seq
) e`

// selectFirsts brings the copy that counts of each given set and seq.
const selectFirsts = `
SELECT e.*
FROM unnest($1::bigint[], $2::int[]) AS w(id, no)
CROSS JOIN LATERAL (
    SELECT ` + readColumns + `
    FROM roomtrail.events
    WHERE set_id = w.id AND seq = w.no AND source = 'client'
    ORDER BY generation, stream_seq
    LIMIT 1
) e`

// readColumns are in the order in which scanFact takes them.
const readColumns = `set_id, stored_at, generation, partition, stream_seq, seq, kind, coalesce(reason, '') AS reason, coalesce(error_code, 0) AS error_code,
       extended_data, coalesce(via, '') AS via, occurred_at, received_at, clock_offset_ms, monotonic_ms,
       coalesce(boot_id, '') AS boot_id, platform, family, coalesce(device_id, '') AS device_id, coalesce(sdk_version, '') AS sdk_version,
       coalesce(app_version, '') AS app_version, coalesce(os, '') AS os, coalesce(network, '') AS network, coalesce(carrier, '') AS carrier,
       coalesce(region, '') AS region, coalesce(room_session_id, '') AS room_session_id, coalesce(retry_window_ms, 0) AS retry_window_ms,
       coalesce(attributes::text, '') AS attributes, coalesce(lost_count, 0) AS lost_count, coalesce(why, '') AS why, coalesce(peer_update, '') AS peer_update,
       coalesce(peer_user_id, '') AS peer_user_id, source, trust, is_import, salt`

// loadFacts brings the earlier facts of the given sets. None of them was
// stored before first, which spares the older partitions.
func (m *ReadModel) loadFacts(ctx context.Context, tx pgx.Tx, sets map[int64]*set, ids []int64, first time.Time) error {
	rows, err := tx.Query(ctx, selectFacts, ids, first)
	if err != nil {
		return fmt.Errorf("load facts: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		id, f, err := scanFact(rows)
		if err != nil {
			return fmt.Errorf("load facts: %w", err)
		}
		if !m.isPast(f.Ref) {
			continue
		}
		s := sets[id]
		f.AppID, f.RoomID, f.UserID, f.SessionID = s.key.AppID, s.key.RoomID, s.key.UserID, s.key.SessionID
		s.old = append(s.old, f)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("load facts: %w", err)
	}
	return nil
}

// isPast says whether a fact that is stored has been folded into these tables.
func (m *ReadModel) isPast(ref events.Ref) bool {
	return m.taken == nil || ref.Seq <= m.taken(shard{ref.Generation, ref.Partition})
}

// scanFact reads readColumns, and what more was selected behind them.
func scanFact(rows pgx.Rows, more ...any) (id int64, f events.Stored, err error) {
	var kind, reason, family, source, trust string
	var offset *int64
	var monotonic *float64
	var seq int64
	err = rows.Scan(append([]any{&id, &f.StoredAt, &f.Ref.Generation, &f.Ref.Partition, &seq, &f.Seq, &kind, &reason,
		&f.ErrorCode, &f.ExtendedData, &f.Via, &f.OccurredAt, &f.ReceivedAt, &offset, &monotonic,
		&f.BootID, &f.Platform, &family, &f.DeviceID, &f.SDKVersion, &f.AppVersion, &f.OS, &f.Network,
		&f.Carrier, &f.Region, &f.RoomSessionID, &f.RetryWindowMS, &f.Attributes, &f.Count, &f.Why, &f.Update,
		&f.PeerUserID, &source, &trust, &f.Import, &f.Salt}, more...)...)
	if err != nil {
		return 0, f, err
	}
	f.Ref.Seq = uint64(seq)
	f.Kind, f.Family, f.Source, f.Trust = events.Kind(kind), events.Family(family), events.Source(source), events.Trust(trust)
	f.Reason = events.NoReason
	if reason != "" {
		if f.Reason, err = events.ParseReason(reason); err != nil {
			return 0, f, err
		}
	}
	if offset != nil {
		f.ClockOffsetMS, f.HasClockOff = *offset, true
	}
	if monotonic != nil {
		f.MonotonicMS, f.HasMonotonic = *monotonic, true
	}
	f.OccurredAt, f.ReceivedAt, f.StoredAt = f.OccurredAt.UTC(), f.ReceivedAt.UTC(), f.StoredAt.UTC()
	if f.Attributes != "" {
		f.Attributes, err = events.CanonicalAttributes([]byte(f.Attributes))
	}
	return id, f, err
}

// Null where the value says nothing.

func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func ifAny[T any](ok bool, v T) any {
	if !ok {
		return nil
	}
	return v
}

func instant(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}

package readmodel

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/projections"
)

// rows are rows of one table in the form of COPY.
type rows struct {
	row copyRow
	n   int
}

func (r *rows) begin(t table) *copyRow {
	r.n++
	r.row.begin(len(t.columns))
	return &r.row
}

// copyTo copies them into a table.
func (r *rows) copyTo(ctx context.Context, tx pgx.Tx, into string, columns []string) error {
	stream := io.MultiReader(strings.NewReader(copyHeader), bytes.NewReader(r.row.buf), strings.NewReader(copyTrailer))
	n, err := copyFrom(ctx, tx, into, columns, stream)
	if err == nil && n != int64(r.n) {
		err = fmt.Errorf("%d of %d rows were written", n, r.n)
	}
	return err
}

// copyFrom runs COPY with a stream in its binary form.
func copyFrom(ctx context.Context, tx pgx.Tx, into string, columns []string, stream io.Reader) (int64, error) {
	sql := "COPY " + into + " (" + strings.Join(columns, ", ") + ") FROM STDIN (FORMAT binary)"
	if t, ok := tx.(schemaTx); ok {
		sql = t.rm.sql(sql)
	}
	tag, err := tx.Conn().PgConn().CopyFrom(ctx, stream, sql)
	return tag.RowsAffected(), err
}

func writeLogin(w *copyRow, id int64, l *projections.Login) {
	w.int8(id)
	w.int4(int64(l.No))
	writeDevice(w, &l.Described)
	w.text(l.OS)
	writePlace(w, &l.Described)
	w.text(l.RoomSessionID)
	w.text(l.Via)
	w.time(l.FirstAt)
	w.time(l.LoginStartedAt)
	w.time(l.LoginedAt)
	w.maybe(l.TimeToLoginMS)
	w.maybe(l.LoginErrorCode)
	w.bool(l.CallerFault)
	w.time(l.EndedAt)
	w.text(l.EndedBy)
	w.maybe(l.EndErrorCode)
	w.textValue(l.State.String())
	w.int4(int64(l.Interruptions))
	w.int8(l.ConnectedMS)
	w.int8(l.ReconnectingMS)
	w.time(l.LastEventAt)
	w.time(l.LastStateAt)
	w.time(l.LastAliveAt)
	w.bool(l.ClosingSaid)
	w.time(l.FirstReceivedAt)
	w.time(l.LastReceivedAt)
	w.int8(l.MissingEvents)
	w.bool(l.IsImport)
	w.int8(l.HeartbeatTimeoutMS)
	w.int8(l.RetryWindowMS)
	w.int8(l.LoginTimeoutMS)
	w.int8(l.AliveEveryMS)
	w.int8(l.CappedReconnectingMS)
	w.bool(l.IsFlapping)
	w.int8(l.SeenEvents)
	w.int8(l.LastSeq)
}

func writeDevice(w *copyRow, d *projections.Described) {
	w.text(d.DeviceID)
	w.textValue(d.Platform)
	w.textValue(string(d.Family))
	w.text(d.SDKVersion)
	w.text(d.AppVersion)
}

func writePlace(w *copyRow, d *projections.Described) {
	w.text(d.Network)
	w.text(d.Carrier)
	w.text(d.Region)
}

func writeInterruption(w *copyRow, id int64, r *projections.Interruption) {
	w.int8(id)
	w.int4(int64(r.LoginNo))
	w.int4(int64(r.No))
	writeDevice(w, &r.Described)
	writePlace(w, &r.Described)
	w.time(r.StartedAt)
	w.time(r.EndedAt)
	w.time(r.StartReceivedAt)
	w.time(r.EndReceivedAt)
	w.text(r.Outcome)
	w.maybe(r.DurationMS)
	w.int8(r.ErrorCode)
	w.maybe(r.EndErrorCode)
	w.bool(r.IsImport)
	w.int8(r.HeartbeatTimeoutMS)
	w.int8(r.RetryWindowMS)
	w.time(r.StartedAt.Add(time.Duration(r.HeartbeatTimeoutMS) * time.Millisecond))
}

func writeKick(w *copyRow, id int64, k *projections.Kick) {
	w.int8(id)
	w.int4(int64(k.LoginNo))
	w.time(k.KickedAt)
	w.time(k.ReceivedAt)
	w.int8(k.ErrorCode)
	w.textValue(k.Reason)
	w.text(k.Attribution)
	w.int8(k.SessionAgeMS)
	w.bool(k.WhileReconnecting)
	if k.HasMessage {
		w.textValue(k.Message)
	} else {
		w.null()
	}
	w.bool(k.IsImport)
}

func writeAnomaly(w *copyRow, id int64, a *projections.Anomaly) {
	w.int8(id)
	w.int4(a.Seq)
	w.textValue(a.Kind)
	w.int4(int64(a.Ref.Generation))
	w.int4(int64(a.Ref.Partition))
	w.int8(int64(a.Ref.Seq))
	w.textValue(a.Detail)
	w.textValue(a.Platform)
	w.text(a.SDKVersion)
	w.time(a.HappenedAt)
}

func writeMark(w *copyRow, m projections.Mark) {
	w.int4(int64(m.Ref.Generation))
	w.int4(int64(m.Ref.Partition))
	w.int8(int64(m.Ref.Seq))
	w.bool(m.IsCopy)
	w.text(m.Previous.String())
	w.text(string(m.Transition))
}

// maybe is null where the number is not known.
func (w *copyRow) maybe(m projections.Maybe) { w.int8If(m.Known, m.N) }

// maybe is the same as an argument of a statement.
func maybe(m projections.Maybe) any { return ifAny(m.Known, m.N) }

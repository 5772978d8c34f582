package readmodel

import (
	"encoding/binary"
	"io"
	"math"
	"time"
)

// What goes before and after the rows: signature, flags and no extension; the end.
const (
	copyHeader  = "PGCOPY\n\377\r\n\000\000\000\000\000\000\000\000\000"
	copyTrailer = "\377\377"
)

// copyRows is a stream of rows in the binary form of COPY, encoded while it is
// read. pgx encodes value by value through its tables of types, which for facts
// costs as much as all of the fold; the order of the columns and their types
// must be known here, and Postgres refuses what does not fit.
type copyRows struct {
	next func(w *copyRow) bool // writes the next row; false when there is none
	row  copyRow
	sent int // of row.buf
	done bool
}

// newCopyRows streams what next writes.
func newCopyRows(next func(w *copyRow) bool) *copyRows {
	c := &copyRows{next: next}
	c.row.buf = append(c.row.buf, copyHeader...)
	return c
}

func (c *copyRows) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if c.sent == len(c.row.buf) {
			if c.done {
				break
			}
			c.row.buf, c.sent = c.row.buf[:0], 0
			if !c.next(&c.row) {
				c.done = true
				c.row.buf = append(c.row.buf[:0], copyTrailer...)
			}
		}
		k := copy(p[n:], c.row.buf[c.sent:])
		n, c.sent = n+k, c.sent+k
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// copyRow writes the fields of one row, in the order of the columns.
type copyRow struct{ buf []byte }

func (w *copyRow) begin(fields int) { w.buf = binary.BigEndian.AppendUint16(w.buf, uint16(fields)) }

func (w *copyRow) size(n int) { w.buf = binary.BigEndian.AppendUint32(w.buf, uint32(n)) }

func (w *copyRow) null() { w.size(-1) }

// text is null where it is empty; textValue is not.
func (w *copyRow) text(s string) {
	if s == "" {
		w.null()
		return
	}
	w.textValue(s)
}

func (w *copyRow) textValue(s string) {
	w.size(len(s))
	w.buf = append(w.buf, s...)
}

func (w *copyRow) int8(n int64) {
	w.size(8)
	w.buf = binary.BigEndian.AppendUint64(w.buf, uint64(n))
}

func (w *copyRow) int2(n int16) {
	w.size(2)
	w.buf = binary.BigEndian.AppendUint16(w.buf, uint16(n))
}

func (w *copyRow) int4(n int64) {
	w.size(4)
	w.buf = binary.BigEndian.AppendUint32(w.buf, uint32(n))
}

// int8If and int4If are null where ok is false.
func (w *copyRow) int8If(ok bool, n int64) {
	if !ok {
		w.null()
		return
	}
	w.int8(n)
}

func (w *copyRow) int4If(ok bool, n int64) {
	if !ok {
		w.null()
		return
	}
	w.int4(n)
}

func (w *copyRow) float8If(ok bool, f float64) {
	if !ok {
		w.null()
		return
	}
	w.size(8)
	w.buf = binary.BigEndian.AppendUint64(w.buf, math.Float64bits(f))
}

func (w *copyRow) bool(b bool) {
	w.size(1)
	if b {
		w.buf = append(w.buf, 1)
	} else {
		w.buf = append(w.buf, 0)
	}
}

// postgresEpoch is where Postgres counts its microseconds from.
var postgresEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// time is null where it is zero.
func (w *copyRow) time(t time.Time) {
	if t.IsZero() {
		w.null()
		return
	}
	w.int8(t.UnixMicro() - postgresEpoch)
}

func (w *copyRow) uuid(id [16]byte) {
	w.size(16)
	w.buf = append(w.buf, id[:]...)
}

func (w *copyRow) bytes(b []byte) {
	w.size(len(b))
	w.buf = append(w.buf, b...)
}

// json is null where there is none; jsonb has a version before its text.
func (w *copyRow) json(b []byte) {
	if b == nil {
		w.null()
		return
	}
	w.bytes(b)
}

func (w *copyRow) jsonb(s string) {
	if s == "" {
		w.null()
		return
	}
	w.size(len(s) + 1)
	w.buf = append(w.buf, 1)
	w.buf = append(w.buf, s...)
}

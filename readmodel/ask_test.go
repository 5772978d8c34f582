package readmodel

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

func TestPlain(t *testing.T) {
	t.Parallel()
	types := pgtype.NewMap()
	for _, tc := range []struct {
		oid  uint32
		text string
		want any
	}{
		{pgtype.TextOID, "会议室", "会议室"},
		{pgtype.TextOID, "", ""},
		{pgtype.BoolOID, "t", true},
		{pgtype.BoolOID, "f", false},
		{pgtype.Int8OID, "-9223372036854775808", int64(-9223372036854775808)},
		{pgtype.Int4OID, "7", int64(7)},
		{pgtype.Float8OID, "0.1", 0.1},
		{pgtype.NumericOID, "12", int64(12)},
		{pgtype.NumericOID, "1.50", 1.5},
		{pgtype.NumericOID, "0.000", 0.0},
		{pgtype.NumericOID, "-12.25", -12.25},
		{pgtype.NumericOID, "12345678901234567890", "12345678901234567890"},
		{pgtype.NumericOID, "0.12345678901234567890", "0.12345678901234567890"},
		{pgtype.TimestamptzOID, "2026-03-01 03:12:00.123456+00", time.Date(2026, 3, 1, 3, 12, 0, 123456000, time.UTC)},
		{pgtype.TimestamptzOID, "2026-03-01 03:12:00+00", time.Date(2026, 3, 1, 3, 12, 0, 0, time.UTC)},
		{pgtype.TimestamptzOID, "infinity", "infinity"},
		{pgtype.TimestampOID, "2026-03-01 03:12:00", "2026-03-01 03:12:00"},
		{pgtype.JSONBOID, `{"a": 10000000000000001}`, json.RawMessage(`{"a": 10000000000000001}`)},
		{pgtype.TextArrayOID, `{a,"b c",""}`, []string{"a", "b c", ""}},
		{pgtype.TextArrayOID, `{a,NULL}`, `{a,NULL}`},
		{pgtype.IntervalOID, "1 day 02:00:00", "1 day 02:00:00"},
		{pgtype.UUIDOID, "3af02bb8-6584-4657-b3c4-c757cca74b2f", "3af02bb8-6584-4657-b3c4-c757cca74b2f"},
	} {
		if got := plain(types, tc.oid, tc.text); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("plain(%d, %q) = %#v, want %#v", tc.oid, tc.text, got, tc.want)
		}
	}
}

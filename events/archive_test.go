package events

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestAnArchiveKeepsWhenItWasReceived(t *testing.T) {
	t.Parallel()
	received := time.Date(2026, 3, 1, 10, 0, 9, 500_000_000, time.UTC)
	for name, c := range map[string]struct {
		changes    map[string]string
		receivedAt time.Time
		offset     int64
		hasOffset  bool
		source     Source
	}{
		"a plain report":               {nil, noon, 0, false, FromClient},
		"received_at":                  {map[string]string{"received_at": `"2026-03-01T10:00:09.5Z"`}, received, 0, false, FromClient},
		"received_at in milliseconds":  {map[string]string{"received_at": `1772359209500`}, received, 0, false, FromClient},
		"received_at and sent_at":      {map[string]string{"received_at": `"2026-03-01T10:00:09.5Z"`, "sent_at": `"2026-03-01T10:00:02Z"`}, received, 7500, true, FromClient},
		"sent_at without a receipt":    {map[string]string{"sent_at": `"2026-03-01T10:00:02Z"`}, noon, 0, false, FromClient},
		"received_at and offset":       {map[string]string{"received_at": `"2026-03-01T10:00:09.5Z"`, "clock_offset_ms": `-12`}, received, -12, true, FromClient},
		"an offset stands over a time": {map[string]string{"received_at": `"2026-03-01T10:00:09.5Z"`, "sent_at": `"2026-03-01T10:00:02Z"`, "clock_offset_ms": `"8"`}, received, 8, true, FromClient},
		"an offset alone":              {map[string]string{"clock_offset_ms": `90000`}, noon, 90000, true, FromClient},
		"a source":                     {map[string]string{"source": `"client"`}, noon, 0, false, FromClient},
		"nulls":                        {map[string]string{"received_at": `null`, "sent_at": `null`, "clock_offset_ms": `null`, "source": `null`}, noon, 0, false, FromClient},
	} {
		e, err := FromArchive(noon, report(t, c.changes))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !e.ReceivedAt.Equal(c.receivedAt) || e.ClockOffsetMS != c.offset || e.HasClockOff != c.hasOffset || e.Source != c.source {
			t.Errorf("%s: received %s, offset %d (%v), source %s; want %s, %d (%v), %s", name,
				e.ReceivedAt, e.ClockOffsetMS, e.HasClockOff, e.Source, c.receivedAt, c.offset, c.hasOffset, c.source)
		}
	}
}

func TestAnArchivedLineIsRefusedByField(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		changes map[string]string
		field   string
	}{
		"a receipt that is no time": {map[string]string{"received_at": `"yesterday"`}, "received_at"},
		"a receipt of 1999":         {map[string]string{"received_at": `"1999-12-31T23:59:59Z"`}, "received_at"},
		"a receipt without a zone":  {map[string]string{"received_at": `"2026-03-01T10:00:00"`}, "received_at"},
		"a sending that is none":    {map[string]string{"sent_at": `{}`}, "sent_at"},
		"an offset in words":        {map[string]string{"clock_offset_ms": `"much"`}, "clock_offset_ms"},
		"an offset of an age":       {map[string]string{"clock_offset_ms": `9223372036854775807`}, "clock_offset_ms"},
		"a source unheard of":       {map[string]string{"source": `"me"`}, "source"},
		"a room that is missing":    {map[string]string{"room_id": ``}, "room_id"},
		"attributes without end":    {map[string]string{"attributes": `{"a":"` + strings.Repeat("x", 4<<10) + `"}`}, "attributes"},
	} {
		_, err := FromArchive(noon, report(t, c.changes))
		var refused *Refused
		if !errors.As(err, &refused) || refused.Field != c.field {
			t.Errorf("%s: %v; want a refusal of %s", name, err, c.field)
		}
	}
	if _, err := FromArchive(noon, bytes.Repeat([]byte(" "), MaxArchiveBytes+1)); err == nil {
		t.Error("a line without end was taken")
	}
}

// What is exported reads back with its times, as the largest event does.
func TestAnExportedMessageIsAnArchive(t *testing.T) {
	t.Parallel()
	line := report(t, map[string]string{"reason": `3`, "error_code": `1002051`, "extended_data": `""`})
	line = report(t, map[string]string{"reason": `3`, "error_code": `1002051`,
		"extended_data": `"` + strings.Repeat("x", MaxEventBytes-len(line)) + `"`})
	was, err := FromReport(noon, line)
	if err != nil {
		t.Fatal(err)
	}
	was.SetSentAt(noon.Add(-8 * time.Second))
	was.Trust, was.Salt = TrustServer, [16]byte{1}
	got, err := FromArchive(noon.Add(24*time.Hour), Encode(&was))
	if err != nil {
		t.Fatal(err)
	}
	if d := got.Differs(&was); d != "" || !got.ReceivedAt.Equal(noon) || got.ClockOffsetMS != 8000 || !got.HappenedAt().Equal(was.HappenedAt()) {
		t.Errorf("differs in %q, received %s, offset %d", d, got.ReceivedAt, got.ClockOffsetMS)
	}
	if got.Trust != "" || got.Salt != [16]byte{} || got.Import {
		t.Errorf("trust %q, salt %x, import %v came from the line", got.Trust, got.Salt, got.Import)
	}
}

func TestAReportIsNotBelievedWhenItWasReceived(t *testing.T) {
	t.Parallel()
	e, err := FromReport(noon, report(t, map[string]string{"received_at": `"yesterday"`, "clock_offset_ms": `99`, "source": `"server"`, "sent_at": `1`}))
	if err != nil || !e.ReceivedAt.Equal(noon) || e.HasClockOff || e.Source != FromClient {
		t.Errorf("%+v, %v; want receipt now, from a client", e, err)
	}
}

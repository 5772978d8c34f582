package events

import "time"

// MaxArchiveBytes bounds a line of an archive: an exported message is longer
// than the report it was by what the intake added.
const MaxArchiveBytes = MaxEventBytes + 1<<10

// maxOffsetMS is the difference between the first and the last instant there is.
const maxOffsetMS = maxUnixMS - minUnixMS

// archiveBits are the fields that an archive is believed beside those of a
// report: when the event was received, how far the sender's clock was off, who
// spoke. Trust and salt of an exported message are not: nobody has proven now
// who sends it, and its leaf of the audit tree is another one.
var archiveBits = map[string]uint64{
	"received_at": fReceivedAt, "sent_at": fSentAt, "clock_offset_ms": fClockOffset, "source": fSource,
}

// FromArchive reads one event as a file keeps it: a report, or a message that
// was exported from the log. Where the line says when it was received, that
// stands, else it is received now. The offset is clock_offset_ms, or else
// received_at - sent_at (contract 4.2) where the line carries both: a sent_at
// of old says nothing about a receipt of now. The error is a *Refused. The
// caller adds salt, trust, and that it is an import.
func FromArchive(now time.Time, line []byte) (Event, error) {
	p := parser{added: archiveBits}
	if r := p.read(line, MaxArchiveBytes); r != nil {
		return Event{}, r
	}
	e := &p.e
	if e.Source == "" {
		e.Source = FromClient
	}
	switch {
	case e.ReceivedAt.IsZero():
		e.ReceivedAt = now.UTC().Truncate(time.Microsecond)
	case !p.sentAt.IsZero() && !e.HasClockOff:
		e.SetSentAt(p.sentAt)
	}
	return p.e, nil
}

// archiveField takes one field of archiveBits. What they say moves events in
// time, so a wrong one refuses the line instead of being dropped.
func (p *parser) archiveField(bit uint64, name string, raw []byte) (r *Refused) {
	e := &p.e
	switch bit {
	case fReceivedAt:
		e.ReceivedAt, r = Instant(name, raw)
	case fSentAt:
		p.sentAt, r = Instant(name, raw)
	case fClockOffset:
		n, ok := integer(raw)
		if !ok || n > maxOffsetMS || n < -maxOffsetMS {
			return refuse(name, "%s is no offset of clocks; want whole milliseconds within a century", show(raw))
		}
		e.ClockOffsetMS, e.HasClockOff = n, true
	case fSource:
		switch e.Source = Source(text(raw)); e.Source {
		case FromClient:
		default:
			return refuse(name, "%s: only what clients said is read here; server callbacks have an import of their own, and findings of the monitor are made anew", show(raw))
		}
	}
	return r
}

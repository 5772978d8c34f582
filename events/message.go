package events

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"
)

// Encode writes the event as its message in the log: the event's JSON with
// what the intake added (contract 3). Fields without a value are left out.
func Encode(e *Event) []byte { return AppendMessage(make([]byte, 0, 512), e) }

// AppendMessage appends what Encode returns to b.
func AppendMessage(b []byte, e *Event) []byte {
	b = appendSaid(b, e)
	if e.Witness != nil {
		b = e.Witness.append(b)
	}
	b = appendTime(b, "received_at", e.ReceivedAt)
	if e.HasClockOff {
		b = appendInt(b, "clock_offset_ms", e.ClockOffsetMS)
	}
	b = appendText(b, "source", string(e.Source))
	b = appendText(b, "trust", string(e.Trust))
	if e.Import {
		b = append(b, `,"import":true`...)
	}
	b = append(b, `,"salt":"`...)
	b = base64.StdEncoding.AppendEncode(b, e.Salt[:])
	return append(b, `"}`...)
}

// AppendReport appends the event as a client reports it, one JSON object
// (contract 2): what FromReport reads.
func AppendReport(b []byte, e *Event) []byte { return append(appendSaid(b, e), '}') }

// appendSaid appends an object, still open, of what the sender said.
func appendSaid(b []byte, e *Event) []byte {
	b = append(b, `{"app_id":`...)
	b = appendString(b, e.AppID)
	b = appendText(b, "room_id", e.RoomID)
	b = appendText(b, "user_id", e.UserID)
	if e.Source != FromServer {
		b = appendText(b, "session_id", e.SessionID)
		b = appendInt(b, "seq", e.Seq)
	}
	b = appendText(b, "kind", string(e.Kind))
	if e.Kind == State {
		b = appendText(b, "reason", e.Reason.String())
		b = appendInt(b, "error_code", e.ErrorCode)
	}
	if e.ExtendedData != nil {
		b = append(append(b, `,"extended_data":`...), e.ExtendedData...)
	}
	b = appendText(b, "via", e.Via)
	b = appendTime(b, "occurred_at", e.OccurredAt)
	if e.HasMonotonic {
		b = append(b, `,"monotonic_ms":`...)
		b = strconv.AppendFloat(b, e.MonotonicMS, 'f', -1, 64)
	}
	b = appendText(b, "boot_id", e.BootID)
	b = appendText(b, "platform", e.Platform)
	b = appendText(b, "family", string(e.Family))
	b = appendText(b, "device_id", e.DeviceID)
	b = appendText(b, "sdk_version", e.SDKVersion)
	b = appendText(b, "app_version", e.AppVersion)
	b = appendText(b, "os", e.OS)
	b = appendText(b, "network", e.Network)
	b = appendText(b, "carrier", e.Carrier)
	b = appendText(b, "region", e.Region)
	b = appendText(b, "room_session_id", e.RoomSessionID)
	if e.RetryWindowMS > 0 {
		b = appendInt(b, "retry_window_ms", e.RetryWindowMS)
	}
	if e.Attributes != "" {
		b = append(append(b, `,"attributes":`...), e.Attributes...)
	}
	if e.Count > 0 {
		b = appendInt(b, "count", e.Count)
	}
	b = appendText(b, "why", e.Why)
	b = appendText(b, "update", e.Update)
	return appendText(b, "peer_user_id", e.PeerUserID)
}

// Decode reads a message of the log written under the given schema version.
func Decode(version string, message []byte) (Event, error) {
	if version != SchemaVersion {
		return Event{}, fmt.Errorf("decode message: schema version %q is not known; this program reads %q", version, SchemaVersion)
	}
	p := parser{stored: true, added: storedBits}
	if r := p.object(message); r != nil {
		return Event{}, fmt.Errorf("decode message: %w", r)
	}
	if r := p.finish(); r != nil {
		return Event{}, fmt.Errorf("decode message: %w", r)
	}
	if p.seen&fReceivedAt == 0 {
		return Event{}, fmt.Errorf("decode message: received_at: it is missing")
	}
	return p.e, nil
}

// storedField takes one field that the intake added.
func (p *parser) storedField(bit uint64, name string, raw []byte) *Refused {
	e := &p.e
	switch bit {
	case fReceivedAt:
		var r *Refused
		e.ReceivedAt, r = Instant(name, raw)
		return r
	case fClockOffset:
		e.ClockOffsetMS, e.HasClockOff = parseInteger(raw)
	case fSource:
		e.Source = Source(text(raw))
	case fTrust:
		e.Trust = Trust(text(raw))
	case fImport:
		e.Import = string(raw) == "true"
	case fRoomSeq, fServerSession, fServerReason, fUpdateSeq, fTermType, fRelogin, fLoginTime:
		return p.witnessField(bit, name, raw)
	case fSalt:
		var buf [18]byte
		if len(raw) != 26 || raw[0] != '"' {
			return refuse(name, "want 16 bytes in base64")
		}
		if n, err := base64.StdEncoding.Decode(buf[:], raw[1:25]); err != nil || n != len(e.Salt) {
			return refuse(name, "want 16 bytes in base64")
		}
		copy(e.Salt[:], buf[:])
	}
	return nil
}

func appendText(b []byte, name, s string) []byte {
	if s == "" {
		return b
	}
	b = append(append(append(b, ',', '"'), name...), '"', ':')
	return appendString(b, s)
}

func appendInt(b []byte, name string, n int64) []byte {
	b = append(append(append(b, ',', '"'), name...), '"', ':')
	return strconv.AppendInt(b, n, 10)
}

func appendTime(b []byte, name string, t time.Time) []byte {
	b = append(append(append(b, ',', '"'), name...), `":"`...)
	b = t.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
	return append(b, '"')
}

// appendString writes a JSON string; the text is valid UTF-8 by then.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	last := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			_, n := utf8.DecodeRuneInString(s[i:])
			i += n
			continue
		}
		if c >= 0x20 && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[last:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\t':
			b = append(b, '\\', 't')
		case '\r':
			b = append(b, '\\', 'r')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		last = i
	}
	return append(append(b, s[last:]...), '"')
}

package events

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of one event (contract 2).
const (
	MaxEventBytes     = 64 << 10
	MaxDepth          = 32
	MaxSeq            = 999_999
	maxIDBytes        = 255
	maxSessionIDBytes = 128
	maxTextBytes      = 255
	maxAttributes     = 16
	maxAttributeBytes = 4 << 10
)

// Refused is why an event was not taken: the field at fault (empty where it
// is the event as a whole) and what would be right.
type Refused struct{ Field, Reason string }

func (r *Refused) Error() string {
	if r.Field == "" {
		return r.Reason
	}
	return r.Field + ": " + r.Reason
}

func refuse(field, format string, args ...any) *Refused {
	return &Refused{field, fmt.Sprintf(format, args...)}
}

// FromReport reads one event as a client sends it, received at now; the error
// is a *Refused. The caller adds what it alone knows: trust, salt, whether it
// is an import, and the sender's clock (SetSentAt).
func FromReport(now time.Time, line []byte) (Event, error) {
	var p parser
	if r := p.read(line, MaxEventBytes); r != nil {
		return Event{}, r
	}
	p.e.ReceivedAt = now.UTC().Truncate(time.Microsecond)
	p.e.Source = FromClient
	return p.e, nil
}

// parser fills an event from the members of a JSON object, for reports, for
// lines of archives and for messages of the log alike. What depends on the
// kind waits until finish.
type parser struct {
	e      Event
	seen   uint64            // a bit for each field that came with a value
	stored bool              // a message of the log
	added  map[string]uint64 // the fields that count beside those of a report

	kind, reason, errorCode          []byte
	count, why, update, peer, family []byte
	sentAt                           time.Time // archives: zero where absent
}

// read takes an event of at most limit bytes.
func (p *parser) read(line []byte, limit int) *Refused {
	if len(line) > limit {
		return refuse("", "the event has %d bytes; at most %d are taken", len(line), limit)
	}
	if r := p.object(line); r != nil {
		return r
	}
	return p.finish()
}

func (p *parser) object(line []byte) *Refused { return members(line, p.field) }

// members hands out the members of a JSON object that are not null.
func members(line []byte, take func(name string, raw []byte) *Refused) *Refused {
	i := SkipSpace(line, 0)
	if i >= len(line) || line[i] != '{' {
		if end, _, err := NextValue(line, i); err == nil && SkipSpace(line, end) == len(line) {
			return refuse("", "an event is a JSON object, not %s", quoteShort(string(line[i:end])))
		}
		return refuse("", "%v", syntaxAt(line, i))
	}
	valid := utf8.Valid(line)
	if i = SkipSpace(line, i+1); i < len(line) && line[i] == '}' {
		return nothingAfter(line, i+1)
	}
	for {
		end, r := member(line, i, valid, take)
		if r != nil {
			return r
		}
		i = SkipSpace(line, end)
		if i < len(line) && line[i] == '}' {
			return nothingAfter(line, i+1)
		}
		if i >= len(line) || line[i] != ',' {
			return refuse("", "%v", syntaxAt(line, i))
		}
		i = SkipSpace(line, i+1)
	}
}

func nothingAfter(line []byte, i int) *Refused {
	if i = SkipSpace(line, i); i != len(line) {
		return refuse("", "%v", syntaxAt(line, i))
	}
	return nil
}

// member reads one "name": value and returns the position after it.
func member(line []byte, i int, valid bool, take func(name string, raw []byte) *Refused) (int, *Refused) {
	afterColon, err := nextKey(line, i)
	if err != nil {
		return i, refuse("", "%v", err)
	}
	nameEnd, _ := nextString(line, i)
	name := unquote(line[i:nameEnd])
	v := SkipSpace(line, afterColon)
	end, depth, err := NextValue(line, v)
	switch {
	case err != nil:
		return i, refuse(fieldOf(name), "%v", err)
	case depth+1 > MaxDepth:
		return i, refuse(fieldOf(name), "it nests %d deep; at most %d are taken", depth+1, MaxDepth)
	case !valid && !utf8.Valid(line[i:end]):
		return i, refuse(fieldOf(name), "its text is not UTF-8")
	}
	if string(line[v:end]) == "null" {
		return end, nil
	}
	return end, take(name, line[v:end])
}

// fieldOf makes a member's name fit to be shown.
func fieldOf(name string) string {
	return cut(strings.ToValidUTF8(name, "\uFFFD"), 64)
}

// Bits of parser.seen.
const (
	fAppID = 1 << iota
	fRoomID
	fUserID
	fSessionID
	fSeq
	fKind
	fReason
	fErrorCode
	fExtendedData
	fVia
	fOccurredAt
	fMonotonic
	fBootID
	fPlatform
	fFamily
	fDeviceID
	fSDKVersion
	fAppVersion
	fOS
	fNetwork
	fCarrier
	fRegion
	fRoomSessionID
	fRetryWindow
	fAttributes
	fCount
	fWhy
	fUpdate
	fPeer
	fReceivedAt
	fClockOffset
	fSource
	fTrust
	fImport
	fSalt
	fRoomSeq
	fServerSession
	fServerReason
	fUpdateSeq
	fTermType
	fRelogin
	fLoginTime
	fSentAt
)

var fieldBits = map[string]uint64{
	"app_id": fAppID, "room_id": fRoomID, "user_id": fUserID, "session_id": fSessionID, "seq": fSeq,
	"kind": fKind, "reason": fReason, "error_code": fErrorCode, "extended_data": fExtendedData, "via": fVia,
	"occurred_at": fOccurredAt, "monotonic_ms": fMonotonic, "boot_id": fBootID, "platform": fPlatform,
	"family": fFamily, "device_id": fDeviceID, "sdk_version": fSDKVersion, "app_version": fAppVersion,
	"os": fOS, "network": fNetwork, "carrier": fCarrier, "region": fRegion, "room_session_id": fRoomSessionID,
	"retry_window_ms": fRetryWindow, "attributes": fAttributes, "count": fCount, "why": fWhy,
	"update": fUpdate, "peer_user_id": fPeer,
}

// storedBits are the fields that the intake adds. A client that sends them is
// not believed: for a report they are unknown fields.
var storedBits = map[string]uint64{
	"received_at": fReceivedAt, "clock_offset_ms": fClockOffset, "source": fSource,
	"trust": fTrust, "import": fImport, "salt": fSalt,
	"room_seq": fRoomSeq, "server_session_id": fServerSession, "server_reason": fServerReason, "user_update_seq": fUpdateSeq,
	"term_type": fTermType, "relogin": fRelogin, "login_time": fLoginTime,
}

// field takes one member that is not null.
func (p *parser) field(name string, raw []byte) *Refused {
	bit, ok := fieldBits[name]
	if !ok {
		if bit, ok = p.added[name]; !ok {
			return nil
		}
	}
	if p.seen&bit != 0 {
		return refuse(name, "it is given twice")
	}
	p.seen |= bit
	e := &p.e
	var r *Refused
	switch bit {
	case fAppID:
		e.AppID, r = identifier(name, raw, maxIDBytes)
	case fRoomID:
		e.RoomID, r = identifier(name, raw, maxIDBytes)
	case fUserID:
		e.UserID, r = identifier(name, raw, maxIDBytes)
	case fSessionID:
		e.SessionID, r = identifier(name, raw, maxSessionIDBytes)
	case fSeq:
		n, ok := integer(raw)
		if !ok || n < 0 || n > MaxSeq {
			return refuse(name, "%s is no sequence number; want a whole number from 0 to %d", show(raw), MaxSeq)
		}
		e.Seq = n
	case fKind:
		p.kind = raw
	case fReason:
		p.reason = raw
	case fErrorCode:
		p.errorCode = raw
	case fExtendedData:
		e.ExtendedData = storable(raw)
	case fOccurredAt:
		e.OccurredAt, r = Instant(name, raw)
	case fAttributes:
		e.Attributes, r = attributes(raw, !p.stored)
	case fCount:
		p.count = raw
	case fWhy:
		p.why = raw
	case fUpdate:
		p.update = raw
	case fPeer:
		p.peer = raw
	case fFamily:
		p.family = raw
	case fPlatform:
		if raw[0] != '"' && !isNumber(raw) {
			return refuse(name, "%s is no platform; want web, android, ios, flutter or another of the SDK's platforms", show(raw))
		}
		e.Platform, e.Family = NormalizePlatform(text(raw))
	default:
		switch {
		case bit >= fReceivedAt && p.stored:
			return p.storedField(bit, name, raw)
		case bit >= fReceivedAt:
			return p.archiveField(bit, name, raw)
		}
		p.optional(bit, raw)
	}
	return r
}

// optional takes a field that is dropped where its type is wrong.
func (p *parser) optional(bit uint64, raw []byte) {
	e := &p.e
	switch bit {
	case fVia:
		if v := text(raw); v == "login" || v == "switch" {
			e.Via = v
		}
	case fMonotonic:
		e.MonotonicMS, e.HasMonotonic = milliseconds(raw)
	case fBootID:
		e.BootID = text(raw)
	case fDeviceID:
		e.DeviceID = text(raw)
	case fSDKVersion:
		e.SDKVersion = text(raw)
	case fAppVersion:
		e.AppVersion = text(raw)
	case fOS:
		e.OS = text(raw)
	case fNetwork:
		e.Network = network(text(raw))
	case fCarrier:
		e.Carrier = text(raw)
	case fRegion:
		e.Region = text(raw)
	case fRoomSessionID:
		e.RoomSessionID = text(raw)
	case fRetryWindow:
		if n, ok := parseInteger(raw); ok && n > 0 && n <= maxRetryWindowMS {
			e.RetryWindowMS = n
		}
	}
}

// finish checks what must be there and reads what depends on the kind.
func (p *parser) finish() *Refused {
	e := &p.e
	if p.stored && e.Source == FromServer {
		return p.finishWitness()
	}
	for _, f := range required {
		if p.seen&f.bit == 0 {
			return refuse(f.name, "it is missing; want %s", f.want)
		}
	}
	if p.family != nil {
		if f := Family(strings.ToLower(text(p.family))); f == Web || f == Native {
			e.Family = f
		}
	}
	e.Kind, e.Reason = State, NoReason
	if p.stored && e.Source == FromMonitor {
		e.Kind = Kind(text(p.kind))
		return nil
	}
	if p.kind != nil {
		k, ok := kinds[text(p.kind)]
		if !ok {
			return refuse("kind", "%s is no kind; want state, alive, lost, app or peer", show(p.kind))
		}
		e.Kind = k
	}
	switch e.Kind {
	case State:
		return p.finishState()
	case Lost:
		if n, ok := integer(p.count); ok && n > 0 {
			e.Count = n
		}
		e.Why = text(p.why)
	case App:
		switch e.Why = text(p.why); e.Why {
		case "hidden", "visible", "closing":
		default:
			return refuse("why", "%s says nothing of the app; want hidden, visible or closing", show(p.why))
		}
	case Peer:
		if e.Update = text(p.update); e.Update != "ADD" && e.Update != "DELETE" {
			return refuse("update", "%s is no user update; want ADD or DELETE", show(p.update))
		}
		var r *Refused
		if e.PeerUserID, r = identifier("peer_user_id", p.peer, maxIDBytes); r != nil {
			return r
		}
	}
	return nil
}

func (p *parser) finishState() *Refused {
	if p.reason == nil {
		return refuse("reason", "it is missing; want the room state, 0 to 8 or its name")
	}
	var err error
	if n, ok := parseInteger(p.reason); ok {
		p.e.Reason, err = ReasonFromNumber(n)
	} else if p.reason[0] == '"' {
		p.e.Reason, err = ParseReason(unquote(p.reason))
	} else {
		err = fmt.Errorf("%s is no room state; want 0 to 8 or its name", show(p.reason))
	}
	if err != nil {
		return refuse("reason", "%v", err)
	}
	if p.errorCode == nil {
		return refuse("error_code", "it is missing; want the SDK's error code, 0 where there is none")
	}
	n, ok := integer(p.errorCode)
	if !ok {
		return refuse("error_code", "%s is no error code; want a whole number of 64 bits", show(p.errorCode))
	}
	p.e.ErrorCode = n
	return nil
}

var required = []struct {
	bit        uint64
	name, want string
}{
	{fAppID, "app_id", "the vendor's app id"},
	{fRoomID, "room_id", "the room's id as given to loginRoom"},
	{fUserID, "user_id", "the user's id as given to loginRoom"},
	{fSessionID, "session_id", "an id that the reporter makes anew at each loginRoom or switchRoom"},
	{fSeq, "seq", "the number of the event in its session, from 0"},
	{fOccurredAt, "occurred_at", "RFC 3339 with zone, or Unix milliseconds"},
	{fPlatform, "platform", "web, android, ios, flutter or another of the SDK's platforms"},
}

package events

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Event is an immutable fact that somebody reported. Text fields are empty
// where the sender gave none: the contract treats null, absent and empty alike.
// Instants are UTC and cut to microseconds, the finest that the read model keeps.
type Event struct {
	AppID, RoomID, UserID, SessionID string
	Seq                              int64

	Kind         Kind
	Reason       Reason // NoReason unless Kind is State
	ErrorCode    int64
	ExtendedData []byte // JSON text as sent; nil where absent or null
	Via          string // login, switch

	OccurredAt   time.Time // the sender's clock
	MonotonicMS  float64   // valid where HasMonotonic
	HasMonotonic bool
	BootID       string

	Platform string
	Family   Family

	DeviceID, SDKVersion, AppVersion, OS string
	Network, Carrier, Region             string
	RoomSessionID                        string
	RetryWindowMS                        int64  // 0 where absent
	Attributes                           string // canonical JSON object; "" where absent

	Count      int64  // lost: how many events the reporter dropped, 0 unknown
	Why        string // lost, app
	Update     string // peer: ADD, DELETE
	PeerUserID string // peer

	Witness *Witness // what the vendor's server says; nil for all others

	// What the intake adds.
	ReceivedAt    time.Time
	ClockOffsetMS int64 // valid where HasClockOff
	HasClockOff   bool
	Source        Source
	Trust         Trust
	Import        bool
	Salt          [16]byte
}

// maxSkewMS is the difference between clocks that is left uncorrected: below
// it, the network's delay is the likelier cause (contract 4.2).
const maxSkewMS = 5000

// SetSentAt records the sender's clock at the time of sending: the offset is
// what the intake's clock showed minus what the sender's did (contract 4.2).
func (e *Event) SetSentAt(sentAt time.Time) {
	e.ClockOffsetMS = e.ReceivedAt.Sub(sentAt).Milliseconds()
	e.HasClockOff = true
}

// HappenedAt is the instant on our clock: the sender's, corrected where it is
// more than 5 000 ms off (contract 4.2).
func (e *Event) HappenedAt() time.Time {
	if e.HasClockOff && (e.ClockOffsetMS > maxSkewMS || e.ClockOffsetMS < -maxSkewMS) {
		return e.OccurredAt.Add(time.Duration(e.ClockOffsetMS) * time.Millisecond)
	}
	return e.OccurredAt
}

// IsState says whether the event moves a login.
func (e *Event) IsState() bool { return e.Kind == State }

// Buckets is the number of buckets, constant for ever (contract 3).
const Buckets = 1024

// Bucket places an event: a stable hash of (app, user), of (app, room) where
// there is no user, so that everything about one user stands in one stream.
// SHA-256 over "app NUL user", first eight bytes big-endian, modulo 1 024.
func (e *Event) Bucket() int { k := e.Key(); return k.Bucket() }

// Bucket is the bucket of an app and a user (or room).
func Bucket(app, who string) int {
	buf := make([]byte, 0, 128)
	buf = append(append(append(buf, app...), 0), who...)
	sum := sha256.Sum256(buf)
	return int(binary.BigEndian.Uint64(sum[:8]) % Buckets)
}

// Partition is the partition of a bucket where there are n of them: a range
// of buckets, so that the count may change from one generation to the next.
func Partition(bucket, n int) int { return bucket * n / Buckets }

// SetKey names the set that the event belongs to: its session.
type SetKey struct{ AppID, RoomID, UserID, SessionID string }

// Key is the event's session.
func (e *Event) Key() SetKey { return SetKey{e.AppID, e.RoomID, e.UserID, e.SessionID} }

// Bucket is the bucket of the set, that of each of its events.
func (k SetKey) Bucket() int {
	if k.UserID == "" {
		return Bucket(k.AppID, k.RoomID)
	}
	return Bucket(k.AppID, k.UserID)
}

// Hash is a 128-bit digest of the key, collision-free for practical purposes.
func (k SetKey) Hash() [16]byte {
	buf := make([]byte, 0, 256)
	for _, s := range [4]string{k.AppID, k.RoomID, k.UserID, k.SessionID} {
		buf = binary.AppendUvarint(buf, uint64(len(s)))
		buf = append(buf, s...)
	}
	sum := sha256.Sum256(buf)
	return [16]byte(sum[:16])
}

// Ref names a message of the log everywhere: generation/partition/stream_seq.
type Ref struct {
	Generation, Partition int
	Seq                   uint64
}

func (r Ref) String() string {
	return fmt.Sprintf("%d/%d/%d", r.Generation, r.Partition, r.Seq)
}

// Before says whether r was appended before o. The partition plays no part:
// a set lies in one partition of each generation.
func (r Ref) Before(o Ref) bool {
	if r.Generation != o.Generation {
		return r.Generation < o.Generation
	}
	return r.Seq < o.Seq
}

// ParseRef reads what String wrote.
func ParseRef(s string) (Ref, error) {
	parts := strings.Split(s, "/")
	if len(parts) == 3 {
		g, err1 := strconv.Atoi(parts[0])
		p, err2 := strconv.Atoi(parts[1])
		n, err3 := strconv.ParseUint(parts[2], 10, 64)
		if err1 == nil && err2 == nil && err3 == nil && g > 0 && p >= 0 && n > 0 {
			return Ref{g, p, n}, nil
		}
	}
	return Ref{}, fmt.Errorf("parse event_ref %q: want generation/partition/stream_seq, such as 1/0/42", s)
}

// Stored is an event with its place in the log.
type Stored struct {
	Event
	Ref      Ref
	StoredAt time.Time // when the log took it; never changes
	Digest   [16]byte  // of the message, by which a log is recognised; set on the last of a batch
	Raw      []byte    // the message, kept only where Err is set
	Version  string    // the schema version in its header, likewise
	Err      error     // the message could not be read: it goes to quarantine
}

// Digest is how a message is recognised: the first half of its SHA-256.
func Digest(message []byte) [16]byte {
	sum := sha256.Sum256(message)
	return [16]byte(sum[:16])
}

// Same says whether two copies of one identity say the same: the fields of
// the table in contract 2 after normalising, extended_data as a JSON value.
// What the intake added does not count, nor do fields it does not know.
func (e *Event) Same(o *Event) bool { return e.Differs(o) == "" }

// Differs names the first field in which two copies of an identity differ, or
// is empty where they say the same.
func (e *Event) Differs(o *Event) string {
	for _, f := range [...]struct {
		name string
		same bool
	}{
		{"kind", e.Kind == o.Kind},
		{"reason", e.Reason == o.Reason},
		{"error_code", e.ErrorCode == o.ErrorCode},
		{"occurred_at", e.OccurredAt.Equal(o.OccurredAt)},
		{"extended_data", sameJSON(e.ExtendedData, o.ExtendedData)},
		{"via", e.Via == o.Via},
		{"monotonic_ms", e.HasMonotonic == o.HasMonotonic && e.MonotonicMS == o.MonotonicMS},
		{"boot_id", e.BootID == o.BootID},
		{"platform", e.Platform == o.Platform},
		{"family", e.Family == o.Family},
		{"device_id", e.DeviceID == o.DeviceID},
		{"sdk_version", e.SDKVersion == o.SDKVersion},
		{"app_version", e.AppVersion == o.AppVersion},
		{"os", e.OS == o.OS},
		{"network", e.Network == o.Network},
		{"carrier", e.Carrier == o.Carrier},
		{"region", e.Region == o.Region},
		{"room_session_id", e.RoomSessionID == o.RoomSessionID},
		{"retry_window_ms", e.RetryWindowMS == o.RetryWindowMS},
		{"attributes", e.Attributes == o.Attributes},
		{"count", e.Count == o.Count},
		{"why", e.Why == o.Why},
		{"update", e.Update == o.Update},
		{"peer_user_id", e.PeerUserID == o.PeerUserID},
		{"seq", e.Seq == o.Seq},
		{"app_id", e.AppID == o.AppID},
		{"room_id", e.RoomID == o.RoomID},
		{"user_id", e.UserID == o.UserID},
		{"session_id", e.SessionID == o.SessionID},
	} {
		if !f.same {
			return f.name
		}
	}
	return ""
}

func sameJSON(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	if a == nil || b == nil {
		return false
	}
	va, err1 := decodeJSON(a)
	vb, err2 := decodeJSON(b)
	return err1 == nil && err2 == nil && sameValue(va, vb)
}

func decodeJSON(raw []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err
}

func sameValue(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		return ok && sameNumber(a, b)
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !sameValue(a[i], b[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k, v := range a {
			w, ok := b[k]
			if !ok || !sameValue(v, w) {
				return false
			}
		}
		return true
	default:
		return a == b
	}
}

// sameNumber compares exactly where both are integers of 64 bits (room
// session ids are larger than a float holds), else as floats.
func sameNumber(a, b json.Number) bool {
	if a == b {
		return true
	}
	ia, ok1 := parseInteger([]byte(a))
	ib, ok2 := parseInteger([]byte(b))
	if ok1 && ok2 {
		return ia == ib
	}
	fa, err1 := a.Float64()
	fb, err2 := b.Float64()
	return err1 == nil && err2 == nil && fa == fb
}

// ExtendedText finds key in extended_data, which may be an object or a string
// holding the JSON of one (the web SDK sends the latter). A string's text or a
// number's literal; false for anything else.
func (e *Event) ExtendedText(key string) (string, bool) {
	if e.ExtendedData == nil || !bytes.Contains(e.ExtendedData, []byte(key)) {
		return "", false
	}
	v, err := decodeJSON(e.ExtendedData)
	if err != nil {
		return "", false
	}
	if s, ok := v.(string); ok {
		if v, err = decodeJSON([]byte(s)); err != nil {
			return "", false
		}
	}
	m, ok := v.(map[string]any)
	if !ok {
		return "", false
	}
	switch t := m[key].(type) {
	case string:
		return strings.ReplaceAll(t, "\x00", "\uFFFD"), true
	case json.Number:
		return t.String(), true
	}
	return "", false
}

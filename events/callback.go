package events

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Witness is what a server callback says beside the room and the user (the
// vendor's callback pages). Text is empty and numbers are 0 where it says none.
type Witness struct {
	RoomSeq   string // which life of the room; room_session_id of other callbacks
	SessionID string // the vendor's name of a user's stay, not the reporter's
	Reason    int64  // room_logout: reason; room_close: close_reason; valid where HasReason
	HasReason bool
	UpdateSeq int64 // user_update_seq: +1 for each login and logout in a room's life
	TermType  int64 // room_login: sort of device; valid where HasTerm
	HasTerm   bool
	IsRelogin bool      // room_login
	LoginAt   time.Time // room_logout: when that stay began
}

// Callback is a server callback that could be read. Whether it is the vendor's
// is for Signed to say.
type Callback struct {
	Event     Event
	Timestamp string // as sent, since it is signed as sent: seconds
	Nonce     string
	SentAt    time.Time // the timestamp
	signature string
	said      fields
}

// Signed says whether one of the secrets signed the callback. The signature
// does not cover what it says.
func (c *Callback) Signed(secrets []string) bool {
	for _, secret := range secrets {
		if secret != "" && CallbackSignature(secret, c.Timestamp, c.Nonce) == c.signature {
			return true
		}
	}
	return false
}

// Digest is the same for everything that says the same, however it was
// encoded: numbers or strings, JSON or a form.
func (c *Callback) Digest() [32]byte {
	var b []byte
	for _, name := range slices.Sorted(maps.Keys(c.said)) {
		raw := c.said[name].raw
		value := text(raw)
		if value == "" {
			value = string(raw) // no scalar, or nothing
		}
		b = appendString(appendString(b, name), value)
	}
	return sha256.Sum256(b)
}

// Triple is the same for callbacks with the same timestamp and nonce of an app:
// that is all that the signature covers.
func (c *Callback) Triple() [32]byte {
	return sha256.Sum256(appendString(appendString(appendString(nil, c.Event.AppID), c.Timestamp), c.Nonce))
}

// CallbackSignature is how the vendor signs a server callback: the lower-case
// hex SHA-1 of secret, timestamp and nonce in byte order, joined. It covers the
// triple and not the body (contract 2).
func CallbackSignature(secret, timestamp, nonce string) string {
	parts := []string{secret, timestamp, nonce}
	slices.Sort(parts)
	sum := sha1.Sum([]byte(strings.Join(parts, "")))
	return hex.EncodeToString(sum[:])
}

// FromCallback reads a server callback, a JSON object, received at now; the
// error is a *Refused. Numbers may be strings and strings numbers, names may be
// in any case (token_auth_error capitalises them); nothing passes a float.
func FromCallback(now time.Time, object []byte) (Callback, error) {
	f, r := callbackFields(object)
	if r != nil {
		return Callback{}, r
	}
	c := Callback{Timestamp: f.text("timestamp"), Nonce: f.text("nonce"), signature: f.text("signature"), said: f}
	for _, name := range []string{"event", "appid", "timestamp", "nonce", "signature"} {
		if f.text(name) == "" {
			return c, refuse(name, "it is missing; a callback has event, appid, timestamp, nonce and signature")
		}
	}
	seconds, ok := parseInteger([]byte(c.Timestamp))
	if !ok || seconds < minSeconds || seconds > maxSeconds {
		return c, refuse("timestamp", "%s is no time; want Unix seconds of the years 2000 to 2100", quoteShort(c.Timestamp))
	}
	c.SentAt = time.Unix(seconds, 0).UTC()
	c.Event = Event{Source: FromServer, ReceivedAt: now.UTC().Truncate(time.Microsecond), Reason: NoReason, Witness: &Witness{}}
	return c, f.fill(&c).orNil()
}

// Instants lie in the years 2000 to 2100, as those of any event.
const (
	minSeconds = 946_684_800
	maxSeconds = 4_133_980_799
)

func (r *Refused) orNil() error {
	if r == nil {
		return nil
	}
	return r
}

// fields are a callback's members by folded name: lower case, no underscores.
type fields map[string]given

type given struct {
	name string // as it was spelled
	raw  []byte
}

func fold(name string) string { return strings.ReplaceAll(strings.ToLower(name), "_", "") }

func callbackFields(object []byte) (fields, *Refused) {
	if len(object) > MaxEventBytes {
		return nil, refuse("", "the callback has %d bytes; at most %d are taken", len(object), MaxEventBytes)
	}
	f := fields{}
	r := members(object, func(name string, raw []byte) *Refused {
		key := fold(name)
		if _, again := f[key]; again {
			return refuse(fieldOf(name), "it is given twice")
		}
		f[key] = given{name, raw}
		return nil
	})
	return f, r
}

func (f fields) text(name string) string { return text(f[fold(name)].raw) }

// number reads a whole number; false where there is none.
func (f fields) number(name string) (int64, bool, *Refused) {
	raw := f[fold(name)].raw
	if f.text(name) == "" {
		return 0, false, nil
	}
	n, ok := integer(raw)
	if !ok {
		return 0, false, refuse(name, "%s is no whole number", show(raw))
	}
	return n, true, nil
}

// instant reads milliseconds; the zero time where there is none.
func (f fields) instant(name string) (time.Time, *Refused) {
	ms, ok, r := f.number(name)
	if r != nil || !ok || ms == 0 {
		return time.Time{}, r
	}
	if ms < minSeconds*1000 || ms > maxSeconds*1000 {
		return time.Time{}, refuse(name, "%d is no time; want Unix milliseconds of the years 2000 to 2100", ms)
	}
	return time.UnixMilli(ms).UTC(), nil
}

// first is the first of the names that says something.
func (f fields) first(names ...string) string {
	for _, name := range names {
		if s := f.text(name); s != "" {
			return s
		}
	}
	return ""
}

// times are where each event says when it happened; others have the time of
// sending alone.
var times = map[Kind]string{
	RoomCreate: "room_create_time", RoomClose: "room_close_time", RoomLogin: "login_time", RoomLogout: "logout_time",
	"stream_create": "create_time_ms", "stream_close": "destroy_timemillis",
}

// fill turns the members into the event.
func (f fields) fill(c *Callback) *Refused {
	e, w := &c.Event, c.Event.Witness
	e.Kind = Kind(f.text("event"))
	if !isKindName(string(e.Kind)) {
		return refuse("event", "%s is no name of an event; want letters, digits and _, such as room_login", quoteShort(string(e.Kind)))
	}
	e.AppID, e.RoomID, e.UserID = f.text("appid"), f.first("room_id"), f.first("user_account", "user_id")
	w.RoomSeq, w.SessionID = f.first("room_seq", "room_session_id"), f.text("session_id")
	if r := f.need(e, w); r != nil {
		return r
	}
	var r *Refused
	for _, n := range []struct {
		name string
		to   *int64
		has  *bool
	}{{"reason", &w.Reason, &w.HasReason}, {"close_reason", &w.Reason, &w.HasReason}, {"term_type", &w.TermType, &w.HasTerm}, {"user_update_seq", &w.UpdateSeq, new(bool)}} {
		v, ok, r := f.number(n.name)
		if r != nil {
			return r
		}
		if ok && (v < 0 || n.to != &w.UpdateSeq && v > math.MaxInt32) {
			return refuse(n.name, "%d lies outside of what it can be", v)
		}
		if ok {
			*n.to, *n.has = v, true
		}
	}
	w.IsRelogin = f.text("relogin") == "1"
	e.OccurredAt = c.SentAt
	if name := times[e.Kind]; name != "" {
		at, r := f.instant(name)
		switch {
		case r != nil:
			return r
		case !at.IsZero():
			e.OccurredAt = at
		case f.isFollowed(e.Kind):
			return refuse(name, "it is missing; want Unix milliseconds")
		}
	}
	if e.Kind == RoomLogout {
		if w.LoginAt, r = f.instant("login_time"); r != nil {
			return r
		}
	}
	e.Platform, e.Family = NormalizePlatform(platformOf(w))
	e.ExtendedData = f.redacted()
	return nil
}

func (f fields) isFollowed(k Kind) bool {
	return k == RoomCreate || k == RoomClose || k == RoomLogin || k == RoomLogout
}

// need checks what the events that the read model follows must say.
func (f fields) need(e *Event, w *Witness) *Refused {
	if !f.isFollowed(e.Kind) {
		return nil
	}
	if e.RoomID == "" {
		return refuse("room_id", "it is missing; %s is about a room", e.Kind)
	}
	if w.RoomSeq == "" {
		return refuse("room_seq", "it is missing; want the room's life, room_seq or room_session_id")
	}
	if (e.Kind == RoomLogin || e.Kind == RoomLogout) && e.UserID == "" {
		return refuse("user_account", "it is missing; %s is about a user", e.Kind)
	}
	if e.Kind == RoomCreate || e.Kind == RoomClose {
		e.UserID = "" // id_name opened the room; the event is about the room
	}
	return nil
}

// secret are members that say more than a log should keep.
var secret = []string{"token", "clientip", "signature"}

// redacted is the callback as it came, without what is secret; its members are
// in the order of their names, as encoding/json writes them.
func (f fields) redacted() []byte {
	kept := map[string]json.RawMessage{}
	for folded, g := range f {
		if !slices.Contains(secret, folded) {
			kept[g.name] = storable(g.raw)
		}
	}
	b, err := json.Marshal(kept)
	if err != nil {
		return nil // a value that was scanned always encodes
	}
	return b
}

// platformOf tells the platform from term_type, as far as it goes.
func platformOf(w *Witness) string {
	if !w.HasTerm {
		return "unknown"
	}
	names := map[int64]string{1: "windows", 2: "ios", 3: "android", 4: "macos", 5: "linux", 6: "web", 7: "mini_program"}
	if name, ok := names[w.TermType]; ok {
		return name
	}
	return "unknown"
}

func isKindName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && !isDigit(c) && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	_, isReport := kinds[s]
	return len(s) >= 1 && len(s) <= 64 && !isReport
}

// CallbackKey names what a callback tells, so that a retry is known for one
// (contract 2): the same key says the same thing.
func (e *Event) CallbackKey() string {
	w := e.Witness
	return strings.Join([]string{string(e.Kind), w.RoomSeq, w.SessionID, e.OccurredAt.Format(time.RFC3339Nano)}, "\x00")
}

func (w *Witness) append(b []byte) []byte {
	b = appendText(b, "room_seq", w.RoomSeq)
	b = appendText(b, "server_session_id", w.SessionID)
	if w.HasReason {
		b = appendInt(b, "server_reason", w.Reason)
	}
	if w.UpdateSeq > 0 {
		b = appendInt(b, "user_update_seq", w.UpdateSeq)
	}
	if w.HasTerm {
		b = appendInt(b, "term_type", w.TermType)
	}
	if w.IsRelogin {
		b = append(b, `,"relogin":true`...)
	}
	if !w.LoginAt.IsZero() {
		b = appendTime(b, "login_time", w.LoginAt)
	}
	return b
}

// witnessField takes one field of a stored callback.
func (p *parser) witnessField(bit uint64, name string, raw []byte) (r *Refused) {
	if p.e.Witness == nil {
		p.e.Witness = &Witness{}
	}
	w := p.e.Witness
	switch bit {
	case fRoomSeq:
		w.RoomSeq = text(raw)
	case fServerSession:
		w.SessionID = text(raw)
	case fServerReason:
		w.Reason, w.HasReason = parseInteger(raw)
	case fUpdateSeq:
		w.UpdateSeq, _ = parseInteger(raw)
	case fTermType:
		w.TermType, w.HasTerm = parseInteger(raw)
	case fRelogin:
		w.IsRelogin = string(raw) == "true"
	case fLoginTime:
		w.LoginAt, r = Instant(name, raw)
	}
	return r
}

// finishWitness checks what a stored callback must have.
func (p *parser) finishWitness() *Refused {
	e := &p.e
	if e.Kind, e.Reason = Kind(text(p.kind)), NoReason; e.Kind == "" {
		return refuse("kind", "it is missing; want the callback's event")
	}
	if p.seen&fAppID == 0 || p.seen&fOccurredAt == 0 {
		return refuse("", "a callback in the log has app_id and occurred_at")
	}
	if f := Family(text(p.family)); f == Web || f == Native {
		e.Family = f
	}
	if e.Witness == nil {
		e.Witness = &Witness{}
	}
	return nil
}

package signalling

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"roomtrail/room"
)

// wire is one room.Message as it goes over the line: one JSON text message.
// Numbers of 64 bits are text, since JavaScript would round them.
type wire struct {
	Kind       string   `json:"kind"`
	User       string   `json:"user,omitempty"`
	Device     string   `json:"device,omitempty"`
	Instance   string   `json:"instance,omitempty"`
	Room       string   `json:"room,omitempty"`
	Login      string   `json:"login,omitempty"`
	Token      string   `json:"token,omitempty"`
	Session    string   `json:"session,omitempty"`
	Again      bool     `json:"again,omitempty"`
	MultiRoom  bool     `json:"multi_room,omitempty"`
	UserUpdate bool     `json:"user_update,omitempty"`
	MaxMembers int      `json:"max_members,omitempty"`
	Terminal   int      `json:"term_type,omitempty"`
	Cause      string   `json:"cause,omitempty"`
	Text       string   `json:"text,omitempty"`
	RoomSeq    string   `json:"room_seq,omitempty"`
	ExpiresMS  int64    `json:"expires_ms,omitempty"` // Unix time; absent is never
	Users      []string `json:"users,omitempty"`
}

var (
	kinds  = named(room.Ask, room.Departed)
	causes = named(room.TokenWrong, room.AskAgain)
)

// named finds the values from first to last by their names.
func named[T interface {
	~uint8
	fmt.Stringer
}](first, last T) map[string]T {
	m := make(map[string]T, last)
	for v := first; v <= last; v++ {
		m[v.String()] = v
	}
	return m
}

// encodeMessage spells a message. Instants keep their milliseconds.
func encodeMessage(m room.Message) []byte {
	w := wire{
		Kind: m.Kind.String(), User: m.At.User, Device: m.At.Device, Instance: m.At.Instance,
		Room: m.Room, Login: number(m.Login), Token: m.Token, Session: m.Session,
		Again: m.Again, MultiRoom: m.MultiRoom, UserUpdate: m.UserUpdate, MaxMembers: m.MaxMembers, Terminal: m.Terminal,
		Text: m.Text, RoomSeq: number(m.RoomSeq), Users: m.Users,
	}
	if m.Cause != room.NoCause {
		w.Cause = m.Cause.String()
	}
	if !m.Expires.IsZero() {
		w.ExpiresMS = m.Expires.UnixMilli()
	}
	b, err := json.Marshal(w)
	if err != nil {
		panic(fmt.Sprintf("encode %+v: %v", w, err)) // text and numbers always encode
	}
	return b
}

// decodeMessage reads a message. Fields that it does not know are passed over,
// kinds and causes are not: what they ask for cannot be guessed.
func decodeMessage(b []byte) (room.Message, error) {
	var w wire
	if err := json.Unmarshal(b, &w); err != nil {
		return room.Message{}, fmt.Errorf("read message: %w", err)
	}
	m := room.Message{
		At: room.Endpoint{User: w.User, Device: w.Device, Instance: w.Instance}, Room: w.Room, Token: w.Token, Session: w.Session,
		Again: w.Again, MultiRoom: w.MultiRoom, UserUpdate: w.UserUpdate, MaxMembers: w.MaxMembers, Terminal: w.Terminal,
		Text: w.Text, Users: w.Users,
	}
	var ok bool
	if m.Kind, ok = kinds[w.Kind]; !ok {
		return m, fmt.Errorf("kind %.40q is not known; want one such as Ask or Beat", w.Kind)
	}
	if m.Cause, ok = causes[w.Cause]; !ok && w.Cause != "" {
		return m, fmt.Errorf("cause %.40q is not known; want one such as TokenExpired, or none", w.Cause)
	}
	var err error
	if m.Login, err = parseNumber("login", w.Login); err != nil {
		return m, err
	}
	if m.RoomSeq, err = parseNumber("room_seq", w.RoomSeq); err != nil {
		return m, err
	}
	if w.ExpiresMS != 0 {
		m.Expires = time.UnixMilli(w.ExpiresMS).UTC()
	}
	return m, nil
}

func number(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

func parseNumber(field, text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s %.40q is no number; want decimal digits below 2^64, in quotes", field, text)
	}
	return n, nil
}

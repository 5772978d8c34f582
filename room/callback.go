package room

import (
	"encoding/json"
	"strconv"
	"time"

	"roomtrail/events"
)

// Body spells a callback as the vendor posts it: JSON, signed, sent at now
// (vendor's callback pages). The two events of a room's life have numbers where
// the two of a user's stay have strings; instants are milliseconds in strings,
// timestamp is in seconds. App is a number on the vendor's side; one that is
// none is kept as text.
func (c Callback) Body(app string, now time.Time, nonce, secret string) []byte {
	timestamp := strconv.FormatInt(now.Unix(), 10)
	b := body{out: make([]byte, 0, 512)}
	b.text("event", c.Event)
	isOfRoom := c.Event == "room_create" || c.Event == "room_close"
	if n, err := strconv.ParseUint(app, 10, 32); isOfRoom && err == nil && strconv.FormatUint(n, 10) == app {
		b.number("appid", app)
	} else {
		b.text("appid", app)
	}
	b.text("nonce", nonce)
	b.text("signature", events.CallbackSignature(secret, timestamp, nonce))
	b.text("room_id", c.Room)
	if isOfRoom {
		b.number("timestamp", timestamp)
		b.number("room_session_id", strconv.FormatUint(c.RoomSeq, 10))
	} else {
		b.text("timestamp", timestamp)
		b.text("room_seq", strconv.FormatUint(c.RoomSeq, 10))
		b.text("user_account", c.User)
		b.text("user_nickname", c.User)
		b.text("session_id", c.Session)
		b.text("login_time", millis(c.LoginAt))
		b.text("user_role", "1")
		b.text("user_update_seq", strconv.FormatUint(c.UpdateSeq, 10))
	}
	switch c.Event {
	case "room_create":
		b.text("room_create_time", millis(c.At))
		b.text("id_name", c.User)
	case "room_close":
		b.number("close_reason", strconv.Itoa(c.Reason))
		b.text("room_close_time", millis(c.At))
	case "room_login":
		b.text("room_name", c.Room)
		b.text("auth_level", "0")
		b.text("relogin", map[bool]string{false: "0", true: "1"}[c.Relogin])
		b.text("callback_data", "")
		b.text("term_type", strconv.Itoa(c.Terminal))
	case "room_logout":
		b.text("logout_time", millis(c.At))
		b.text("reason", strconv.Itoa(c.Reason))
	}
	return append(b.out, '}')
}

// body is a JSON object in the making.
type body struct{ out []byte }

func (b *body) number(name, digits string) {
	sep := byte(',')
	if len(b.out) == 0 {
		sep = '{'
	}
	b.out = append(append(append(b.out, sep, '"'), name...), '"', ':')
	b.out = append(b.out, digits...)
}

func (b *body) text(name, s string) {
	quoted, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always encodes
	}
	b.number(name, string(quoted))
}

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

// Terminal is the vendor's term_type of a platform (room_login); the framework
// cannot be told from it, 0 is none.
func Terminal(platform string) int {
	switch platform {
	case "windows", "electron":
		return 1
	case "ios":
		return 2
	case "android":
		return 3
	case "macos":
		return 4
	case "linux":
		return 5
	case "web", "flutter_web", "unity_webgl", "uni_app_web", "cocos_web":
		return 6
	case "mini_program":
		return 7
	}
	return 32 // unknown
}

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
	m := map[string]any{
		"event": c.Event, "nonce": nonce, "signature": events.CallbackSignature(secret, timestamp, nonce),
		"room_id": c.Room, "appid": app, "timestamp": timestamp,
	}
	switch c.Event {
	case "room_create", "room_close":
		m["timestamp"], m["room_session_id"] = json.Number(timestamp), c.RoomSeq
		if n, err := strconv.ParseUint(app, 10, 32); err == nil {
			m["appid"] = n
		}
		if c.Event == "room_create" {
			m["room_create_time"], m["id_name"] = millis(c.At), c.User
			break
		}
		m["close_reason"], m["room_close_time"] = c.Reason, millis(c.At)
	default:
		m["room_seq"], m["user_account"], m["user_nickname"] = strconv.FormatUint(c.RoomSeq, 10), c.User, c.User
		m["session_id"], m["login_time"], m["user_role"] = c.Session, millis(c.LoginAt), "1"
		m["user_update_seq"] = strconv.FormatUint(c.UpdateSeq, 10)
		if c.Event == "room_logout" {
			m["logout_time"], m["reason"] = millis(c.At), strconv.Itoa(c.Reason)
			break
		}
		m["room_name"], m["callback_data"], m["auth_level"] = c.Room, "", "0"
		m["relogin"], m["term_type"] = "0", strconv.Itoa(c.Terminal)
		if c.Relogin {
			m["relogin"] = "1"
		}
	}
	b, err := json.Marshal(m) // in the order of its keys
	if err != nil {
		panic(err) // text and numbers always encode
	}
	return b
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

package room_test

import (
	"strings"
	"testing"
	"time"

	"roomtrail/room"
)

// Numbers and strings stand where the vendor's callback pages have them.
func TestCallbackBodies(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1_499_676_978_027)
	c := room.Callback{
		Room: "r1", RoomSeq: 18_446_744_073_709_551_615, User: "u1", Session: "42", At: at.Add(time.Second), LoginAt: at,
		Reason: 1, Relogin: true, Terminal: 6, UpdateSeq: 7,
	}
	now := time.Unix(1_470_820_198, 5_000)
	for event, want := range map[string]string{
		"room_create": `{"event":"room_create","appid":3575692000,"nonce":"123412","signature":"5bd59fd62953a8059fb7eaba95720f66d19e4517","room_id":"r1","timestamp":1470820198,"room_session_id":18446744073709551615,"room_create_time":"1499676979027","id_name":"u1"}`,
		"room_close":  `{"event":"room_close","appid":3575692000,"nonce":"123412","signature":"5bd59fd62953a8059fb7eaba95720f66d19e4517","room_id":"r1","timestamp":1470820198,"room_session_id":18446744073709551615,"close_reason":1,"room_close_time":"1499676979027"}`,
		"room_login":  `{"event":"room_login","appid":"3575692000","nonce":"123412","signature":"5bd59fd62953a8059fb7eaba95720f66d19e4517","room_id":"r1","timestamp":"1470820198","room_seq":"18446744073709551615","user_account":"u1","user_nickname":"u1","session_id":"42","login_time":"1499676978027","user_role":"1","user_update_seq":"7","room_name":"r1","auth_level":"0","relogin":"1","callback_data":"","term_type":"6"}`,
		"room_logout": `{"event":"room_logout","appid":"3575692000","nonce":"123412","signature":"5bd59fd62953a8059fb7eaba95720f66d19e4517","room_id":"r1","timestamp":"1470820198","room_seq":"18446744073709551615","user_account":"u1","user_nickname":"u1","session_id":"42","login_time":"1499676978027","user_role":"1","user_update_seq":"7","logout_time":"1499676979027","reason":"1"}`,
	} {
		c.Event = event
		if got := string(c.Body("3575692000", now, "123412", "secret")); got != want {
			t.Errorf("%s is\n%s, want\n%s", event, got, want)
		}
	}
	if got := string(c.Body("demo", now, "n", "s")); !strings.Contains(got, `"appid":"demo"`) {
		t.Errorf("an app that is no number is lost: %s", got)
	}
}

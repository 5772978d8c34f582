package events

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// The vendor's published example.
func TestCallbackSignatureOfTheVendorsExample(t *testing.T) {
	t.Parallel()
	const want = "5bd59fd62953a8059fb7eaba95720f66d19e4517"
	if got := CallbackSignature("secret", "1470820198", "123412"); got != want {
		t.Errorf("signature is %s, want %s", got, want)
	}
	c, err := FromCallback(noon, []byte(`{"event":"x","appid":1,"timestamp":1470820198,"nonce":123412,"signature":"`+want+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, secrets := range [][]string{{"secret"}, {"other", "secret"}} {
		if !c.Signed(secrets) {
			t.Errorf("the example is not signed by %q", secrets)
		}
	}
	if c.Signed([]string{"", "Secret"}) || c.Signed(nil) {
		t.Error("any secret will do")
	}
}

// callback is a signed one with the given members after the common ones.
func callback(event, members string) []byte {
	return fmt.Appendf(nil, `{"event":%q,"appid":"1","timestamp":"1499676978","nonce":"n","signature":"s",%s}`, event, members)
}

func TestCallbacksAreRead(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1_499_676_978_027).UTC()
	const room = `"room_id":"r","room_seq":"18446744073709551615"`
	for name, c := range map[string]struct {
		body []byte
		want Event
	}{
		"login, all strings": {
			callback("room_login", room+`,"user_account":"u","session_id":"7","login_time":"1499676978027","relogin":"1","user_update_seq":"3","term_type":"3","user_role":"1"`),
			Event{Kind: RoomLogin, RoomID: "r", UserID: "u", OccurredAt: at, Platform: "android", Family: Native,
				Witness: &Witness{RoomSeq: "18446744073709551615", SessionID: "7", UpdateSeq: 3, TermType: 3, HasTerm: true, IsRelogin: true}},
		},
		"logout, all numbers": {
			callback("room_logout", `"room_id":"r","room_seq":18446744073709551615,"user_account":5,"session_id":7,"login_time":1499676977000,"logout_time":1499676978027,"reason":1,"user_update_seq":4`),
			Event{Kind: RoomLogout, RoomID: "r", UserID: "5", OccurredAt: at, Platform: "unknown", Family: Native,
				Witness: &Witness{RoomSeq: "18446744073709551615", SessionID: "7", UpdateSeq: 4, Reason: 1, HasReason: true, LoginAt: at.Add(-1027 * time.Millisecond)}},
		},
		"create, which is about the room": {
			callback("room_create", `"room_id":"r","room_session_id":18446744073709551615,"room_create_time":"1499676978027","id_name":"u"`),
			Event{Kind: RoomCreate, RoomID: "r", OccurredAt: at, Platform: "unknown", Family: Native, Witness: &Witness{RoomSeq: "18446744073709551615"}},
		},
		"close": {
			callback("room_close", `"room_id":"r","room_session_id":9,"room_close_time":"1499676978027","close_reason":3`),
			Event{Kind: RoomClose, RoomID: "r", OccurredAt: at, Platform: "unknown", Family: Native, Witness: &Witness{RoomSeq: "9", Reason: 3, HasReason: true}},
		},
		"another event": {
			callback("stream_create", `"room_id":"r","room_session_id":"9","user_id":"u","create_time_ms":"1499676978027"`),
			Event{Kind: "stream_create", RoomID: "r", UserID: "u", OccurredAt: at, Platform: "unknown", Family: Native, Witness: &Witness{RoomSeq: "9"}},
		},
		"capitals, and what is secret": {
			[]byte(`{"Event":"token_auth_error","AppId":1,"Timestamp":1499676978,"Nonce":"n","Signature":"s","RoomId":"r","UserId":"u","ErrorType":3,"Token":"04AAA","ClientIp":"192.0.2.1"}`),
			Event{Kind: "token_auth_error", RoomID: "r", UserID: "u", OccurredAt: at.Truncate(time.Second), Platform: "unknown", Family: Native, Witness: &Witness{}},
		},
	} {
		got, err := FromCallback(noon, c.body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		e := got.Event
		c.want.AppID, c.want.Reason, c.want.ReceivedAt, c.want.Source = "1", NoReason, noon, FromServer
		if bytes.Contains(e.ExtendedData, []byte("04AAA")) || bytes.Contains(e.ExtendedData, []byte("192.0.2.1")) || bytes.Contains(e.ExtendedData, []byte(`"s"`)) {
			t.Errorf("%s: a secret is kept: %s", name, e.ExtendedData)
		}
		e.ExtendedData = nil
		if *e.Witness != *c.want.Witness {
			t.Errorf("%s: it says %+v, want %+v", name, *e.Witness, *c.want.Witness)
		}
		e.Witness, c.want.Witness = nil, nil
		if fmt.Sprint(e) != fmt.Sprint(c.want) {
			t.Errorf("%s is\n%+v, want\n%+v", name, e, c.want)
		}
		back, err := Decode(SchemaVersion, Encode(&got.Event))
		if err != nil || back.CallbackKey() != got.Event.CallbackKey() || *back.Witness != *got.Event.Witness {
			t.Errorf("%s comes back as %+v, %v", name, back, err)
		}
	}
}

// A retry is known however it is encoded, another body is not taken for one.
func TestDigestOfACallback(t *testing.T) {
	t.Parallel()
	read := func(body string) Callback {
		c, err := FromCallback(noon, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := read(`{"event":"x","appid":1,"timestamp":1499676978,"nonce":"n","signature":"s","a":[1],"b":"2"}`)
	same := read(`{"b":2,"signature":"s","a":[1], "event":"x","appid":"1","timestamp":"1499676978","nonce":"n"}`)
	other := read(`{"event":"x","appid":1,"timestamp":1499676978,"nonce":"n","signature":"s","a":[2],"b":"2"}`)
	later := read(`{"event":"x","appid":1,"timestamp":1499676979,"nonce":"n","signature":"s","a":[1],"b":"2"}`)
	if first.Digest() != same.Digest() || first.Triple() != same.Triple() {
		t.Error("the same callback in another encoding is not known")
	}
	if first.Digest() == other.Digest() || first.Triple() != other.Triple() {
		t.Error("another body is taken for a retry")
	}
	if first.Triple() == later.Triple() {
		t.Error("another timestamp is taken for the same")
	}
}

func TestCallbacksThatAreRefused(t *testing.T) {
	t.Parallel()
	for want, body := range map[string][]byte{
		"an event is a JSON object":    []byte(`[]`),
		"signature: it is missing":     []byte(`{"event":"room_login","appid":1,"timestamp":1,"nonce":"n"}`),
		`timestamp: "soon" is no time`: []byte(`{"event":"x","appid":1,"timestamp":"soon","nonce":"n","signature":"s"}`),
		"Event: it is given twice":     []byte(`{"event":"x","Event":"y"}`),
		"event: \"room login\"":        callback("room login", `"a":1`),
		`event: "state" is no name`:    callback("state", `"a":1`),
		"room_id: it is missing":       callback("room_login", `"a":1`),
		"room_seq: it is missing":      callback("room_login", `"room_id":"r"`),
		"user_account: it is missing":  callback("room_login", `"room_id":"r","room_seq":1`),
		"login_time: it is missing":    callback("room_login", `"room_id":"r","room_seq":1,"user_account":"u"`),
		"logout_time: -1 is no time":   callback("room_logout", `"room_id":"r","room_seq":1,"user_account":"u","logout_time":-1`),
		"reason: \"why\" is no whole":  callback("room_logout", `"room_id":"r","room_seq":1,"user_account":"u","reason":"why"`),
		"it nests":                     callback("x", `"a":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)),
	} {
		if _, err := FromCallback(noon, body); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error is %v, want %q", body, err, want)
		}
	}
}

// FuzzCallback: never a panic; what is taken can be stored and reads back.
func FuzzCallback(f *testing.F) {
	samples, err := filepath.Glob("testdata/v*/room_*.json")
	if err != nil || len(samples) == 0 {
		f.Fatalf("no samples: %v", err)
	}
	for _, name := range samples {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(callback("room_logout", `"room_id":"r","room_seq":"1","user_account":"u","logout_time":"1499676978027","reason":"2","login_time":1499676970000`))
	f.Add(callback("room_login", `"room_id":"\u0000","room_seq":1e3,"user_account":"\ud800","login_time":1499676978027`))
	f.Fuzz(func(t *testing.T, body []byte) {
		c, err := FromCallback(noon, body)
		if err != nil {
			r, ok := err.(*Refused)
			if !ok || r.Reason == "" || !utf8.ValidString(r.Field+r.Reason) {
				t.Fatalf("error %T %q", err, err)
			}
			return
		}
		back, err := Decode(SchemaVersion, Encode(&c.Event))
		if err != nil {
			t.Fatalf("what was taken cannot be read: %v\n%s", err, Encode(&c.Event))
		}
		if back.CallbackKey() != c.Event.CallbackKey() {
			t.Fatalf("key %q comes back as %q", c.Event.CallbackKey(), back.CallbackKey())
		}
	})
}

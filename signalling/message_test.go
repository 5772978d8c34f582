package signalling

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"roomtrail/room"
)

// drawMessage is any message, its instants in milliseconds.
func drawMessage(t *rapid.T) room.Message {
	text := rapid.String()
	m := room.Message{
		Kind: room.Kind(rapid.IntRange(int(room.Ask), int(room.Departed)).Draw(t, "kind")),
		At:   room.Endpoint{User: text.Draw(t, "user"), Device: text.Draw(t, "device"), Instance: text.Draw(t, "instance")},
		Room: text.Draw(t, "room"), Login: rapid.Uint64().Draw(t, "login"),
		Token: text.Draw(t, "token"), Session: text.Draw(t, "session"), Again: rapid.Bool().Draw(t, "again"),
		MultiRoom: rapid.Bool().Draw(t, "multi room"), UserUpdate: rapid.Bool().Draw(t, "user update"),
		MaxMembers: rapid.Int().Draw(t, "max members"), Terminal: rapid.Int().Draw(t, "terminal"),
		Cause: room.Cause(rapid.IntRange(int(room.NoCause), int(room.AskAgain)).Draw(t, "cause")),
		Text:  text.Draw(t, "text"), RoomSeq: rapid.Uint64().Draw(t, "room seq"),
	}
	if ms := rapid.Int64Range(0, 253402300799999).Draw(t, "expires"); ms != 0 {
		m.Expires = time.UnixMilli(ms).UTC()
	}
	if users := rapid.SliceOf(text).Draw(t, "users"); len(users) > 0 {
		m.Users = users
	}
	return m
}

func TestAMessageArrivesAsItWasSent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := drawMessage(t)
		got, err := decodeMessage(encodeMessage(want))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s became %+v, %v; want %+v", encodeMessage(want), got, err, want)
		}
	})
}

func TestMessagesAreSpelledAsEver(t *testing.T) {
	t.Parallel()
	for want, m := range map[string]room.Message{
		`{"kind":"Ask","user":"u","device":"d","instance":"i","room":"r","login":"18446744073709551615","token":"t","again":true,"multi_room":true,"user_update":true,"max_members":9,"term_type":6}`: {
			Kind: room.Ask, At: room.Endpoint{User: "u", Device: "d", Instance: "i"}, Room: "r", Login: 1<<64 - 1, Token: "t",
			Again: true, MultiRoom: true, UserUpdate: true, MaxMembers: 9, Terminal: 6},
		`{"kind":"Gone","session":"7","cause":"BackEnd","text":"bye"}`:                  {Kind: room.Gone, Session: "7", Cause: room.BackEnd, Text: "bye"},
		`{"kind":"Seated","room_seq":"3","expires_ms":1700000000000,"users":["a","b"]}`: {Kind: room.Seated, RoomSeq: 3, Expires: time.UnixMilli(1700000000000), Users: []string{"a", "b"}},
	} {
		if got := string(encodeMessage(m)); got != want {
			t.Errorf("spelled\n%s, want\n%s", got, want)
		}
	}
}

func TestWrongMessagesAreRefusedAndSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		``:                                 "read message",
		`nonsense`:                         "read message",
		`[]`:                               "read message",
		`{"kind":"Beat"} {"kind":"Beat"}`:  "read message",
		`{}`:                               `kind "" is not known`,
		`{"kind":"Explode"}`:               `kind "Explode" is not known`,
		`{"kind":"nothing"}`:               `kind "nothing" is not known`,
		`{"kind":3}`:                       "read message",
		`{"kind":"Gone","cause":"Whim"}`:   `cause "Whim" is not known`,
		`{"kind":"Beat","login":"-1"}`:     `login "-1" is no number`,
		`{"kind":"Beat","login":7}`:        "read message",
		`{"kind":"Beat","room_seq":"1e3"}`: `room_seq "1e3" is no number`,
	} {
		if _, err := decodeMessage([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gives %v, want an error with %q", text, err, want)
		}
	}
}

// Whatever arrives, decoding does not panic, and what it takes it spells so
// that it is taken as the same again.
func FuzzDecodeMessage(f *testing.F) {
	for _, text := range []string{`{"kind":"Ask","user":"u","room":"r","login":"1"}`, `{"kind":"Gone","cause":"AskAgain"}`, `{"kind":"Roster","users":["a"],"expires_ms":-1}`, `{`, `null`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := decodeMessage(text)
		if err != nil {
			return
		}
		if len(m.Users) == 0 {
			m.Users = nil
		}
		again, err := decodeMessage(encodeMessage(m))
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("%q is read as %+v and then as %+v, %v", text, m, again, err)
		}
	})
}

package room_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"roomtrail/room"
)

// Every state of a seat has a defined answer to every input.
func TestRoomsTable(t *testing.T) {
	t.Parallel()
	a := room.Endpoint{User: "a", Device: "d", Instance: "1"}
	reloaded := room.Endpoint{User: "a", Device: "d", Instance: "2"}
	b := room.Endpoint{User: "b", Device: "e", Instance: "1"}
	ask := func(at room.Endpoint, name string, login uint64) room.Input {
		return received(room.Message{Kind: room.Ask, At: at, Room: name, Login: login, UserUpdate: true})
	}
	from := func(k room.Kind, session, token string) room.Input {
		return received(room.Message{Kind: k, At: a, Room: "r", Login: 1, Session: session, Token: token, Again: k == room.Ask})
	}
	states := []struct {
		name string
		ways []room.Input
	}{
		{"nobody", nil},
		{"a sits in r", []room.Input{ask(a, "r", 1)}},
		{"a sits in r, with b", []room.Input{ask(b, "r", 9), ask(a, "r", 1)}},
		{"a sits in r by another login", []room.Input{ask(b, "r", 9), ask(a, "r", 2)}},
		{"a sits in r from elsewhere", []room.Input{ask(b, "r", 9), ask(reloaded, "r", 2)}},
		{"a sits in s", []room.Input{ask(a, "s", 1)}},
		{"a sits in s from elsewhere", []room.Input{ask(reloaded, "s", 2)}},
		{"a was kicked from r", []room.Input{ask(b, "r", 9), ask(a, "r", 1), room.Kick{Room: "r", Users: []string{"a"}, Text: "Bye"}}},
		{"a's line broke", []room.Input{ask(b, "r", 9), ask(a, "r", 1), room.Dropped{At: a}}},
		{"r is full", []room.Input{ask(b, "r", 9), ask(room.Endpoint{User: "c"}, "r", 8)}},
	}
	inputs := []struct {
		name string
		in   room.Input
	}{
		{"Ask", ask(a, "r", 1)},
		{"Ask again", from(room.Ask, "3", "")},
		{"Ask again, token wrong", from(room.Ask, "3", "wrong")},
		{"Leave", from(room.Leave, "3", "")},
		{"Beat", from(room.Beat, "3", "")},
		{"Renew", from(room.Renew, "3", "ends 100s")},
		{"Renew, token wrong", from(room.Renew, "3", "wrong")},
		{"Seated", from(room.Seated, "3", "")}, // not for the rooms
		{"silence until H", nil},
		{"Heard until 9 s", room.Heard{At: a, Room: "r", Until: start.Add(9 * time.Second)}},
		{"Dropped", room.Dropped{At: a}},
		{"Kick", room.Kick{Room: "r", Users: []string{"a"}}},
		{"CloseRoom", room.CloseRoom{Room: "r", Callback: true}},
		{"BreakSession", room.BreakSession{Room: "r", User: "a"}},
		{"Login", login}, // the client's business
	}
	var text strings.Builder
	for _, state := range states {
		fmt.Fprintf(&text, "%s\n", state.name)
		for _, input := range inputs {
			r := room.NewRooms(room.Rules{MaxMembers: 2, Check: testTokens})
			var out room.Output
			for _, in := range state.ways {
				out = r.Step(start, in)
			}
			in, now := input.in, start.Add(time.Second)
			if in == nil {
				in, now = room.Timeout{}, out.Wake
			}
			fmt.Fprintf(&text, "    %-22s %s\n", input.name, strings.Join(answerOf(r.Step(now, in), now), "\n"+strings.Repeat(" ", 27)))
		}
		text.WriteString("\n")
	}
	checkGolden(t, "testdata/rooms.txt", text.String())
}

func answerOf(out room.Output, now time.Time) []string {
	var all []string
	if out.Refused != 0 {
		all = append(all, fmt.Sprintf("refused %d", out.Refused))
	}
	for _, c := range out.Callbacks {
		all = append(all, showCallback(c))
	}
	for _, m := range out.Send {
		why := ""
		if m.Cause != room.NoCause {
			why = m.Cause.String()
		}
		all = append(all, words("sends", m.Kind.String(), why, strings.Join(m.Users, " "), "to", m.At.User+m.At.Instance))
	}
	if !out.Wake.IsZero() {
		all = append(all, "wakes "+out.Wake.Sub(start).String())
	}
	if len(all) == 0 {
		all = []string{"."}
	}
	return all
}

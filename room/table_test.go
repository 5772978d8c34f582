package room_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"roomtrail/events"
	"roomtrail/room"
)

// checkGolden compares a table with its file, or rewrites that.
func checkGolden(t *testing.T, golden, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || got != string(want) {
		t.Errorf("differs from %s (%v); run go test ./room -update and read the diff:\n%s", golden, err, got)
	}
}

// bench is a client on its own, with the test in the place of the room.
type bench struct {
	*room.Client
	now  time.Time
	wake time.Time
}

func (b *bench) step(after time.Duration, in room.Input) room.Output {
	b.now = b.now.Add(after)
	if r, ok := in.(room.Received); ok && r.Message.Login == 0 {
		r.Message.Login = b.Login()
		in = r
	}
	out := b.Step(b.now, in)
	b.wake = out.Wake
	return out
}

func received(m room.Message) room.Input { return room.Received{Message: m} }

func gone(why room.Cause) room.Input {
	return received(room.Message{Kind: room.Gone, Cause: why, Text: "Bye"})
}

func denied(why room.Cause) room.Input {
	return received(room.Message{Kind: room.Denied, Cause: why})
}

var (
	login   = room.Login{Room: "r", Token: "t", UserUpdate: true}
	gotSeat = received(room.Message{Kind: room.Seated, Session: "7", RoomSeq: 6})
	noInput = room.Timeout{}
)

// clientStates are all states of a client, each with the inputs that lead to it.
var clientStates = []struct {
	name string
	ways []room.Input
}{
	{"new", nil},
	{"asking", []room.Input{login}},
	{"asking, offline", []room.Input{room.LinkDown{}, login}},
	{"asking, between two tries", []room.Input{room.LinkDown{}, login, room.LinkUp{}}},
	{"seated, first", []room.Input{login, gotSeat}},
	{"seated, with x", []room.Input{login, gotSeat, received(room.Message{Kind: room.Roster, Users: []string{"x"}})}},
	{"seated, again", []room.Input{login, gotSeat, gone(room.AskAgain), noInput, gotSeat}},
	{"retrying, offline", []room.Input{login, gotSeat, room.LinkDown{}}},
	{"retrying, between two tries", []room.Input{login, gotSeat, room.LinkDown{}, room.LinkUp{}}},
	{"retrying, asked", []room.Input{login, gotSeat, gone(room.AskAgain), noInput}},
	{"LoginFailed", []room.Input{login, denied(room.RoomFull)}},
	{"ReconnectFailed", []room.Input{login, gotSeat, room.LinkDown{}, noInput, noInput}},
	{"KickOut", []room.Input{login, gotSeat, gone(room.BackEnd)}},
	{"Logout", []room.Input{login, gotSeat, room.Logout{}}},
	{"left, offline", []room.Input{login, gotSeat, room.LinkDown{}, room.Logout{}}},
	{"left, online again", []room.Input{login, gotSeat, room.LinkDown{}, room.Logout{}, room.LinkUp{}}},
	{"destroyed", []room.Input{login, gotSeat, room.Destroy{}}},
}

var clientInputs = []struct {
	name string
	in   room.Input
}{
	{"Login", login},
	{"Logout", room.Logout{Room: "r"}},
	{"Switch", room.Switch{From: "r", To: "s"}}, // the engine's business
	{"RenewToken", room.RenewToken{Room: "r", Token: "u"}},
	{"Destroy", room.Destroy{}},
	{"LinkDown", room.LinkDown{}},
	{"LinkUp", room.LinkUp{}},
	{"its wake", nil},
	{"Seated", gotSeat},
	{"Denied RoomFull", denied(room.RoomFull)},
	{"Denied TokenExpired", denied(room.TokenExpired)},
	{"Gone SameUser", gone(room.SameUser)},
	{"Gone BackEnd", gone(room.BackEnd)},
	{"Gone RoomClosed", gone(room.RoomClosed)},
	{"Gone TokenExpired", gone(room.TokenExpired)},
	{"Gone SessionBroken", gone(room.SessionBroken)},
	{"Gone AskAgain", gone(room.AskAgain)},
	{"Gone, another login's", received(room.Message{Kind: room.Gone, Cause: room.SameUser, Login: 4})},
	{"Renewed", received(room.Message{Kind: room.Renewed, Expires: start.Add(time.Hour)})},
	{"Roster", received(room.Message{Kind: room.Roster, Users: []string{"b"}})},
	{"Joined", received(room.Message{Kind: room.Joined, Users: []string{"b"}})},
	{"Departed", received(room.Message{Kind: room.Departed, Users: []string{"x"}})},
	{"Ask", received(room.Message{Kind: room.Ask})}, // not for a client
	{"Kick", room.Kick{Room: "r"}},                  // the room's business
}

// Every state of a client has a defined answer to every input.
func TestClientTable(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	profiles := []struct {
		name    string
		profile room.Profile
	}{{"native", room.Profile{}}, {"web", room.Profile{Family: events.Web}}, {"web, as observed", room.ObservedWeb()}}
	for _, p := range profiles {
		for _, state := range clientStates {
			fmt.Fprintf(&b, "%s: %s\n", p.name, state.name)
			for _, input := range clientInputs {
				c := &bench{Client: room.NewClient(room.Endpoint{User: "a", Device: "d", Instance: "i"}, "r", p.profile, 1), now: start}
				for _, in := range state.ways {
					if _, ok := in.(room.Timeout); ok {
						c.now = c.wake
					}
					c.step(0, in)
				}
				fmt.Fprintf(&b, "    %-22s %s\n", input.name, c.answer(input.in))
			}
			b.WriteString("\n")
		}
	}
	checkGolden(t, "testdata/client.txt", b.String())
}

// answer gives an input and says in a line what came of it.
func (b *bench) answer(in room.Input) string {
	before := b.Phase()
	if in == nil {
		if b.wake.IsZero() {
			return "never"
		}
		b.now = b.wake
		in = room.Timeout{}
	}
	all := doings(b.step(0, in), false)
	if after := b.Phase(); after != before {
		if all[0] == "." {
			all = nil
		}
		all = append(all, "-> "+after)
	}
	return strings.Join(all, "; ")
}

// engineStates are the situations of an engine in which its calls differ.
var engineStates = []struct {
	name string
	ways []room.Input
}{
	{"in no room", nil},
	{"logging in to r", []room.Input{login}},
	{"in r", []room.Input{login, seatIn("r")}},
	{"in r, offline", []room.Input{login, seatIn("r"), room.LinkDown{}}},
	{"out of r", []room.Input{login, seatIn("r"), room.Logout{Room: "r"}}},
	{"kicked from r", []room.Input{login, seatIn("r"), received(room.Message{Kind: room.Gone, Room: "r", Cause: room.BackEnd})}},
	{"in r and t", []room.Input{login, seatIn("r"), room.Login{Room: "t"}, seatIn("t")}}, // in r alone, without multi-room mode
	{"destroyed in r", []room.Input{login, seatIn("r"), room.Destroy{}}},
}

func seatIn(name string) room.Input {
	return received(room.Message{Kind: room.Seated, Room: name, Session: "7", RoomSeq: 6})
}

var engineCalls = []struct {
	name string
	in   room.Input
}{
	{"loginRoom r", room.Login{Room: "r"}},
	{"loginRoom s", room.Login{Room: "s"}},
	{"loginRoom s, user b", room.Login{Room: "s", User: "b"}},
	{"logoutRoom r", room.Logout{Room: "r"}},
	{"logoutRoom s", room.Logout{Room: "s"}},
	{"logoutRoom", room.Logout{}},
	{"switchRoom r s", room.Switch{From: "r", To: "s"}},
	{"switchRoom r t", room.Switch{From: "r", To: "t"}},
	{"switchRoom s t", room.Switch{From: "s", To: "t"}},
	{"renewToken r", room.RenewToken{Room: "r"}},
	{"renewToken s", room.RenewToken{Room: "s"}},
}

// Every call of the app has a defined answer, in every situation and mode.
func TestEngineTable(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for _, family := range []events.Family{events.Native, events.Web} {
		for _, isMulti := range []bool{false, true} {
			for _, state := range engineStates {
				fmt.Fprintf(&text, "%s, %s: %s\n", family, map[bool]string{false: "single-room", true: "multi-room"}[isMulti], state.name)
				for _, call := range engineCalls {
					e := room.NewEngine(room.Endpoint{User: "a"}, room.Profile{Family: family, MultiRoom: isMulti}, 1)
					logins := map[string]uint64{} // as the room would know them
					step := func(in room.Input) room.Output {
						if r, ok := in.(room.Received); ok {
							r.Message.Login = logins[r.Message.Room]
							in = r
						}
						out := e.Step(start, in)
						for _, m := range out.Send {
							logins[m.Room] = m.Login
						}
						return out
					}
					for _, in := range state.ways {
						step(in)
					}
					fmt.Fprintf(&text, "    %-22s %s\n", call.name, strings.Join(doings(step(call.in), true), "; "))
				}
				text.WriteString("\n")
			}
		}
	}
	checkGolden(t, "testdata/engine.txt", text.String())
}

// doings says what came of an input, or "." for nothing.
func doings(out room.Output, withRoom bool) []string {
	var all []string
	name := func(room string) string {
		if withRoom {
			return room
		}
		return ""
	}
	if out.Refused != 0 {
		all = append(all, fmt.Sprintf("refused %d", out.Refused))
	}
	for _, r := range out.Report {
		all = append(all, words(r.Reason.String(), name(r.Room), fmt.Sprint(r.Code), r.Extended))
	}
	for _, n := range out.Notice {
		all = append(all, words(n.Update, name(n.Room), strings.Join(n.Users, " ")))
	}
	for _, m := range out.Send {
		again := ""
		if m.Again {
			again = "again"
		}
		all = append(all, words("sends", m.Kind.String(), name(m.Room), again))
	}
	if len(all) == 0 {
		return []string{"."}
	}
	return all
}

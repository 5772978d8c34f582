package room_test

import (
	"strings"
	"testing"
	"time"

	"roomtrail/events"
	"roomtrail/room"
)

func newBench(p room.Profile) *bench {
	return &bench{Client: room.NewClient(room.Endpoint{User: "a"}, "r", p, 1), now: start}
}

// reasons steps through inputs, and through wakes where one is nil, and returns
// what was said.
func (b *bench) reasons(ins ...room.Input) string {
	var said []string
	for _, in := range ins {
		if in == nil {
			b.now, in = b.wake, room.Timeout{}
		}
		for _, r := range b.step(0, in).Report {
			said = append(said, r.Reason.String())
		}
	}
	return strings.Join(said, " ")
}

func TestNamesAreChecked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		user, room string
		want       int64
	}{
		"both fine":     {"a", "r", 0},
		"just fine":     {strings.Repeat("a", 63), strings.Repeat("r", 127), 0},
		"no user":       {"", "r", 1002005},
		"user too long": {strings.Repeat("a", 64), "r", 1002007},
		"no room":       {"a", "", 1002011},
		"room too long": {"a", strings.Repeat("r", 128), 1002013},
	} {
		out := room.NewClient(room.Endpoint{User: c.user}, c.room, room.Profile{}, 1).Step(start, login)
		if got := out.Report[len(out.Report)-1].Code; got != c.want {
			t.Errorf("%s: the last code is %d, want %d", name, got, c.want)
		}
		if isSent := len(out.Send) > 0; isSent != (c.want == 0) {
			t.Errorf("%s: sent is %v", name, isSent)
		}
	}
}

// The web SDK lets an app set W from 1 s on, which is less than its hold-back.
func TestWindowShorterThanHoldBack(t *testing.T) {
	t.Parallel()
	p := room.ObservedWeb()
	p.RetryWindow = 5 * time.Second
	b := newBench(p)
	got := b.reasons(login, gotSeat, room.LinkDown{}, nil)
	if want := "Logining Logined Reconnecting ReconnectFailed"; got != want {
		t.Errorf("says %s, want %s", got, want)
	}
	if d := b.now.Sub(start); d != p.RetryWindow {
		t.Errorf("gives up after %v, want %v", d, p.RetryWindow)
	}
}

// A room of a newer version may have causes that a client does not know.
func TestUnknownCause(t *testing.T) {
	t.Parallel()
	b := newBench(room.Profile{Family: events.Web})
	b.reasons(login, gotSeat)
	out := b.step(0, received(room.Message{Kind: room.Gone, Cause: 200}))
	if r := out.Report[0]; r.Reason != events.KickOut || r.Code != 1002099 || r.Extended != "{}" {
		t.Errorf("reports %+v, want KickOut 1002099 {}", r)
	}
}

// An answer to a login that ended is not taken for one to the next.
func TestAnswersOfAnEarlierLogin(t *testing.T) {
	t.Parallel()
	b := newBench(room.Profile{})
	b.reasons(login)
	late := room.Message{Kind: room.Seated, Login: b.Login()}
	got := b.reasons(room.Logout{}, login, received(late))
	if want := "Logout Logining"; got != want || b.Phase() != "asking" {
		t.Errorf("says %s and is %s, want %s and asking", got, b.Phase(), want)
	}
}

// Tries go on through a refusal that may pass.
func TestFullRoomOnReturnIsTriedAgain(t *testing.T) {
	t.Parallel()
	b := newBench(room.Profile{})
	got := b.reasons(login, gotSeat, room.LinkDown{}, room.LinkUp{}, nil, denied(room.RoomFull), nil, gotSeat)
	if want := "Logining Logined Reconnecting Reconnected"; got != want {
		t.Errorf("says %s, want %s", got, want)
	}
}

func TestLastBeat(t *testing.T) {
	t.Parallel()
	b := newBench(room.Profile{ComputedBeats: true})
	if got := b.LastBeat(b.now); !got.IsZero() {
		t.Errorf("without a seat the last heartbeat is at %v", got)
	}
	b.reasons(login, gotSeat)
	if got := b.LastBeat(b.now); !got.Equal(start) {
		t.Errorf("the first sign of life is at %v, want the login at %v", got, start)
	}
	if !b.wake.IsZero() {
		t.Errorf("wakes at %v for a heartbeat that its driver computes", b.wake)
	}
	last := b.LastBeat(start.Add(time.Hour))
	if ago := start.Add(time.Hour).Sub(last); ago < 0 || ago >= 5*time.Second {
		t.Errorf("the last heartbeat was %v ago, want less than 5 s", ago)
	}
}

// An engine between rooms may take on another user.
func TestEngineTakesAnotherUser(t *testing.T) {
	t.Parallel()
	e := room.NewEngine(room.Endpoint{User: "a"}, room.Profile{}, 1)
	e.Step(start, login)
	e.Step(start, room.Logout{Room: "r"})
	out := e.Step(start, room.Login{Room: "r", User: "b"})
	if len(out.Send) != 1 || out.Send[0].At.User != "b" {
		t.Errorf("sends %+v, want one Ask of b", out.Send)
	}
}

package room_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"roomtrail/events"
	"roomtrail/room"
	"roomtrail/sim"
)

const (
	h           = 90 * time.Second
	longestStep = 32 * time.Second
)

var roomNames = []string{"r1", "r2", "r3"}

// Whatever people, networks and the back end do, the machines keep their
// promises at every step; left alone, every client ends or rests, and when all
// are gone, so are the rooms.
func TestPromisesHold(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w, check := drawWorld(t)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			act(t, w)
			w.run(w.now.Add(time.Duration(rapid.SampledFrom([]int{0, 50, 150, 3_000, 20_000, 100_000, 310_000}).Draw(t, "ms")) * time.Millisecond))
			finish(t, w, check)
		}
		w.run(w.now.Add(22 * time.Minute)) // more than any W or H
		finish(t, w, check)
		for _, who := range w.people {
			for _, name := range roomNames {
				if !who.isDead {
					checkRest(t, who, name)
				}
			}
			w.step(who, room.Destroy{})
		}
		w.run(w.now.Add(h + time.Second))
		for _, name := range roomNames {
			if left := w.rooms.Members(name); len(left) > 0 {
				t.Errorf("%v sit in %s for ever", left, name)
			}
		}
		finish(t, w, check)
	})
}

// checkRest says whether a client that was left alone for longer than W rests.
func checkRest(t *rapid.T, who *person, name string) {
	switch who.engine.State(name) {
	case events.Logining, events.Reconnecting:
		t.Errorf("%s is still %s in %s", who.name, who.engine.State(name), name)
	case events.Logined, events.Reconnected:
		if who.isDown && who.knows {
			t.Errorf("%s is still %s in %s without a line", who.name, who.engine.State(name), name)
		}
	}
}

func finish(t *rapid.T, w *world, check *sim.Checker) {
	for _, fault := range check.Faults {
		t.Error(fault)
	}
	if t.Failed() {
		t.Log(w.lines.String())
		t.FailNow()
	}
}

func drawWorld(t *rapid.T) (*world, *sim.Checker) {
	w := newWorld(room.Rules{
		Check: testTokens, MultiRoom: rapid.Bool().Draw(t, "multi"), KickOnExpiry: rapid.Bool().Draw(t, "kick on expiry"),
		MaxMembers: rapid.SampledFrom([]int{0, 2}).Draw(t, "full"), MaxRooms: 2,
	})
	check := sim.NewChecker(h)
	w.observe = func(who *person, in room.Input, out room.Output) {
		if who != nil {
			check.Client(w.now, who.at, who.profile, in, out)
			return
		}
		check.Server(w.now, in, out)
		sits := map[string][]room.Endpoint{}
		for _, name := range roomNames {
			sits[name] = w.rooms.Members(name)
		}
		check.Members(sits)
	}
	for _, name := range []string{"A1", "A2", "B1", "B2", "C1"} {
		profile := rapid.SampledFrom([]room.Profile{{}, {Family: events.Web}, room.ObservedWeb()}).Draw(t, "profile of "+name)
		profile.MultiRoom = rapid.Bool().Draw(t, name+" multi")
		w.add(name, name[:1], profile)
	}
	return w, check
}

// act lets somebody do something.
func act(t *rapid.T, w *world) {
	who := rapid.SampledFrom(w.people).Draw(t, "who")
	pick := func(label string) string { return rapid.SampledFrom(roomNames).Draw(t, label) }
	token := func() string {
		if rapid.IntRange(0, 5).Draw(t, "token") > 0 {
			return "good"
		}
		return rapid.SampledFrom([]string{"wrong", fmt.Sprint("ends ", w.now.Add(time.Minute).Sub(start))}).Draw(t, "which token")
	}
	switch rapid.SampledFrom([]string{
		"login", "login", "login", "login", "logout", "logout all", "switch", "renew", "down", "down", "up", "up", "dead",
		"boot", "destroy", "kick", "close", "break", "dropped", "twice down",
	}).Draw(t, "what") {
	case "login":
		w.step(who, room.Login{Room: pick("room"), Token: token(), UserUpdate: true})
	case "logout":
		w.step(who, room.Logout{Room: pick("room")})
	case "logout all":
		w.step(who, room.Logout{})
	case "switch":
		w.step(who, room.Switch{From: pick("from"), To: pick("to"), Token: token(), UserUpdate: true})
	case "renew":
		w.step(who, room.RenewToken{Room: pick("room"), Token: token()})
	case "down":
		w.cut(who, true)
	case "twice down":
		w.cut(who, true)
		w.mend(who)
		w.cut(who, true)
	case "dead":
		w.cut(who, false)
	case "up":
		w.mend(who)
	case "boot":
		w.boot(who)
	case "destroy":
		w.step(who, room.Destroy{})
	case "kick":
		w.stepRooms(room.Kick{Room: pick("room"), Users: []string{who.at.User}, Text: "Bye"})
	case "close":
		w.stepRooms(room.CloseRoom{Room: pick("room"), Callback: true})
	case "break":
		w.stepRooms(room.BreakSession{Room: pick("room"), User: who.at.User})
	case "dropped":
		w.stepRooms(room.Dropped{At: who.at})
	}
}

// Whatever comes over the line and from the app, in whatever order, a machine
// answers, never says what Rate calls impossible without a documented reason,
// and never asks to be woken in the past.
func TestAnythingMayArrive(t *testing.T) {
	t.Parallel()
	names := rapid.SampledFrom([]string{"", "a", "b"})
	at := rapid.Custom(func(t *rapid.T) room.Endpoint {
		return room.Endpoint{User: names.Draw(t, "user"), Instance: names.Draw(t, "instance")}
	})
	rapid.Check(t, func(t *rapid.T) {
		profile := rapid.SampledFrom([]room.Profile{{}, {Family: events.Web, MultiRoom: true}, room.ObservedWeb()}).Draw(t, "profile")
		self := room.Endpoint{User: "a", Instance: "a"}
		e, r, check, now := room.NewEngine(self, profile, 1), room.NewRooms(room.Rules{MaxMembers: 2, MultiRoom: true}), sim.NewChecker(h), start
		var login uint64
		var wake time.Time
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 100_000).Draw(t, "ms")) * time.Millisecond)
			for !wake.IsZero() && !wake.After(now) {
				out := e.Step(wake, room.Timeout{})
				for _, r := range out.Report {
					check.Rate(self, r)
				}
				wake = out.Wake
			}
			m := room.Message{
				Kind: room.Kind(rapid.IntRange(0, 13).Draw(t, "kind")), At: at.Draw(t, "at"), Room: names.Draw(t, "room"),
				Login: rapid.SampledFrom([]uint64{0, 1, 2, login}).Draw(t, "login"), Session: fmt.Sprint(rapid.IntRange(0, 9).Draw(t, "session")),
				Again: rapid.Bool().Draw(t, "again"), MultiRoom: rapid.Bool().Draw(t, "multi"), UserUpdate: true,
				Cause: room.Cause(rapid.IntRange(0, 13).Draw(t, "cause")), Users: []string{names.Draw(t, "users")},
			}
			in := rapid.SampledFrom([]room.Input{
				room.Login{Room: m.Room}, room.Logout{Room: m.Room}, room.Switch{From: m.Room, To: names.Draw(t, "to")}, room.LinkDown{}, room.LinkUp{},
				room.RenewToken{Room: m.Room}, room.Received{Message: m}, room.Received{Message: m}, room.Received{Message: m}, room.Timeout{},
				room.Kick{Room: m.Room, Users: m.Users}, room.CloseRoom{Room: m.Room}, room.Dropped{At: m.At}, room.BreakSession{Room: m.Room, User: m.At.User},
				room.Heard{At: m.At, Room: m.Room, Until: now.Add(time.Duration(rapid.IntRange(-200, 200).Draw(t, "s")) * time.Second)},
			}).Draw(t, "in")
			out := e.Step(now, in)
			for _, m := range out.Send {
				login = m.Login
			}
			for _, r := range out.Report {
				check.Rate(self, r)
			}
			if wake = out.Wake; !wake.IsZero() && !wake.After(now) {
				t.Fatalf("after %#v a client wants to be woken %v ago", in, now.Sub(wake))
			}
			if w := r.Step(now, in).Wake; !w.IsZero() && !w.After(now) {
				t.Errorf("after %#v the rooms want to be woken %v ago", in, now.Sub(w))
			}
		}
		for _, fault := range check.Faults {
			t.Error(fault)
		}
	})
}

// A driver that computes heartbeats gets the same story as one that carries
// them.
func TestComputedBeatsTellTheSame(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		lost := time.Duration(rapid.IntRange(1_000, 400_000).Draw(t, "lost after ms")) * time.Millisecond
		carried, computed := fallAfter(t, seed, lost, false), fallAfter(t, seed, lost, true)
		if carried != computed {
			t.Errorf("seat fell after %v with heartbeats carried, after %v with heartbeats computed", carried, computed)
		}
	})
}

// fallAfter seats a client, cuts its line and says when its seat falls.
func fallAfter(t *rapid.T, seed uint64, lost time.Duration, isComputed bool) time.Duration {
	at := room.Endpoint{User: "a"}
	e := room.NewEngine(at, room.Profile{ComputedBeats: isComputed}, seed)
	r := room.NewRooms(room.Rules{})
	out := e.Step(start, login)
	out = r.Step(start, room.Received{Message: out.Send[0]})
	out = e.Step(start, room.Received{Message: out.Send[0]})
	for cut := start.Add(lost); !out.Wake.IsZero() && !out.Wake.After(cut); {
		now := out.Wake
		if out = e.Step(now, room.Timeout{}); len(out.Send) > 0 {
			r.Step(now, room.Received{Message: out.Send[0]})
		}
	}
	if isComputed {
		r.Step(start, room.Heard{At: at, Room: "r", Until: start.Add(1000 * time.Hour)})
		r.Step(start.Add(lost), room.Heard{At: at, Room: "r", Until: e.LastBeat("r", start.Add(lost))})
	}
	for out = r.Step(start.Add(lost), room.Timeout{}); !out.Wake.IsZero(); {
		now := out.Wake
		if out = r.Step(now, room.Timeout{}); len(out.Callbacks) > 0 {
			return now.Sub(start)
		}
	}
	t.Fatal("the seat never falls")
	return 0
}

func TestWait(t *testing.T) {
	t.Parallel()
	for n, want := range []time.Duration{0, 4, 8, 8, 16, 16, 32, 32, 32} {
		if got := room.Wait(n, 7); n > 0 && got != want*time.Second {
			t.Errorf("wait %d is %v, want %v s", n, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		chance := rapid.Uint64().Draw(t, "chance")
		if got := room.Wait(0, chance); got < time.Second || got > 4*time.Second {
			t.Errorf("the first wait is %v, want 1 s to 4 s", got)
		}
		if got := room.Wait(rapid.IntRange(9, 1<<40).Draw(t, "n"), chance); got != longestStep {
			t.Errorf("a late wait is %v, want %v", got, longestStep)
		}
	})
}

package sim_test

import (
	"strings"
	"testing"
	"time"

	"roomtrail/events"
	"roomtrail/room"
	"roomtrail/sim"
)

var start = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// Each promise, broken on purpose, is found.
func TestCheckerBites(t *testing.T) {
	t.Parallel()
	at, other := room.Endpoint{User: "a"}, room.Endpoint{User: "a", Device: "2"}
	say := func(c *sim.Checker, after time.Duration, reason events.Reason, code int64) {
		c.Client(start.Add(after), at, room.Profile{}, room.Timeout{}, room.Output{Report: []room.Report{{Room: "r", Reason: reason, Code: code}}})
	}
	call := func(c *sim.Checker, b room.Callback) {
		c.Server(b.At, room.Timeout{}, room.Output{Callbacks: []room.Callback{b}})
	}
	seat := func(c *sim.Checker) {
		c.Server(start, room.Timeout{}, room.Output{Send: []room.Message{{Kind: room.Seated, Session: "1"}}})
	}
	for want, do := range map[string]func(c *sim.Checker){
		"said Reconnected after Logout": func(c *sim.Checker) {
			say(c, 0, events.Logout, 0)
			say(c, 0, events.Reconnected, 0)
		},
		"gave up r after 19m59s": func(c *sim.Checker) {
			say(c, 0, events.Logined, 0)
			c.Client(start, at, room.Profile{}, room.LinkDown{}, room.Output{})
			say(c, 0, events.Reconnecting, 0)
			say(c, 20*time.Minute-time.Second, events.ReconnectFailed, 1002053)
		},
		"gave up r after 20m33s": func(c *sim.Checker) {
			say(c, 0, events.Logining, 0)
			say(c, 20*time.Minute+33*time.Second, events.LoginFailed, 1002053)
		},
		"fell from r after 1m29s": func(c *sim.Checker) {
			seat(c)
			call(c, room.Callback{Event: "room_logout", Room: "r", User: "a", Session: "1", At: start.Add(89 * time.Second), Reason: 1, UpdateSeq: 1})
		},
		"was shown that b left r": func(c *sim.Checker) {
			c.Client(start, at, room.Profile{}, room.Timeout{}, room.Output{Notice: []room.Notice{{Room: "r", Update: room.UserDelete, Users: []string{"b"}}}})
		},
		"user_update_seq 3 after 1": func(c *sim.Checker) {
			call(c, room.Callback{Event: "room_login", RoomSeq: 1, UpdateSeq: 1})
			call(c, room.Callback{Event: "room_login", RoomSeq: 1, UpdateSeq: 3})
		},
		"closed with room_seq 2, opened with 1": func(c *sim.Checker) {
			call(c, room.Callback{Event: "room_create", Room: "r", RoomSeq: 1})
			call(c, room.Callback{Event: "room_close", Room: "r", RoomSeq: 2})
		},
		"sits at": func(c *sim.Checker) {
			c.Members(map[string][]room.Endpoint{"r": {at}, "s": {other}})
		},
		"sent Beat to r after KickOut": func(c *sim.Checker) {
			say(c, 0, events.Logined, 0)
			say(c, 0, events.KickOut, 1002055)
			c.Client(start, at, room.Profile{}, room.Timeout{}, room.Output{Send: []room.Message{{Kind: room.Beat, Room: "r"}}})
		},
		"sits in r twice": func(c *sim.Checker) {
			c.Members(map[string][]room.Endpoint{"r": {at, at}})
		},
	} {
		c := sim.NewChecker(90 * time.Second)
		do(c)
		if got := strings.Join(c.Faults, "\n"); len(c.Faults) != 1 || !strings.Contains(got, want) {
			t.Errorf("faults are %q, want one with %q", got, want)
		}
	}
}

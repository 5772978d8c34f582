package sim_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"roomtrail/events"
	"roomtrail/room"
	"roomtrail/sim"
)

var start = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// promises are the faults that the checker may find, as check.go spells them.
func promises(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "check.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if f, ok := call.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "fault" {
			text, err := strconv.Unquote(call.Args[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, text)
		}
		return true
	})
	return found
}

// Each promise, broken on purpose, is found; there is a way to break each.
func TestCheckerBites(t *testing.T) {
	t.Parallel()
	promised, isShown := promises(t), map[string]bool{}
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
	for promise, variants := range map[string]map[string]func(c *sim.Checker){
		"%s said %s after %s about %s": {"said Reconnected after Logout": func(c *sim.Checker) {
			say(c, 0, events.Logout, 0)
			say(c, 0, events.Reconnected, 0)
		}},
		"%s of %s gave up %s after %v, with a window of %v": {
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
		},
		"ReconnectFailed with %d": {"ReconnectFailed with 1002033": func(c *sim.Checker) {
			say(c, 0, events.Logined, 0)
			say(c, 0, events.Reconnecting, 0)
			say(c, time.Minute, events.ReconnectFailed, 1002033)
		}},
		"%s fell from %s after %v of silence": {"fell from r after 1m29s": func(c *sim.Checker) {
			seat(c)
			call(c, room.Callback{Event: "room_logout", Room: "r", User: "a", Session: "1", At: start.Add(89 * time.Second), Reason: 1, UpdateSeq: 1})
		}},
		"%s fell from %s %v ago, and nobody had noticed": {"fell from r 1s ago": func(c *sim.Checker) {
			seat(c)
			b := room.Callback{Event: "room_logout", Room: "r", User: "a", Session: "1", At: start.Add(90 * time.Second), Reason: 1, UpdateSeq: 1}
			c.Server(b.At.Add(time.Second), room.Timeout{}, room.Output{Callbacks: []room.Callback{b}})
		}},
		"%s was shown that %s left %s, which it never did": {"was shown that b left r": func(c *sim.Checker) {
			c.Client(start, at, room.Profile{}, room.Timeout{}, room.Output{Notice: []room.Notice{{Room: "r", Update: room.UserDelete, Users: []string{"b"}}}})
		}},
		"user_update_seq %d after %d": {"user_update_seq 3 after 1": func(c *sim.Checker) {
			call(c, room.Callback{Event: "room_login", RoomSeq: 1, UpdateSeq: 1})
			call(c, room.Callback{Event: "room_login", RoomSeq: 1, UpdateSeq: 3})
		}},
		"%s opened while it was open": {"r opened while it was open": func(c *sim.Checker) {
			call(c, room.Callback{Event: "room_create", Room: "r", RoomSeq: 1})
			call(c, room.Callback{Event: "room_create", Room: "r", RoomSeq: 2})
		}},
		"%s closed with room_seq %d, opened with %d": {"closed with room_seq 2, opened with 1": func(c *sim.Checker) {
			call(c, room.Callback{Event: "room_create", Room: "r", RoomSeq: 1})
			call(c, room.Callback{Event: "room_close", Room: "r", RoomSeq: 2})
		}},
		"%s sits at %v and at %v": {"sits at": func(c *sim.Checker) {
			c.Members(map[string][]room.Endpoint{"r": {at}, "s": {other}})
		}},
		"%s sits in %s twice": {"sits in r twice": func(c *sim.Checker) {
			c.Members(map[string][]room.Endpoint{"r": {at, at}})
		}},
		"%s sent %s to %s after %s": {"sent Beat to r after KickOut": func(c *sim.Checker) {
			say(c, 0, events.Logined, 0)
			say(c, 0, events.KickOut, 1002055)
			c.Client(start, at, room.Profile{}, room.Timeout{}, room.Output{Send: []room.Message{{Kind: room.Beat, Room: "r"}}})
		}},
	} {
		if !slices.Contains(promised, promise) {
			t.Errorf("the checker does not look for %q", promise)
		}
		isShown[promise] = true
		for want, do := range variants {
			c := sim.NewChecker(90 * time.Second)
			do(c)
			if got := strings.Join(c.Faults, "\n"); len(c.Faults) != 1 || !strings.Contains(got, want) {
				t.Errorf("faults are %q, want one with %q", got, want)
			}
		}
	}
	for _, promise := range promised {
		if !isShown[promise] {
			t.Errorf("nothing shows that %q is found", promise)
		}
	}
}

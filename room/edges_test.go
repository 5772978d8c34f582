package room_test

import (
	"testing"

	"roomtrail/events"
	"roomtrail/room"
)

// edges is how each edge comes about: first those of the vendor's diagram, then
// those that it leaves out. They are what A says about room-1.
var edges = []struct {
	from, to events.Reason
	why      string
	script   string
}{
	{events.Logout, events.Logining, "loginRoom", `
		client A web
		at 0s A login room-1
		at 1s A logout room-1
		at 2s A login room-1`},
	{events.Logining, events.Logined, "the login succeeds", `
		client A native
		at 0s A login room-1`},
	{events.Logining, events.LoginFailed, "the login fails", `
		client A native
		at 0s A login room-1 token=wrong`},
	{events.LoginFailed, events.Logout, "back to rest, where the app says logoutRoom", `
		client A native
		at 0s A login room-1 token=wrong
		at 1s A logout room-1`},
	{events.Logined, events.Logout, "switchRoom leaves", `
		client A native
		at 0s A login room-1
		at 1s A switch room-1 room-2`},
	{events.Logined, events.LogoutFailed, "logoutRoom of an engine that is gone", `
		client A native
		at 0s A login room-1
		at 1s A destroy
		at 2s A logout room-1`},
	{events.LogoutFailed, events.Logout, "logoutRoom once more, with a line", `
		client A native
		at 0s A login room-1
		at 1s A link down
		at 2s A logout room-1
		at 3s A link up
		at 4s A logout room-1`},
	{events.Logined, events.Reconnecting, "bad network", `
		client A native
		at 0s A login room-1
		at 1s A link down`},
	{events.Logined, events.KickOut, "the server", `
		client A native
		at 0s A login room-1
		at 1s kick A room-1`},
	{events.Reconnecting, events.Reconnected, "a try succeeds", `
		client A native
		at 0s A login room-1
		at 1s A link down
		at 2s A link up`},
	{events.Reconnecting, events.ReconnectFailed, "no try does, until W", `
		client A native
		at 0s A login room-1
		at 1s A link down`},
	{events.ReconnectFailed, events.Logout, "back to rest, where the app says logoutRoom", `
		client A web
		at 0s A login room-1
		at 1s A link down
		at 400s A logout room-1`},
	{events.KickOut, events.Logout, "back to rest, where the app says logoutRoom", `
		client A native
		at 0s A login room-1
		at 1s kick A room-1
		at 2s A logout room-1`},
	{events.Reconnected, events.Logout, "logoutRoom", `
		client A web
		at 0s A login room-1
		at 1s A link down
		at 2s A link up
		at 60s A logout room-1`},
	{events.Reconnected, events.LogoutFailed, "logoutRoom of an engine that is gone", `
		client A native
		at 0s A login room-1
		at 1s A link down
		at 2s A link up
		at 60s A destroy
		at 61s A logout room-1`},
	{events.Reconnected, events.Reconnecting, "bad network again", `
		client A web
		at 0s A login room-1
		at 1s A link down
		at 2s A link up
		at 60s A link down`},
	{events.Reconnected, events.KickOut, "the server", `
		client A web
		client A2 web user=A
		at 0s A login room-1
		at 1s A link down
		at 2s A link up
		at 60s A2 login room-2`},

	{events.LoginFailed, events.Logining, "the app logs in again", `
		client A web
		at 0s A login room-1 token=wrong
		at 1s A login room-1`},
	{events.ReconnectFailed, events.Logining, "the app logs in again", `
		client A web
		at 0s A login room-1
		at 1s A link down
		at 400s A link up
		at 401s A login room-1`},
	{events.KickOut, events.Logining, "the app logs in again", `
		client A web
		at 0s A login room-1
		at 1s kick A room-1
		at 2s A login room-1`},
	{events.LogoutFailed, events.Logining, "the app logs in again", `
		client A native
		at 0s A login room-1
		at 1s A link down
		at 2s A logout room-1
		at 3s A login room-1`},
	{events.Reconnecting, events.KickOut, "the seat went to another device meanwhile", `
		client A web
		client A2 native user=A
		at 0s A login room-1
		at 1s A link down
		at 2s A2 login room-1
		at 30s A link up`},
	{events.Reconnecting, events.KickOut, "the token is dead", `
		client A web
		at 0s A login room-1 token=ends_20s
		at 1s A link down
		at 30s A link up`},
	{events.Reconnecting, events.Logout, "the user leaves while offline, on web", `
		client A web
		at 0s A login room-1
		at 1s A link down
		at 2s A logout room-1`},
	{events.Reconnecting, events.LogoutFailed, "the user leaves while offline, on native", `
		client A native
		at 0s A login room-1
		at 1s A link down
		at 2s A logout room-1`},
	{events.Logining, events.Logout, "the user leaves during the login", `
		client A native
		at 0s A login room-1
		at 0.05s A logout room-1`},
	{events.LogoutFailed, events.LogoutFailed, "still without a line", `
		client A native
		at 0s A login room-1
		at 1s A link down
		at 2s A logout room-1
		at 3s A logout room-1`},
	{events.LogoutFailed, events.KickOut, "still seated on the server", `
		client A native
		client A2 native user=A
		at 0s A login room-1
		at 1s A link down
		at 2s A logout room-1
		at 3s A link up
		at 4s A2 login room-1`},
}

// neverSaid is rated plausible for other clients: after a LogoutFailed ours has
// given up its seat, and does not try to get it back.
var neverSaid = [2]events.Reason{events.LogoutFailed, events.Reconnecting}

func TestEdges(t *testing.T) {
	t.Parallel()
	shown := map[[2]events.Reason]bool{}
	for _, e := range edges {
		shown[[2]events.Reason{e.from, e.to}] = true
		t.Run(e.from.String()+" to "+e.to.String()+", "+e.why, func(t *testing.T) {
			t.Parallel()
			s := watch(t, e.script+"\nuntil 1300s")
			last := events.NoReason
			for _, r := range s.reports {
				if r.who != "A" || r.what.Room != "room-1" {
					continue
				}
				if last == e.from && r.what.Reason == e.to {
					return
				}
				last = r.what.Reason
			}
			t.Errorf("does not happen in\n%s", s.world.lines.String())
		})
	}
	for _, from := range events.Reasons {
		for _, to := range events.Reasons {
			edge := [2]events.Reason{from, to}
			if isPossible := room.Rate(from, to) != room.Impossible; shown[edge] != (isPossible && edge != neverSaid) {
				t.Errorf("%s to %s: shown is %v, possible is %v", from, to, shown[edge], isPossible)
			}
		}
	}
}

// Keyed by the user alone, two devices of one user look like one that logs in
// twice.
func TestTwoDevicesInterleave(t *testing.T) {
	t.Parallel()
	s := watch(t, `
		client A web
		client A2 web user=A
		at 0s A login room-1
		at 5s A2 login room-1
		until 10s`)
	want := []events.Reason{events.Logining, events.Logined, events.Logining, events.KickOut, events.Logined}
	for i, r := range s.reports {
		if i >= len(want) || r.what.Reason != want[i] {
			t.Fatalf("report %d is %s of %s, want %v in all\n%s", i, r.what.Reason, r.who, want, s.world.lines.String())
		}
	}
}

package room_test

import (
	"fmt"
	"slices"
	"testing"

	"roomtrail/events"
	"roomtrail/room"
)

// The code that each reason is reported with, by family, as the vendor's pages
// and its web SDK have them.
func TestCodes(t *testing.T) {
	t.Parallel()
	const seat = "at 0s A login room-1\n"
	for _, c := range []struct {
		reason  events.Reason
		native  int64
		web     int64
		trigger string
		script  string
	}{
		{events.Logining, 0, 0, "loginRoom", seat},
		{events.Logining, 0, 0, "switchRoom", seat + "at 1s A switch room-1 room-2"},
		{events.Logined, 0, 0, "login succeeded", seat},
		{events.LoginFailed, 1002033, 1102016, "wrong token", "at 0s A login room-1 token=wrong"},
		{events.LoginFailed, 1002033, 1102018, "expired token", "at 2s A login room-1 token=ends_1s"},
		{events.LoginFailed, 1002033, 1102016, "wrong token on switchRoom", seat + "at 1s A switch room-1 room-2 token=wrong"},
		{events.LoginFailed, 1002053, 1002053, "the network for W", "at 0s A link down\n" + seat},
		{events.LoginFailed, 1002034, 1002034, "room full", "at 0s A login room-1 max=1\nclient B web\nat 1s B login room-1"},
		{events.LoginFailed, 1002011, 1002011, "no room name", "at 0s A login"},
		{events.Reconnecting, 1002051, 1000017, "network interruption", seat + "at 1s A link down"},
		{events.Reconnected, 0, 0, "retry succeeded", seat + "at 1s A link down\nat 2s A link up"},
		{events.ReconnectFailed, 1002053, 1002053, "retry limit", seat + "at 1s A link down"},
		{events.KickOut, 1002050, 1002050, "same user elsewhere", seat + "client A2 native user=A\nat 1s A2 login room-2"},
		{events.KickOut, 1002055, 1002055, "KickoutUser", seat + "at 1s kick A room-1"},
		{events.KickOut, 1002055, 1002055, "CloseRoom", seat + "at 1s close room-1"},
		{events.KickOut, 1002057, 1002099, "session abnormal", seat + "at 1s break A room-1"},
		{events.Logout, 0, 0, "logoutRoom", seat + "at 1s A logout room-1"},
		{events.Logout, 0, 0, "switchRoom leaves", seat + "at 1s A switch room-1 room-2"},
	} {
		for family, want := range map[events.Family]int64{events.Native: c.native, events.Web: c.web} {
			name := fmt.Sprintf("%s %s %d, %s", family, c.reason, want, c.trigger)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				checkCode(t, family, c.reason, want, "client A "+string(family)+"\nclient C "+string(family)+"\n"+c.script)
			})
		}
	}
	t.Run("native KickOut 1002056, token expired", func(t *testing.T) {
		t.Parallel()
		checkCode(t, events.Native, events.KickOut, 1002056, "rooms kick-on-expiry\nclient A native\nat 0s A login room-1 token=ends_9s")
	})
	t.Run("web KickOut 1102018, token expired", func(t *testing.T) {
		t.Parallel()
		checkCode(t, events.Web, events.KickOut, 1102018, "rooms kick-on-expiry\nclient A web\nat 0s A login room-1 token=ends_9s")
	})
	t.Run("native LogoutFailed 1002002, unknown room", func(t *testing.T) {
		t.Parallel()
		checkCode(t, events.Native, events.LogoutFailed, 1002002, "rooms multi\nclient A native multi\nat 0s A login room-1\nat 1s A logout room-2")
	})
	t.Run("native LogoutFailed 1000001, engine destroyed", func(t *testing.T) {
		t.Parallel()
		checkCode(t, events.Native, events.LogoutFailed, 1000001, "client A native\nat 0s A login room-1\nat 1s A destroy\nat 2s A logout room-1")
	})
	t.Run("web LoginFailed and ReconnectFailed 1002031, as observed", func(t *testing.T) {
		t.Parallel()
		checkCode(t, events.Web, events.ReconnectFailed, 1002031, "client A observed\nat 0s A login room-1\nat 1s A link down")
		checkCode(t, events.Web, events.LoginFailed, 1002031, "client A observed\nat 0s A link down\nat 0s A login room-1")
	})
}

// checkCode looks for a report of the reason with the code, and for nothing
// that the table of codes does not know.
func checkCode(t *testing.T, family events.Family, reason events.Reason, want int64, script string) {
	t.Helper()
	s := watch(t, script+"\nuntil 1300s")
	if _, ok := events.LookupCode(family, want); !ok && want != 0 {
		t.Errorf("%s %d is in no list", family, want)
	}
	if !slices.ContainsFunc(s.reports, func(r seen[room.Report]) bool { return r.what.Reason == reason && r.what.Code == want }) {
		t.Errorf("no %s %d in\n%s", reason, want, s.world.lines.String())
	}
}

// Calls that are refused do so with a code and report nothing.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		want   int64
		script string
	}{
		"a second room in single-room mode, native": {1002001, "client A native\nat 0s A login room-1\nat 1s A login room-2"},
		"a second room in single-room mode, web":    {1002001, "client A web\nat 0s A login room-1\nat 1s A login room-2"},
		"the same room twice, native":               {1002001, "client A native\nat 0s A login room-1\nat 1s A login room-1"},
		"the same room twice, web":                  {1002056, "client A web\nat 0s A login room-1\nat 1s A login room-1"},
		"a login during a login, web":               {1002001, "client A web\nat 0s A login room-1\nat 0s A login room-1"},
		"the same room twice in multi-room mode":    {1002064, "rooms multi\nclient A web multi\nat 0s A login room-1\nat 1s A login room-1"},
		"another user in multi-room mode":           {1002018, "rooms multi\nclient A native multi\nat 0s A login room-1\nat 1s A login room-2 user=B"},
		"switchRoom in multi-room mode, native":     {1002019, "rooms multi\nclient A native multi\nat 0s A login room-1\nat 1s A switch room-1 room-2"},
		"switchRoom from a room one is not in":      {1002002, "client A web\nat 0s A login room-1\nat 1s A switch room-2 room-3"},
		"switchRoom to a room one is in":            {1002064, "rooms multi\nclient A web multi\nat 0s A login room-1\nat 0s A login room-2\nat 1s A switch room-1 room-2"},
		"logoutRoom of an unknown room, web":        {1002002, "client A web\nat 0s A login room-1\nat 1s A logout room-2"},
		"renewToken for an unknown room":            {1002002, "client A web\nat 0s A login room-1\nat 1s A renew room-2"},
		"KickoutUser of who is not there":           {105, "client A web\nat 0s A login room-1\nat 1s kick A room-2"},
		"CloseRoom of an unknown room":              {5024, "client A web\nat 0s A login room-1\nat 1s close room-2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := watch(t, c.script+"\nuntil 10s")
			if !slices.Equal(s.refused, []int64{c.want}) {
				t.Errorf("refused are %d, want %d", s.refused, c.want)
			}
			for _, r := range s.reports {
				if r.what.Reason != events.Logining && r.what.Reason != events.Logined {
					t.Errorf("reports %s %s %d", r.who, r.what.Reason, r.what.Code)
				}
			}
		})
	}
}

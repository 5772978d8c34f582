package room_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"roomtrail/events"
	"roomtrail/room"
)

// The time line of the vendor's room connection status page: A and B are in a
// room, and A loses the line at T3.
func TestTimeLines(t *testing.T) {
	t.Parallel()
	windows := map[events.Family]time.Duration{events.Web: 5 * time.Minute, events.Native: 20 * time.Minute}
	for family, w := range windows {
		tell := func(t *testing.T, more string) *stage {
			return watch(t, fmt.Sprintf("client A %s\nclient B %s\nat 0s B login room-1\nat 10s A login room-1\n%s\nuntil 2000s", family, family, more))
		}
		const t0, t3 = 10 * time.Second, 60 * time.Second
		t.Run(string(family)+", T0 to T2: a login takes about 120 ms, and B hears of it about 100 ms later", func(t *testing.T) {
			t.Parallel()
			s := tell(t, "")
			s.wantReport(t, events.Logining, t0, 0)
			s.wantReport(t, events.Logined, t0+120*time.Millisecond, 10*time.Millisecond)
			s.wantShown(t, room.UserAdd, t0+220*time.Millisecond, 10*time.Millisecond)
		})
		t.Run(string(family)+", case 1: T5 before H, B sees nothing", func(t *testing.T) {
			t.Parallel()
			s := tell(t, "at 60s A link down\nat 90s A link up")
			s.wantReport(t, events.Reconnecting, t3, 0)
			if back := s.reportOf(t, events.Reconnected); back-t3 >= h {
				t.Errorf("Reconnected after %v, want less than %v", back-t3, h)
			}
			s.wantNothingShown(t, t3)
			s.wantCallbacks(t, "room_create", "room_login", "room_login")
		})
		t.Run(string(family)+", case 2: T4' at about H, T5' before W, T6' about 100 ms later", func(t *testing.T) {
			t.Parallel()
			s := tell(t, "at 60s A link down\nat 200s A link up")
			s.wantReport(t, events.Reconnecting, t3, 0)
			s.wantShown(t, room.UserDelete, t3+h, 6*time.Second)
			back := s.reportOf(t, events.Reconnected)
			if back-t3 < h || back-t3 > w {
				t.Errorf("Reconnected after %v, want %v to %v", back-t3, h, w)
			}
			s.wantShown(t, room.UserAdd, back+100*time.Millisecond, 10*time.Millisecond)
			s.wantCallbacks(t, "room_create", "room_login", "room_login", "room_logout", "room_login")
			if again := s.callbacks[4]; !again.Relogin || again.Session == s.callbacks[2].Session {
				t.Errorf("came back as %s, want a new session that is a relogin", showCallback(again))
			}
		})
		t.Run(string(family)+", case 3: T4'' at about H, T5'' at W", func(t *testing.T) {
			t.Parallel()
			s := tell(t, "at 60s A link down")
			s.wantShown(t, room.UserDelete, t3+h, 6*time.Second)
			s.wantReport(t, events.ReconnectFailed, t3+w, 0)
			s.wantCallbacks(t, "room_create", "room_login", "room_login", "room_logout")
			if left := s.callbacks[3]; left.Reason != room.LeftHeartbeat {
				t.Errorf("left with reason %d, want %d", left.Reason, room.LeftHeartbeat)
			}
		})
		t.Run(string(family)+", case 2 alone: the room closes, and opens with a new room_seq", func(t *testing.T) {
			t.Parallel()
			s := watch(t, fmt.Sprintf("client A %s\nat 10s A login room-1\nat 60s A link down\nat 200s A link up\nuntil 400s", family))
			s.wantCallbacks(t, "room_create", "room_login", "room_logout", "room_close", "room_create", "room_login")
			if first, second := s.callbacks[0].RoomSeq, s.callbacks[4].RoomSeq; first == second {
				t.Errorf("room_seq stays %d", first)
			}
			if c := s.callbacks[3]; c.Reason != 1 {
				t.Errorf("close_reason is %d, want 1: the last user's heartbeat", c.Reason)
			}
		})
	}
}

// reportOf is when A last reports a reason.
func (s *stage) reportOf(t *testing.T, reason events.Reason) time.Duration {
	t.Helper()
	for _, r := range slices.Backward(s.reports) {
		if r.who == "A" && r.what.Reason == reason {
			return r.at
		}
	}
	t.Fatalf("A never reports %s:\n%s", reason, s.world.lines.String())
	return 0
}

func (s *stage) wantReport(t *testing.T, reason events.Reason, at, about time.Duration) {
	t.Helper()
	if got := s.reportOf(t, reason); (got - at).Abs() > about {
		t.Errorf("A reports %s at %v, want %v", reason, got, at)
	}
}

// wantShown looks for what B is shown of A.
func (s *stage) wantShown(t *testing.T, update string, at, about time.Duration) {
	t.Helper()
	for _, n := range s.notices {
		if n.who == "B" && n.what.Update == update && (n.at-at).Abs() <= about {
			return
		}
	}
	t.Errorf("B is not shown %s at %v:\n%s", update, at, s.world.lines.String())
}

func (s *stage) wantNothingShown(t *testing.T, after time.Duration) {
	t.Helper()
	for _, n := range s.notices {
		if n.at > after {
			t.Errorf("%s is shown %s at %v, want nothing after %v", n.who, n.what.Update, n.at, after)
		}
	}
}

func (s *stage) wantCallbacks(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for _, c := range s.callbacks {
		got = append(got, c.Event)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("callbacks are %q, want %q", got, want)
	}
}

// An outage that the web SDK hides is hidden from everybody.
func TestHeldBackOutageLeavesNoTrace(t *testing.T) {
	t.Parallel()
	s := watch(t, "client A observed\nclient B web\nat 0s B login room-1\nat 1s A login room-1\nat 60s A link down\nat 62s A link up\nuntil 300s")
	if n := len(s.reports); n != 4 {
		t.Errorf("%d reports, want the 4 of two logins:\n%s", n, s.world.lines.String())
	}
	s.wantNothingShown(t, 60*time.Second)
	s.wantCallbacks(t, "room_create", "room_login", "room_login")
}

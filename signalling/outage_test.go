package signalling

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"roomtrail/room"
)

// The three cases of the vendor's time line of a disconnect, over sockets: H is
// 2.5 s, W 8 s, and A's first try leaves 1 to 1.2 s after the loss.

const (
	testH = 2500 * time.Millisecond
	testW = 8 * time.Second
)

type outage struct {
	a, b  *person
	calls *receiver
}

// beginOutage seats B and then A, and cuts A's cable.
func beginOutage(t *testing.T) outage {
	t.Helper()
	o := outage{calls: receive(t, nil)}
	_, url := serve(t, App{Rules: room.Rules{HeartbeatTimeout: testH}, CallbackURL: o.calls.url})
	o.b = join(t, ClientConfig{URL: url, At: room.Endpoint{User: "b"}, Profile: native(testW)})
	o.b.Login("r", "")
	o.b.reports.want(t, "Logining 0 {}", `Logined 0 {"room_session_id":"1"}`)
	at := room.Endpoint{User: "a", Device: "phone", Instance: "1"}
	o.a = join(t, ClientConfig{URL: url, At: at, Profile: native(testW), Seed: seedWithWait(t, at, native(testW), time.Second, 1200*time.Millisecond)})
	o.a.Login("r", "")
	o.a.reports.want(t, seated...)
	o.a.notices.want(t, "ADD b")
	o.b.notices.want(t, "ADD a")
	o.a.Cut()
	o.a.reports.want(t, with(seated, "Reconnecting 1002051 {}")...)
	return o
}

var seated = []string{"Logining 0 {}", `Logined 0 {"room_session_id":"1"}`}

func with(lines []string, more ...string) []string {
	return append(append([]string(nil), lines...), more...)
}

func TestCase1BackBeforeH(t *testing.T) {
	t.Parallel()
	o := beginOutage(t)
	o.a.Mend()
	o.a.reports.want(t, with(seated, "Reconnecting 1002051 {}", "Reconnected 0 {}")...)
	o.a.Logout("r")
	// The outage itself has shown nobody anything.
	o.b.notices.want(t, "ADD a", "DELETE a")
	o.calls.wantSet(t, "room_create", "room_login b relogin 0", "room_login a relogin 0", "room_logout a reason 0")
	o.a.notices.want(t, "ADD b")
}

func TestCase2BackAfterH(t *testing.T) {
	t.Parallel()
	o := beginOutage(t)
	o.b.notices.want(t, "ADD a", "DELETE a")
	o.a.Mend()
	o.a.reports.want(t, with(seated, "Reconnecting 1002051 {}", "Reconnected 0 {}")...)
	o.b.notices.want(t, "ADD a", "DELETE a", "ADD a")
	// 2: the connection broke, and no heartbeat came since.
	o.calls.wantSet(t, "room_create", "room_login b relogin 0", "room_login a relogin 0", "room_logout a reason 2", "room_login a relogin 1")
}

func TestCase3NotBackBeforeW(t *testing.T) {
	t.Parallel()
	o := beginOutage(t)
	o.a.reports.want(t, with(seated, "Reconnecting 1002051 {}", "ReconnectFailed 1002053 {}")...)
	o.b.notices.want(t, "ADD a", "DELETE a")
	o.a.Mend()
	o.a.Login("r", "") // and it can begin again
	o.a.reports.want(t, with(seated, "Reconnecting 1002051 {}", "ReconnectFailed 1002053 {}", "Logining 0 {}", `Logined 0 {"room_session_id":"1"}`)...)
}

// A server that was started again knows nobody: its clients ask, and are seated
// anew.
func TestClientsSurviveARestart(t *testing.T) {
	t.Parallel()
	calls := receive(t, nil)
	start := func() *Server {
		s := New(Config{Apps: map[string]App{"demo": {CallbackURL: calls.url}}})
		t.Cleanup(func() { s.Close(context.Background()) })
		return s
	}
	var current atomic.Pointer[Server]
	current.Store(start())
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { current.Load().ServeHTTP(w, r) }))
	t.Cleanup(h.Close)
	p := join(t, ClientConfig{URL: h.URL, At: room.Endpoint{User: "u"}, Profile: native(time.Minute)})
	p.Login("r", "")
	p.reports.want(t, seated...)
	current.Swap(start()).Close(context.Background())
	p.reports.want(t, with(seated, "Reconnecting 1002051 {}", "Reconnected 0 {}")...)
	calls.wantSet(t, "room_create", "room_login u relogin 0", "room_create", "room_login u relogin 1")
}

func TestALineWithoutAnswersIsBroken(t *testing.T) {
	t.Parallel()
	url := stuckServer(t)
	p := join(t, ClientConfig{
		URL: url, At: room.Endpoint{User: "a"}, Profile: native(time.Second),
		PingEvery: 20 * time.Millisecond, PongWithin: 100 * time.Millisecond,
	})
	p.Login("r", "")
	p.reports.want(t, "Logining 0 {}", "LoginFailed 1002053 {}")
	lines := p.lines.all()
	if len(lines) < 2 || lines[0] != "<nil>" || lines[1] == "<nil>" {
		t.Errorf("the line was %q; want it made, then broken for want of a pong", lines)
	}
}

func TestAServerThatIsNotThereEndsALoginAfterW(t *testing.T) {
	t.Parallel()
	p := join(t, ClientConfig{URL: "ws://127.0.0.1:1", At: room.Endpoint{User: "a"}, Profile: native(time.Second)})
	p.Login("r", "")
	p.reports.want(t, "Logining 0 {}", "LoginFailed 1002053 {}")
}

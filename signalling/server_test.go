package signalling

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"roomtrail/room"
)

// stuckServer makes WebSockets and then reads nothing.
func stuckServer(t *testing.T) string {
	t.Helper()
	end := make(chan struct{})
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		<-end
	}))
	t.Cleanup(func() { close(end); h.Close() })
	return h.URL
}

func TestALoginElsewhereKicks(t *testing.T) {
	t.Parallel()
	_, url := serve(t, App{})
	first := join(t, ClientConfig{URL: url, At: room.Endpoint{User: "u", Device: "phone", Instance: "1"}, Profile: native(testW)})
	first.Login("r", "")
	first.reports.want(t, seated...)
	second := join(t, ClientConfig{URL: url, At: room.Endpoint{User: "u", Device: "tablet", Instance: "2"}, Profile: native(testW)})
	second.Login("r", "")
	second.reports.want(t, seated...)
	first.reports.want(t, with(seated, `KickOut 1002050 {"custom_kickout_message":"kickout may be the same user ID login other; kickout reason: 1"}`)...)
}

func TestTokensAreChecked(t *testing.T) {
	t.Parallel()
	_, url := serve(t, App{Rules: room.Rules{Check: TokenCheck("s"), KickOnExpiry: true}})
	client := func(user string) *person {
		return join(t, ClientConfig{URL: url, At: room.Endpoint{User: user}, Profile: native(testW)})
	}
	wrong := client("wrong")
	wrong.Login("r", Token("s", "other", "r", time.Now().Add(time.Hour)))
	wrong.reports.want(t, "Logining 0 {}", "LoginFailed 1002033 {}")

	short := client("short")
	short.Login("r", Token("s", "short", "r", time.Now().Add(2*time.Second)))
	short.reports.want(t, with(seated, `KickOut 1002056 {"custom_kickout_message":"token expired; kickout reason: 4"}`)...)
	short.notices.want(t, "TOKEN_WILL_EXPIRE ")
}

// The callbacks of a client may call it.
func TestATokenCanBeRenewedWhenItIsAboutToEnd(t *testing.T) {
	t.Parallel()
	_, url := serve(t, App{Rules: room.Rules{Check: TokenCheck("s"), KickOnExpiry: true}})
	var p *person
	p = join(t, ClientConfig{URL: url, At: room.Endpoint{User: "u"}, Profile: native(testW), OnNotice: func(n room.Notice) {
		if n.Update == room.TokenWillExpire {
			p.RenewToken("r", Token("s", "u", "r", time.Now().Add(time.Hour)))
		}
	}})
	other := join(t, ClientConfig{URL: url, At: room.Endpoint{User: "v"}, Profile: native(testW)})
	end := time.Now().Add(2 * time.Second)
	p.Login("r", Token("s", "u", "r", end))
	other.Login("r", Token("s", "v", "r", end))
	other.reports.want(t, with(seated, `KickOut 1002056 {"custom_kickout_message":"token expired; kickout reason: 4"}`)...)
	p.notices.want(t, "TOKEN_WILL_EXPIRE ", "ADD v", "DELETE v")
	p.reports.want(t, seated...)
}

func TestSwitchAndRefusedCalls(t *testing.T) {
	t.Parallel()
	_, url := serve(t, App{})
	p := join(t, ClientConfig{URL: url, At: room.Endpoint{User: "u"}, Profile: native(testW)})
	p.Login("r", "")
	p.reports.want(t, seated...)
	p.Login("s", "") // it is in a room already
	p.Switch("r", "s", "")
	second := `Logined 0 {"room_session_id":"3"}` // 2 is a session
	p.reports.want(t, with(seated, "room.Login refused 1002001", "Logout 0 {}", "Logining 0 {}", second)...)
	p.Logout("")
	p.RenewToken("r", "t")
	p.reports.want(t, with(seated, "room.Login refused 1002001", "Logout 0 {}", "Logining 0 {}", second, "Logout 0 {}", "room.RenewToken refused 1002002")...)
}

func TestHealth(t *testing.T) {
	t.Parallel()
	_, url := serve(t, App{})
	for path, want := range map[string]int{"/healthz": http.StatusOK, "/other": http.StatusNotFound, "/v1/connect?app=demo&user=u": http.StatusUpgradeRequired} {
		resp, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s answers %d, want %d", path, resp.StatusCode, want)
		}
	}
}

// A message is from who sent it, whatever it says, and one that makes no sense
// costs its sender the line and nobody else anything.
func TestHostileMessagesHarmNobodyElse(t *testing.T) {
	t.Parallel()
	_, url := serve(t, App{Rules: room.Rules{HeartbeatTimeout: testH}})
	good := join(t, ClientConfig{URL: url, At: room.Endpoint{User: "good"}, Profile: native(testW)})
	good.Login("r", "")
	good.reports.want(t, seated...)

	for name, c := range map[string]struct {
		kind websocket.MessageType
		text string
		want websocket.StatusCode
	}{
		"not JSON":      {websocket.MessageText, "hello", websocket.StatusPolicyViolation},
		"100 KiB":       {websocket.MessageText, `{"kind":"Beat","room":"` + strings.Repeat("r", 100<<10) + `"}`, websocket.StatusMessageTooBig},
		"binary":        {websocket.MessageBinary, `{"kind":"Beat","room":"r"}`, websocket.StatusUnsupportedData},
		"unknown kind":  {websocket.MessageText, `{"kind":"Explode","room":"r"}`, websocket.StatusPolicyViolation},
		"a room's kind": {websocket.MessageText, `{"kind":"Gone","room":"r","login":"1"}`, websocket.StatusPolicyViolation},
		"no room":       {websocket.MessageText, `{"kind":"Beat"}`, websocket.StatusPolicyViolation},
		"a far too long room": {websocket.MessageText, `{"kind":"Ask","login":"1","room":"` + strings.Repeat("r", 128) + `"}`,
			websocket.StatusPolicyViolation},
	} {
		conn := dial(t, url+"/v1/connect?app=demo&user=evil&device=d")
		if err := conn.Write(t.Context(), c.kind, []byte(c.text)); err != nil {
			continue // the line went while the rest was still being written
		}
		if _, _, err := conn.Read(t.Context()); websocket.CloseStatus(err) != c.want {
			t.Errorf("%s: the line ends with %v, want status %d", name, err, c.want)
		}
	}

	conn := dial(t, url+"/v1/connect?app=demo&user=evil&device=d")
	for _, text := range []string{
		`{"kind":"Leave","user":"good","device":"phone","instance":"1","room":"r","login":"1"}`,
		`{"kind":"Ask","user":"good","device":"phone","instance":"1","room":"r","login":"7"}`,
	} {
		if err := conn.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	_, answer, err := conn.Read(t.Context())
	if err != nil || !strings.HasPrefix(string(answer), `{"kind":"Seated","user":"evil","device":"d","room":"r","login":"7"`) {
		t.Errorf("the answer is %s, %v; want a seat for evil", answer, err)
	}
	conn.CloseNow()
	good.notices.want(t, "ADD evil", "DELETE evil") // after H
	good.reports.want(t, seated...)
}

// A client that does not read loses its line, and the rooms go on.
func TestWhoDoesNotReadIsDisconnected(t *testing.T) {
	t.Parallel()
	s, url := serve(t, App{})
	evil := dial(t, url+"/v1/connect?app=demo&user=evil")
	if err := evil.Write(t.Context(), websocket.MessageText, []byte(`{"kind":"Ask","room":"r","login":"1","user_update":true}`)); err != nil {
		t.Fatal(err)
	}
	a := s.apps["demo"]
	eventually(t, "evil sits", func() bool { return len(a.seats("r")) == 1 })
	at := a.seats("r")[0].At
	long := strings.Repeat("x", 256)
	hasLine := func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.lines[at] != nil
	}
	for n := 0; hasLine(); n++ {
		if n > 1_000_000 {
			t.Fatal("evil has its line after a million messages that it did not read")
		}
		a.mu.Lock()
		for range 100 {
			if l := a.lines[at]; l != nil {
				l.send(room.Message{Kind: room.Joined, Room: "r", Users: []string{long}})
			}
		}
		a.mu.Unlock()
	}
}

func TestConnectionsThatAreRefused(t *testing.T) {
	t.Parallel()
	_, server := serveConfig(t, Config{
		Apps: map[string]App{"demo": {}}, MaxConnections: 1, AllowedOrigins: []string{"https://app.example"},
	})
	dial(t, server+"/v1/connect?app=demo&user=first") // of an allowed kind, and takes the one place
	for name, c := range map[string]struct {
		query, origin string
		want          int
	}{
		"another app":      {"app=other&user=u", "", http.StatusNotFound},
		"no app":           {"user=u", "", http.StatusNotFound},
		"no user":          {"app=demo", "", http.StatusBadRequest},
		"a long user":      {"app=demo&user=" + strings.Repeat("u", 64), "", http.StatusBadRequest},
		"a long device":    {"app=demo&user=u&device=" + strings.Repeat("d", 256), "", http.StatusBadRequest},
		"no UTF-8":         {"app=demo&user=%ff", "", http.StatusBadRequest},
		"one too many":     {"app=demo&user=u", "", http.StatusServiceUnavailable},
		"and from the app": {"app=demo&user=u", "https://app.example", http.StatusServiceUnavailable},
	} {
		_, resp, err := websocket.Dial(t.Context(), server+"/v1/connect?"+c.query, nil)
		if err == nil || resp == nil || resp.StatusCode != c.want {
			t.Errorf("%s: %v, want status %d", name, err, c.want)
		}
	}
}

func TestPagesOfOtherOriginsDoNotConnect(t *testing.T) {
	t.Parallel()
	_, server := serveConfig(t, Config{Apps: map[string]App{"demo": {}}, AllowedOrigins: []string{"https://app.example"}})
	host, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	for origin, ok := range map[string]bool{
		"https://app.example": true, "http://" + host.Host: true, "": true, // no origin: no page
		"http://app.example": false, "https://evil.example": false, "null": false,
	} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		conn, resp, err := websocket.Dial(t.Context(), server+"/v1/connect?app=demo&user=u", &websocket.DialOptions{HTTPHeader: header})
		if conn != nil {
			conn.CloseNow()
		}
		if ok != (err == nil) || !ok && resp.StatusCode != http.StatusForbidden {
			t.Errorf("origin %q: %v, want it let in: %t", origin, err, ok)
		}
	}
}

func TestASecondLineOfAnEndpointReplacesTheFirst(t *testing.T) {
	t.Parallel()
	_, url := serve(t, App{})
	first := dial(t, url+"/v1/connect?app=demo&user=u&device=d&instance=i")
	if err := first.Write(t.Context(), websocket.MessageText, []byte(`{"kind":"Ask","room":"r","login":"1"}`)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := first.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := dial(t, url+"/v1/connect?app=demo&user=u&device=d&instance=i")
	if _, _, err := first.Read(t.Context()); websocket.CloseStatus(err) != statusReplaced {
		t.Errorf("the first line ends with %v, want status %d", err, statusReplaced)
	}
	if err := second.Write(t.Context(), websocket.MessageText, []byte(`{"kind":"Ask","room":"r","login":"1","again":true}`)); err != nil {
		t.Fatal(err)
	}
	_, answer, err := second.Read(t.Context())
	if err != nil || !strings.Contains(string(answer), `"kind":"Seated"`) || !strings.Contains(string(answer), `"session":"2"`) {
		t.Errorf("the answer is %s, %v; want the same seat", answer, err)
	}
}

// Not parallel: it counts goroutines.
func TestCloseLeavesNothingRunning(t *testing.T) {
	before := runtime.NumGoroutine()
	calls := receive(t, func(int) int { return http.StatusInternalServerError })
	s := New(Config{Apps: map[string]App{"demo": {CallbackURL: calls.url}}})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &http.Server{Handler: s}
	go h.Serve(listener)
	address := "http://" + listener.Addr().String()
	p := join(t, ClientConfig{URL: address, At: room.Endpoint{User: "u"}, Profile: native(testW)})
	p.Login("r", "")
	p.reports.want(t, seated...)
	deaf := dial(t, address+"/v1/connect?app=demo&user=deaf") // never answers the close frame
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	s.Close(ctx)
	s.Close(ctx) // once more does no harm
	if _, resp, err := websocket.Dial(t.Context(), address+"/v1/connect?app=demo&user=late", nil); err == nil || resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a connection after the end: %v, want status 503", err)
	}
	p.reports.want(t, with(seated, "Reconnecting 1002051 {}")...)
	p.stop()
	<-p.ended
	deaf.CloseNow()
	h.Close()
	http.DefaultClient.CloseIdleConnections()
	eventually(t, "all goroutines have ended", func() bool { return runtime.NumGoroutine() <= before+2 }) // the receiver's own
}

func dial(t testing.TB, url string) *websocket.Conn {
	t.Helper()
	conn, _, err := websocket.Dial(context.Background(), url, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.CloseNow() })
	return conn
}

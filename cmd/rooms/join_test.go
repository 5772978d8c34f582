package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"roomtrail/commandline"
	"roomtrail/commandline/commandlinetest"
	"roomtrail/events"
	"roomtrail/reporter"
)

// serveRooms runs the rooms and returns the address that they print.
func serveRooms(t testing.TB, args ...string) (*process, string) {
	t.Helper()
	p := start(t, map[string]string{"ROOMTRAIL_HEARTBEAT_TIMEOUT": "5s"}, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	p.shows(t, "/\n")
	_, rest, _ := strings.Cut(p.stdout.String(), "listening on http://")
	address, _, ok := strings.Cut(rest, "/")
	if !ok {
		t.Fatalf("no address in %q", p.stdout.String())
	}
	return p, "ws://" + address
}

// fakeIntake takes events as the intake does, and refuses the first request.
type fakeIntake struct {
	t        testing.TB
	requests atomic.Int64
	mu       sync.Mutex
	taken    []events.Event
}

func (f *fakeIntake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if r.URL.Path != "/v1/events" || r.Header.Get("Authorization") != "Bearer key" {
		f.t.Errorf("asked for %s with %q; want /v1/events and the key", r.URL.Path, r.Header.Get("Authorization"))
	}
	if f.requests.Add(1) == 1 {
		http.Error(w, "the log does not answer", http.StatusServiceUnavailable)
		return
	}
	var report struct {
		SentAt time.Time `json:"sent_at"`
		Events []json.RawMessage
	}
	if err := json.Unmarshal(body, &report); err != nil || time.Since(report.SentAt).Abs() > time.Minute {
		f.t.Errorf("body is %s, %v; want one sent now", body, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, raw := range report.Events {
		e, err := events.FromReport(time.Now(), raw)
		if err != nil {
			f.t.Errorf("the intake would refuse %s: %v", raw, err)
			continue
		}
		f.taken = append(f.taken, e)
	}
	io.WriteString(w, `{"accepted":1,"rejected":0,"results":[]}`)
}

// told is what has arrived, each event once, in the order of arrival.
func (f *fakeIntake) told() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []string
	var last int64 = -1
	for _, e := range f.taken {
		if e.Seq <= last {
			continue // sent again
		}
		if e.Seq != last+1 {
			f.t.Errorf("event %d follows %d; want no gap", e.Seq, last)
		}
		last = e.Seq
		list = append(list, strings.TrimSpace(e.Reason.String()+e.Update+" "+e.PeerUserID))
	}
	return list
}

func TestAReconnectCanBeWatched(t *testing.T) {
	t.Parallel()
	server, url := serveRooms(t)
	f := &fakeIntake{t: t}
	intake := httptest.NewServer(f)
	t.Cleanup(intake.Close)
	other := start(t, nil, "join", "--url", url, "--user", "u2", "--heartbeat", "100ms")
	other.shows(t, "Logined")
	p := start(t, map[string]string{"ROOMTRAIL_WRITE_KEY": "key"},
		"join", "--url", url, "--platform", "android", "--heartbeat", "100ms", "--cut", "300ms@200ms", "--intake", intake.URL)
	p.shows(t, "Reconnected")
	p.interrupt()
	if code := p.wait(t); code != commandline.Done {
		t.Errorf("exit code %d, want 0", code)
	}

	var got []string
	line := regexp.MustCompile(`^\d\d:\d\d:\d\d\.\d\d\d  (.{15})  (.{7})(?:  (.*))?$`)
	for text := range strings.Lines(p.stdout.String()) {
		m := line.FindStringSubmatch(strings.TrimSuffix(text, "\n"))
		if m == nil {
			m = []string{"", strings.TrimSpace(text[14:]), "", ""} // a line ends with its last word
		}
		if what := strings.TrimSpace(m[1]); what != "intake" && !strings.HasPrefix(what, "line ") {
			got = append(got, strings.Join(strings.Fields(what+" "+m[2]+" "+m[3]), " "))
		}
	}
	want := []string{
		"Logining", `Logined {"room_session_id":"N"}`, "ADD u2", "network cut",
		"Reconnecting 1002051 " + meaningOf(t, events.Native, 1002051), "network mended", "Reconnected", "Logout",
	}
	for i := range got {
		got[i] = regexp.MustCompile(`"\d+"`).ReplaceAllString(got[i], `"N"`)
	}
	if !slices.Equal(got, want) {
		t.Errorf("printed\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	if strings.Contains(p.stdout.String(), "\x1b") {
		t.Error("there are colours where there is no screen")
	}
	if got, want := f.told(), []string{"Logining", "Logined", "ADD u2", "Reconnecting", "Reconnected", "Logout"}; !slices.Equal(got, want) {
		t.Errorf("the intake was told %q, want %q", got, want)
	}
	other.shows(t, "DELETE")
	server.interrupt()
	if code := server.wait(t); code != commandline.Done {
		t.Errorf("the rooms end with exit code %d, want 0: %s", code, server.stderr.String())
	}
	other.shows(t, "Reconnecting")
}

func meaningOf(t testing.TB, f events.Family, code int64) string {
	t.Helper()
	c, ok := events.LookupCode(f, code)
	if !ok {
		t.Fatalf("code %d is in no list", code)
	}
	return c.Meaning
}

func TestALoginElsewhereEndsAJoin(t *testing.T) {
	t.Parallel()
	_, url := serveRooms(t)
	first := start(t, nil, "join", "--url", url, "--heartbeat", "100ms")
	first.shows(t, "Logined")
	second := start(t, nil, "join", "--url", url, "--for", "1ms")
	if code := second.wait(t); code != commandline.Done {
		t.Errorf("the second ends with %d, want 0", code)
	}
	if code := first.wait(t); code != commandline.Failed || !strings.Contains(first.stderr.String(), "KickOut 1002050") {
		t.Errorf("the first ends with %d and says %q; want 1, and the kick", code, first.stderr.String())
	}
}

func TestTokensFromTheSameSecret(t *testing.T) {
	t.Parallel()
	_, url := serveRooms(t, "--app", "a=s", "--token-secret", "t")
	if code, stdout, _ := command(t, "join", "--url", url, "--app", "a", "--token-secret", "t", "--for", "1ms"); code != commandline.Done || !strings.Contains(stdout, "Logined") {
		t.Errorf("with the secret: exit code %d, prints %s; want 0 and Logined", code, stdout)
	}
	if code, stdout, _ := command(t, "join", "--url", url, "--app", "a", "--token", "x.1"); code != commandline.Failed || !strings.Contains(stdout, "1102016") {
		t.Errorf("with another token: exit code %d, prints %s; want 1 and 1102016", code, stdout)
	}
}

func TestWhatTheRoomsPrint(t *testing.T) {
	t.Parallel()
	p, url := serveRooms(t)
	p.shows(t, "rooms join --url "+url+" --app demo --room r1 --user u1")
	p.shows(t, "server secret of demo, for this run: ")
	p.interrupt()
	p.wait(t)
	q, _ := serveRooms(t, "--app", "demo=keptsecret")
	q.shows(t, "--app demo")
	q.interrupt()
	q.wait(t)
	if out := q.stdout.String() + q.stderr.String(); strings.Contains(out, "keptsecret") {
		t.Errorf("a secret that was given is printed: %s", out)
	}
}

func TestColoursAreForScreens(t *testing.T) {
	t.Parallel()
	for isColored, want := range map[bool]string{
		false: "KickOut          1002055  gone\n", true: "\x1b[31mKickOut        \x1b[0m  1002055  gone\n",
	} {
		out := &commandlinetest.Output{}
		(&screen{out: out, isColored: isColored}).line(bad, "KickOut", 1002055, "gone")
		if _, got, _ := strings.Cut(out.String(), "  "); got != want {
			t.Errorf("colours %t: shows %q, want %q", isColored, got, want)
		}
	}
}

// While the network is cut nothing is sent, and then all of it is.
func TestTheOutboxWaitsForTheNetwork(t *testing.T) {
	t.Parallel()
	var mended atomic.Bool
	f := &fakeIntake{t: t}
	f.requests.Add(1) // no refusal here
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !mended.Load() {
			t.Error("a request came while the network was cut")
		}
		f.ServeHTTP(w, r)
	}))
	t.Cleanup(h.Close)
	said := &commandlinetest.Output{}
	open := func() *outbox {
		o, err := newOutbox(h.URL, "key", events.Event{AppID: "a", UserID: "u", Platform: "web"}, func(what, text string) { io.WriteString(said, what+" "+text) })
		if err != nil {
			t.Fatal(err)
		}
		o.cut(true)
		o.add(func(r *reporter.Reporter, now reporter.Clock) {
			r.State(now, "r", events.Logining, 0, "", "login")
			r.State(now, "r", events.Logined, 0, "", "")
		})
		return o
	}
	open().close(patience) // does not wait for a network that is cut
	if got := said.String(); got != "intake 2 events were not delivered" {
		t.Errorf("said %q, want that 2 events were not delivered", got)
	}
	o := open()
	mended.Store(true)
	o.cut(false)
	o.close(patience)
	if got := f.told(); !slices.Equal(got, []string{"Logining", "Logined"}) {
		t.Errorf("told %q, want both events", got)
	}
}

package signalling

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"roomtrail/room"
)

const secret = "9193cc662a4c0ec135ec71fb57194b38"

// patience is how long a test waits for what must come.
const patience = 40 * time.Second

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	end := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", patience, what)
		}
		time.Sleep(5 * time.Millisecond) // between two looks
	}
}

// notes are lines that somebody writes and a test reads.
type notes struct {
	mu    sync.Mutex
	lines []string
}

func (n *notes) add(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

func (n *notes) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.lines)
}

// want waits until the lines are these and no others.
func (n *notes) want(t testing.TB, want ...string) {
	t.Helper()
	end := time.Now().Add(patience)
	for {
		got := n.all()
		if slices.Equal(got, want) {
			return
		}
		if len(got) > len(want) || !slices.Equal(got, want[:len(got)]) || time.Now().After(end) {
			t.Fatalf("noted are\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// serve starts a server with an app named demo, and returns its URL.
func serve(t testing.TB, a App) (*Server, string) {
	t.Helper()
	a.ServerSecret = secret
	return serveConfig(t, Config{Apps: map[string]App{"demo": a}})
}

func serveConfig(t testing.TB, c Config) (*Server, string) {
	t.Helper()
	s := New(c)
	h := httptest.NewServer(s)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		s.Close(ctx)
		h.Close()
	})
	return s, h.URL
}

// person is a client whose reports and notices are noted.
type person struct {
	*Client
	reports, notices, lines notes
	stop                    context.CancelFunc
	ended                   chan struct{}
}

// native is how the test's clients behave: like the vendor's, and faster.
func native(w time.Duration) room.Profile {
	return room.Profile{HeartbeatEvery: 100 * time.Millisecond, AnswerTimeout: 300 * time.Millisecond, RetryWindow: w}
}

func join(t testing.TB, c ClientConfig) *person {
	t.Helper()
	p := &person{ended: make(chan struct{})}
	c.App = "demo"
	if c.At.Device == "" {
		c.At.Device, c.At.Instance = "phone", "1"
	}
	c.OnReport = func(r room.Report) { p.reports.add("%s %d %s", r.Reason, r.Code, r.Extended) }
	also := c.OnNotice
	c.OnNotice = func(n room.Notice) {
		p.notices.add("%s %s", n.Update, strings.Join(n.Users, ","))
		tell(also, n)
	}
	c.OnLine = func(err error) { p.lines.add("%v", err) }
	c.OnRefused = func(call room.Input, code int64) { p.reports.add("%T refused %d", call, code) }
	client, err := NewClient(c)
	if err != nil {
		t.Fatal(err)
	}
	p.Client = client
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	go func() { defer close(p.ended); client.Run(ctx) }()
	t.Cleanup(func() { stop(); <-p.ended })
	return p
}

// seedWithWait finds a seed whose first try after a loss leaves within the given
// time, out of 1 to 4 s.
func seedWithWait(t testing.TB, at room.Endpoint, p room.Profile, least, most time.Duration) uint64 {
	t.Helper()
	start := time.Unix(0, 0)
	for seed := range uint64(10_000) {
		e := room.NewEngine(at, p, seed)
		ask := e.Step(start, room.Login{Room: "r"}).Send[0]
		e.Step(start, room.Received{Message: room.Message{Kind: room.Seated, Room: "r", Login: ask.Login}})
		e.Step(start, room.LinkDown{})
		if wait := e.Step(start, room.LinkUp{}).Wake.Sub(start); least <= wait && wait <= most {
			return seed
		}
	}
	t.Fatalf("no seed waits %s to %s", least, most)
	return 0
}

// receiver takes callbacks; status says what it answers to the n-th of a body.
type receiver struct {
	notes
	bodies notes
	status func(n int) int
	url    string
}

func receive(t testing.TB, status func(n int) int) *receiver {
	t.Helper()
	r := &receiver{status: status}
	h := httptest.NewServer(r)
	t.Cleanup(h.Close)
	r.url = h.URL
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.bodies.add("%s", body)
	n := 0
	for _, other := range r.bodies.all() {
		if other == string(body) {
			n++
		}
	}
	if r.status != nil && r.status(n) != http.StatusOK {
		w.WriteHeader(r.status(n))
		return
	}
	var c struct {
		Event, Reason, Relogin string
		User                   string `json:"user_account"`
	}
	_ = json.Unmarshal(body, &c)
	switch c.Event {
	case "room_login":
		r.add("%s %s relogin %s", c.Event, c.User, c.Relogin)
	case "room_logout":
		r.add("%s %s reason %s", c.Event, c.User, c.Reason)
	default:
		r.add("%s", c.Event)
	}
}

// wantSet waits until these callbacks have come and no others, in any order:
// the vendor does not promise one.
func (r *receiver) wantSet(t testing.TB, want ...string) {
	t.Helper()
	slices.Sort(want)
	var got []string
	eventually(t, fmt.Sprintf("callbacks %q", want), func() bool {
		got = r.all()
		slices.Sort(got)
		return len(got) >= len(want)
	})
	if !slices.Equal(got, want) {
		t.Errorf("callbacks are %q, want %q", got, want)
	}
}

// reply is an answer of the server API.
type reply struct {
	Code      int
	Message   string
	RequestID string `json:"RequestId"`
	Data      struct {
		Marker        string
		UserList      []listedUser
		UserCountList []counted
	}
}

// sign returns the parameters of a call, signed now.
func sign(action string, at time.Time, p url.Values) url.Values {
	signed := url.Values{"Action": {action}, "AppId": {"demo"}, "SignatureNonce": {"4fd24687296dd9f3"}, "SignatureVersion": {"2.0"}}
	signed.Set("Timestamp", strconv.FormatInt(at.Unix(), 10))
	signed.Set("Signature", Signature("demo", "4fd24687296dd9f3", secret, at.Unix()))
	for key, values := range p {
		signed[key] = values
	}
	return signed
}

func call(t testing.TB, server, action string, p url.Values) reply {
	t.Helper()
	return get(t, server+"/?"+sign(action, time.Now(), p).Encode())
}

func get(t testing.TB, url string) (r reply) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("answered %d, %v; want 200 and JSON", resp.StatusCode, err)
	}
	if r.RequestID == "" {
		t.Error("RequestId is empty")
	}
	return r
}

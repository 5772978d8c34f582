package signalling

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"roomtrail/events"
	"roomtrail/room"
)

// ClientConfig is how a client is set up. The callbacks are called one at a
// time, by Run, in the order in which things happen; they may call the client.
type ClientConfig struct {
	URL     string // of the server, as ws://127.0.0.1:8090; http and https will do
	App     string
	At      room.Endpoint
	Profile room.Profile // ComputedBeats has no effect: each heartbeat is sent
	Seed    uint64       // decides the chances of the machine

	OnReport  func(room.Report)
	OnNotice  func(room.Notice)
	OnRefused func(call room.Input, code int64) // a call that failed, and its error code
	OnLine    func(error)                       // nil: the line was made; else why there is none

	PingEvery  time.Duration    // zero is 5 s
	PongWithin time.Duration    // a line without an answer to a ping for so long is broken; zero is 10 s
	Now        func() time.Time // nil is time.Now
	Logger     *slog.Logger     // nil is none
}

// Client is one running SDK: room.Engine and its line. Its calls return at once
// and take effect, in their order, while Run runs.
type Client struct {
	config ClientConfig
	url    string
	engine *room.Engine

	mu     sync.Mutex
	calls  []any // room.Input, or a cableChange
	called chan struct{}

	happened chan happening // what dials and lines have to say

	// Only Run touches what follows.
	rooms  map[string]bool // that were ever asked for
	wake   time.Time       // of the engine
	isCut  bool
	isDown bool           // what the engine was told
	line   *line          // nil where there is none
	making *line          // being dialled
	held   []room.Message // for the line that is being made
	redial time.Time      // no dial before
	fails  int            // dials that failed since the last line
	lines  sync.WaitGroup
}

type cableChange bool // whether it is cut

// happening is news of a line.
type happening struct {
	line    *line
	made    bool
	message *room.Message // nil: made, or else ended
	err     error
}

// Back-off of dials: doubled from the first to the last. The machine has its
// own, longer one, so this only has to spare the server.
const (
	firstRedial = 200 * time.Millisecond
	lastRedial  = 2 * time.Second
	dialWithin  = 10 * time.Second
	finishIn    = time.Second // for the close handshake, at the end of Run
	pingEvery   = 5 * time.Second
	pongWithin  = 10 * time.Second
)

var errCut = errors.New("the cable is cut")

// NewClient returns a client that Run brings to life.
func NewClient(c ClientConfig) (*Client, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || !strings.Contains(" ws wss http https ", " "+u.Scheme+" ") {
		return nil, fmt.Errorf("URL %q names no server; want one such as ws://127.0.0.1:8090", c.URL)
	}
	u = u.JoinPath("v1/connect")
	u.RawQuery = url.Values{"app": {c.App}, "user": {c.At.User}, "device": {c.At.Device}, "instance": {c.At.Instance}}.Encode()
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.PingEvery == 0 {
		c.PingEvery = pingEvery
	}
	if c.PongWithin == 0 {
		c.PongWithin = pongWithin
	}
	c.Profile.ComputedBeats = false
	return &Client{
		config: c, url: u.String(), engine: room.NewEngine(c.At, c.Profile, c.Seed),
		called: make(chan struct{}, 1), happened: make(chan happening), rooms: map[string]bool{},
	}, nil
}

// Login is loginRoom, with news of other users.
func (c *Client) Login(name, token string) {
	c.call(room.Login{Room: name, Token: token, UserUpdate: true})
}

// Logout is logoutRoom; an empty name is all rooms.
func (c *Client) Logout(name string) { c.call(room.Logout{Room: name}) }

// Switch is switchRoom.
func (c *Client) Switch(from, to, token string) {
	c.call(room.Switch{From: from, To: to, Token: token, UserUpdate: true})
}

// RenewToken is renewToken.
func (c *Client) RenewToken(name, token string) { c.call(room.RenewToken{Room: name, Token: token}) }

// Cut pulls the cable: the line is gone without a word, and none is made until
// Mend.
func (c *Client) Cut() { c.call(cableChange(true)) }

// Mend puts the cable back.
func (c *Client) Mend() { c.call(cableChange(false)) }

func (c *Client) call(what any) {
	c.mu.Lock()
	c.calls = append(c.calls, what)
	c.mu.Unlock()
	select {
	case c.called <- struct{}{}:
	default: // Run knows already
	}
}

func (c *Client) takeCalls() []any {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := c.calls
	c.calls = nil
	return calls
}

// Run drives the client until the context ends, once. Rooms that it did not
// leave before lose it as if its process had died. What was sent still goes
// out.
func (c *Client) Run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lasting, breakOff := context.WithCancel(context.WithoutCancel(ctx)) // lines outlast ctx by their close handshake
	defer breakOff()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		c.settle(ctx, lasting)
		timer.Reset(c.rest())
		select {
		case <-ctx.Done():
		case <-timer.C:
			c.step(room.Timeout{})
		case h := <-c.happened:
			c.take(h)
		case <-c.called:
			for _, call := range c.takeCalls() {
				c.do(call)
			}
		}
	}
	c.end(breakOff)
}

// end closes the line, and waits for everything that Run started.
func (c *Client) end(breakOff context.CancelFunc) {
	if c.making != nil {
		c.making.drop(errFinished)
	}
	if c.line != nil {
		c.line.finish(websocket.StatusNormalClosure)
	}
	late := time.AfterFunc(finishIn, breakOff)
	defer late.Stop()
	ended := make(chan struct{})
	go func() { c.lines.Wait(); close(ended) }()
	for {
		select {
		case <-c.happened: // nobody is interested any more
		case <-ended:
			return
		}
	}
}

func (c *Client) do(call any) {
	switch call := call.(type) {
	case cableChange:
		if c.isCut = bool(call); !c.isCut {
			c.redial, c.fails = time.Time{}, 0
			return
		}
		for _, l := range []*line{c.line, c.making} {
			if l != nil {
				l.drop(errCut)
			}
		}
		c.line, c.making = nil, nil
		c.lose(errCut)
	case room.Login:
		c.rooms[call.Room] = true
		c.step(call)
	case room.Switch:
		c.rooms[call.To] = true
		c.step(call)
	case room.Input:
		c.step(call)
	}
}

// step moves the engine by one input. What it sends goes first: a callback may
// end Run.
func (c *Client) step(in room.Input) {
	out := c.engine.Step(c.config.Now(), in)
	c.wake = out.Wake
	for _, m := range out.Send {
		if c.line != nil {
			c.line.send(m)
		} else {
			c.held = append(c.held, m)
		}
	}
	for _, r := range out.Report {
		tell(c.config.OnReport, r)
	}
	for _, n := range out.Notice {
		tell(c.config.OnNotice, n)
	}
	if out.Refused != 0 && c.config.OnRefused != nil {
		c.config.OnRefused(in, out.Refused)
	}
}

func tell[T any](callback func(T), what T) {
	if callback != nil {
		callback(what)
	}
}

// rest is how long nothing has to be done.
func (c *Client) rest() time.Duration {
	next := c.wake
	if c.wantsLine() && !c.isCut && c.line == nil && c.making == nil && (next.IsZero() || c.redial.Before(next)) {
		next = c.redial
	}
	if next.IsZero() {
		return time.Hour
	}
	return max(next.Sub(c.config.Now()), 0)
}

// wantsLine says whether there is a room to be in, or something to be sent.
func (c *Client) wantsLine() bool {
	if len(c.held) > 0 {
		return true
	}
	for name := range c.rooms {
		switch c.engine.State(name) {
		case events.Logining, events.Logined, events.Reconnecting, events.Reconnected:
			return true
		}
	}
	return false
}

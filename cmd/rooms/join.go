package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"roomtrail/commandline"
	"roomtrail/events"
	"roomtrail/progressbar"
	"roomtrail/reporter"
	"roomtrail/room"
	"roomtrail/signalling"
)

// join is one user in one room.
type join struct {
	URL      string `name:"url" from:"ROOMTRAIL_ROOMS_URL" default:"ws://127.0.0.1:8090" placeholder:"URL" help:"Where the rooms are (default ${default})."`
	App      string `from:"ROOMTRAIL_APP" default:"demo" placeholder:"ID" help:"App of the room (default ${default})."`
	Room     string `from:"ROOMTRAIL_ROOM" default:"r1" placeholder:"ID" help:"The room (default ${default})."`
	User     string `from:"ROOMTRAIL_USER" default:"u1" placeholder:"ID" help:"The user (default ${default}). Who joins twice is kicked once."`
	Device   string `from:"ROOMTRAIL_DEVICE" default:"terminal" placeholder:"ID" help:"The user's device (default ${default})."`
	Platform string `from:"ROOMTRAIL_PLATFORM" default:"web" placeholder:"NAME" help:"Whose SDK it behaves like: web, android, ios and so on (default ${default})."`

	Token       string        `from:"ROOMTRAIL_TOKEN" placeholder:"TOKEN" help:"Token to log in with."`
	TokenSecret string        `from:"ROOMTRAIL_TOKEN_SECRET" placeholder:"SECRET" help:"Make the token, with the secret of the rooms."`
	TokenFor    time.Duration `from:"ROOMTRAIL_TOKEN_FOR" default:"1h" placeholder:"DURATION" help:"How long the token that is made lasts (default ${default})."`

	Heartbeat   time.Duration `from:"ROOMTRAIL_HEARTBEAT" default:"5s" placeholder:"DURATION" help:"Time between heartbeats (default ${default})."`
	RetryWindow time.Duration `from:"ROOMTRAIL_RETRY_WINDOW" placeholder:"DURATION" help:"W: how long it tries to come back (default 5m on web, 20m elsewhere)."`
	Cut         []string      `from:"ROOMTRAIL_CUT" placeholder:"FOR@AFTER" help:"Cut the network, as 5s@10s: for 5 s, 10 s after the login; may be given several times."`
	For         time.Duration `from:"ROOMTRAIL_FOR" placeholder:"DURATION" help:"Log out so long after the login (default never)."`

	Intake string `from:"ROOMTRAIL_INTAKE" placeholder:"URL" help:"Report to an intake, such as http://127.0.0.1:8080."`
	Key    string `from:"ROOMTRAIL_WRITE_KEY" placeholder:"KEY" help:"Write key of the app at that intake."`
}

// Help is shown below the flags.
func (j *join) Help() string {
	return `At a terminal, three words can be typed: cut pulls the network, mend puts it back, logout leaves. The exit code is 1 if the user was kicked, or did not get in or back.`
}

// logoutWithin and flushWithin are how long the end may take.
const (
	logoutWithin = time.Second
	flushWithin  = 3 * time.Second
)

// visit is a join under way.
type visit struct {
	*join
	screen *screen
	client *signalling.Client
	family events.Family
	outbox *outbox // nil without an intake

	seated chan struct{} // closed by the first Logined
	ended  chan error    // how the login ended
}

func (j *join) Run(t *terminal) error {
	plan, err := parseCuts(j.Cut)
	if err != nil {
		return &commandline.UsageError{Err: err}
	}
	v, err := j.begin(t)
	if err != nil {
		return &commandline.UsageError{Err: err}
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.ctx))
	defer stop()
	var running sync.WaitGroup
	running.Go(func() { v.client.Run(ctx) })
	var typed <-chan string
	if progressbar.IsTerminal(t.stdin) {
		typed = words(t.stdin)
	}
	v.client.Login(j.Room, j.token(time.Now()))
	err = v.stay(t.ctx, plan, typed)
	// Stop order: the client, which has more to report, then what was reported.
	stop()
	running.Wait()
	if v.outbox != nil {
		v.outbox.close(flushWithin)
	}
	return err
}

// begin checks the flags and makes what a visit consists of.
func (j *join) begin(t *terminal) (*visit, error) {
	platform, family := events.NormalizePlatform(j.Platform)
	switch {
	case platform == events.UnknownPlatform:
		return nil, fmt.Errorf("--platform is %q; want one such as web, android or ios", j.Platform)
	case j.Heartbeat <= 0:
		return nil, fmt.Errorf("--heartbeat is %s; want more than 0, such as 5s", j.Heartbeat)
	case j.RetryWindow < 0 || j.For < 0:
		return nil, fmt.Errorf("--retry-window is %s and --for is %s; want neither below 0", j.RetryWindow, j.For)
	}
	v := &visit{
		join: j, family: family, screen: &screen{out: t.stdout, isColored: t.isColored},
		seated: make(chan struct{}), ended: make(chan error, 1),
	}
	start := rand.Text()
	at := room.Endpoint{User: j.User, Device: j.Device, Instance: start}
	if j.Intake != "" {
		about := events.Event{
			AppID: j.App, UserID: j.User, Platform: platform, DeviceID: j.Device, BootID: start, RetryWindowMS: j.RetryWindow.Milliseconds(),
		}
		var err error
		if v.outbox, err = newOutbox(j.Intake, j.Key, about, func(what, text string) { v.screen.line(plain, what, 0, text) }); err != nil {
			return nil, err
		}
	}
	var err error
	v.client, err = signalling.NewClient(signalling.ClientConfig{
		URL: j.URL, App: j.App, At: at, Seed: chance(),
		Profile: room.Profile{
			Family: family, RetryWindow: j.RetryWindow, HeartbeatEvery: j.Heartbeat, Terminal: room.Terminal(platform),
		},
		OnReport: v.report, OnNotice: v.notice, OnLine: v.line,
		OnRefused: func(_ room.Input, code int64) { v.screen.line(bad, "refused", code, v.meaning(code)) },
		Logger:    t.logger(),
	})
	if err != nil && v.outbox != nil {
		v.outbox.close(0)
	}
	return v, err
}

func chance() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}

func (j *join) token(now time.Time) string {
	if j.Token == "" && j.TokenSecret != "" {
		return signalling.Token(j.TokenSecret, j.User, j.Room, now.Add(j.TokenFor))
	}
	return j.Token
}

// stay waits for the end of the login, and brings it about when it is time to.
func (v *visit) stay(ctx context.Context, plan []change, typed <-chan string) error {
	var over, next <-chan time.Time
	var login time.Time
	seated := v.seated
	for {
		select {
		case err := <-v.ended:
			return err
		case <-ctx.Done():
			return v.leave()
		case <-over:
			return v.leave()
		case <-seated:
			seated, login = nil, time.Now()
			next = due(plan, login)
			if v.For > 0 {
				over = time.After(v.For)
			}
		case <-next:
			v.cable(plan[0].isCut)
			plan = plan[1:]
			next = due(plan, login)
		case word, ok := <-typed:
			if !ok {
				typed = nil
			}
			v.obey(word)
		}
	}
}

func due(plan []change, login time.Time) <-chan time.Time {
	if len(plan) == 0 {
		return nil
	}
	return time.After(time.Until(login.Add(plan[0].after)))
}

func (v *visit) obey(word string) {
	switch word {
	case "cut", "mend":
		v.cable(word == "cut")
	case "logout":
		v.client.Logout(v.Room)
	case "":
	default:
		v.screen.line(plain, "", 0, "want cut, mend or logout")
	}
}

// leave logs out and waits for the word of it.
func (v *visit) leave() error {
	v.client.Logout(v.Room)
	select {
	case err := <-v.ended:
		return err
	case <-time.After(logoutWithin):
		return nil
	}
}

// cable cuts or mends the network, for all that the user's device has to say.
func (v *visit) cable(isCut bool) {
	what := "mended"
	if isCut {
		what = "cut"
	}
	v.screen.line(plain, "network", 0, what)
	if v.outbox != nil {
		v.outbox.cut(isCut)
	}
	if isCut {
		v.client.Cut()
	} else {
		v.client.Mend()
	}
}

// report shows and passes on what the SDK's roomStateChanged would say.
func (v *visit) report(r room.Report) {
	text := v.meaning(r.Code)
	if r.Extended != "" && r.Extended != "{}" {
		text = strings.TrimSpace(text + "  " + r.Extended)
	}
	v.screen.line(tones[r.Reason], r.Reason.String(), r.Code, text)
	if v.outbox != nil {
		v.outbox.add(func(rep *reporter.Reporter, now reporter.Clock) {
			rep.State(now, r.Room, r.Reason, r.Code, r.Extended, r.Via)
		})
	}
	var end error
	switch r.Reason {
	case events.Logined:
		close(v.seated) // there is one login
		return
	case events.LoginFailed, events.ReconnectFailed, events.KickOut:
		end = fmt.Errorf("the login ended by %s %d", r.Reason, r.Code)
	case events.Logout, events.LogoutFailed: // the user wanted it
	default:
		return
	}
	select {
	case v.ended <- end:
	default: // it has ended before
	}
}

// notice shows and passes on who came and went.
func (v *visit) notice(n room.Notice) {
	if n.Update == room.TokenWillExpire {
		v.screen.line(doubt, "tokenWillExpire", 0, "")
		return
	}
	v.screen.line(plain, n.Update, 0, strings.Join(n.Users, ", "))
	if v.outbox == nil {
		return
	}
	v.outbox.add(func(rep *reporter.Reporter, now reporter.Clock) {
		for _, user := range n.Users {
			rep.Peer(now, n.Room, n.Update, user)
		}
	})
}

func (v *visit) line(err error) {
	if err == nil {
		v.screen.line(faint, "line up", 0, "")
		return
	}
	v.screen.line(faint, "line down", 0, err.Error())
}

// meaning is what a code says within the family; 0 says nothing.
func (v *visit) meaning(code int64) string {
	if code == 0 {
		return ""
	}
	if c, ok := events.LookupCode(v.family, code); ok {
		return c.Meaning
	}
	return "The code is in no list of the family " + string(v.family) + "."
}

// change is one moment at which the network is cut or mended.
type change struct {
	after time.Duration // the login
	isCut bool
}

// parseCuts reads FOR@AFTER, and puts the changes in their order.
func parseCuts(list []string) ([]change, error) {
	var plan []change
	for _, text := range list {
		length, after, _ := strings.Cut(text, "@")
		lasts, err := time.ParseDuration(length)
		at, atErr := time.ParseDuration(after)
		if err != nil || atErr != nil || lasts <= 0 || at < 0 {
			return nil, fmt.Errorf("--cut %q: want FOR@AFTER, such as 5s@10s", text)
		}
		plan = append(plan, change{at, true}, change{at + lasts, false})
	}
	slices.SortStableFunc(plan, func(a, b change) int { return cmp.Compare(a.after, b.after) })
	for i, c := range plan {
		if c.isCut != (i%2 == 0) || i > 0 && c.after == plan[i-1].after {
			return nil, fmt.Errorf("--cut %s: two of them overlap or meet; want one cut to be over when the next begins", strings.Join(list, ","))
		}
	}
	return plan, nil
}

// words are the lines that somebody types. Nothing can end a read of a
// terminal, so this one ends with the program.
func words(r io.Reader) <-chan string {
	typed := make(chan string)
	go func() {
		defer close(typed)
		for lines := bufio.NewScanner(r); lines.Scan(); {
			typed <- strings.TrimSpace(lines.Text())
		}
	}()
	return typed
}

// tone is how a line looks where there are colours.
type tone string

const (
	plain tone = ""
	good  tone = "32"
	doubt tone = "33"
	bad   tone = "31"
	faint tone = "2"
)

var tones = map[events.Reason]tone{
	events.Logined: good, events.Reconnected: good, events.Reconnecting: doubt, events.LogoutFailed: doubt,
	events.LoginFailed: bad, events.ReconnectFailed: bad, events.KickOut: bad,
}

// screen shows what happens, a line each.
type screen struct {
	mu        sync.Mutex
	out       io.Writer
	isColored bool
}

// line shows when, what, which code and what that means.
func (s *screen) line(t tone, what string, code int64, text string) {
	shown := ""
	if code != 0 {
		shown = fmt.Sprint(code)
	}
	now := time.Now().Format("15:04:05.000")
	padded := fmt.Sprintf("%-15s", what)
	if s.isColored && t != plain {
		padded = "\x1b[" + string(t) + "m" + padded + "\x1b[0m"
	}
	row := strings.TrimRight(fmt.Sprintf("%s  %s  %7s  %s", now, padded, shown, text), " ")
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintln(s.out, row)
}

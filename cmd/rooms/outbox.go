package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"roomtrail/events"
	"roomtrail/reporter"
)

// outbox brings to an intake what a reporter has to say. The reporter keeps
// what the intake has not accepted; a batch that got no answer is sent again,
// since copies are harmless (contract 2).
type outbox struct {
	url, key string
	say      func(what, text string)
	start    time.Time
	client   *http.Client
	news     chan struct{} // something to look at
	done     chan struct{}
	giveUp   context.CancelFunc

	mu       sync.Mutex
	reporter *reporter.Reporter
	isCut    bool
	isClosed bool
	breakOff context.CancelFunc // of the request under way
}

// Limits of what is sent at once, and of the patience for it.
const (
	batch       = 500
	sendWithin  = 10 * time.Second
	firstResend = 500 * time.Millisecond
	lastResend  = 10 * time.Second
)

var errNetworkCut = errors.New("the network is cut")

func newOutbox(intake, key string, about events.Event, say func(what, text string)) (*outbox, error) {
	u, err := url.Parse(intake)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("--intake is %q; want an address such as http://127.0.0.1:8080", intake)
	}
	ctx, giveUp := context.WithCancel(context.Background())
	o := &outbox{
		url: u.JoinPath("v1/events").String(), key: key, say: say, start: time.Now(), client: &http.Client{Timeout: sendWithin},
		news: make(chan struct{}, 1), done: make(chan struct{}), giveUp: giveUp, breakOff: func() {},
		reporter: reporter.New(reporter.Config{About: about, NewID: rand.Text}),
	}
	go o.run(ctx)
	return o, nil
}

// add lets the reporter take something down.
func (o *outbox) add(take func(*reporter.Reporter, reporter.Clock)) {
	o.mu.Lock()
	now := time.Now()
	take(o.reporter, reporter.Clock{Wall: now, Monotonic: now.Sub(o.start)})
	o.mu.Unlock()
	o.look()
}

// cut cuts or mends the network to the intake.
func (o *outbox) cut(isCut bool) {
	o.mu.Lock()
	if o.isCut = isCut; isCut {
		o.breakOff()
	}
	o.mu.Unlock()
	o.look()
}

func (o *outbox) look() {
	select {
	case o.news <- struct{}{}:
	default: // it is on its way
	}
}

// close sends what waits, for as long as is given, and says what did not go.
func (o *outbox) close(within time.Duration) {
	o.mu.Lock()
	o.isClosed = true
	o.mu.Unlock()
	o.look()
	select {
	case <-o.done:
	case <-time.After(within):
	}
	o.giveUp()
	<-o.done
	o.client.CloseIdleConnections()
	if left := o.waiting(); len(left) > 0 {
		o.say("intake", fmt.Sprintf("%d events were not delivered", len(left)))
	}
}

// waiting copies what is to be sent next.
func (o *outbox) waiting() []events.Event {
	o.mu.Lock()
	defer o.mu.Unlock()
	w := o.reporter.Waiting()
	return slices.Clone(w[:min(len(w), batch)])
}

// run sends until it is closed and nothing waits that could be sent.
func (o *outbox) run(ctx context.Context) {
	defer close(o.done)
	for fails := 0; ctx.Err() == nil; {
		o.mu.Lock()
		isCut, isClosed := o.isCut, o.isClosed
		o.mu.Unlock()
		list := o.waiting()
		if isClosed && (isCut || len(list) == 0) {
			return
		}
		var again <-chan time.Time
		if !isCut && len(list) > 0 {
			switch err := o.send(ctx, list); {
			case err == nil:
				if fails > 0 {
					o.say("intake", "takes events again")
				}
				fails = 0
				continue
			case errors.Is(err, errNetworkCut): // that it is mended is news
			default:
				if fails == 0 {
					o.say("intake", err.Error()+"; kept, and sent again")
				}
				again = time.After(min(firstResend<<min(fails, 10), lastResend))
				fails++
			}
		}
		select {
		case <-ctx.Done():
		case <-o.news:
		case <-again:
		}
	}
}

// send posts a batch; no error means that the intake has answered for it.
func (o *outbox) send(ctx context.Context, list []events.Event) error {
	ctx, breakOff := context.WithCancel(ctx)
	defer breakOff()
	o.mu.Lock()
	if o.isCut {
		o.mu.Unlock()
		return errNetworkCut
	}
	o.breakOff = breakOff
	o.mu.Unlock()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.url, bytes.NewReader(envelope(time.Now(), list)))
	if err != nil {
		return fmt.Errorf("send events: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if o.key != "" {
		req.Header.Set("Authorization", "Bearer "+o.key)
	}
	resp, err := o.client.Do(req)
	if err != nil && ctx.Err() != nil {
		return errNetworkCut
	}
	if err != nil {
		return fmt.Errorf("send events: %w", err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("send events: the intake answered %d: %.200s", resp.StatusCode, strings.TrimSpace(string(body)))
	}
	o.taken(list, body)
	return nil
}

// envelope is the body of a report (contract 2).
func envelope(now time.Time, list []events.Event) []byte {
	b := now.UTC().AppendFormat([]byte(`{"sent_at":"`), "2006-01-02T15:04:05.000Z")
	b = append(b, `","events":[`...)
	for i := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = events.AppendReport(b, &list[i])
	}
	return append(b, "]}"...)
}

// taken forgets what was sent. Meanwhile the reporter may have dropped some of
// it, so it is found by its number.
func (o *outbox) taken(list []events.Event, body []byte) {
	o.mu.Lock()
	o.reporter.Taken(list)
	o.mu.Unlock()
	var answer struct {
		Rejected int
		Results  []struct{ Field, Error string }
	}
	if err := json.Unmarshal(body, &answer); err == nil && answer.Rejected > 0 && len(answer.Results) > 0 {
		o.say("intake", fmt.Sprintf("%d events rejected: %s: %s", answer.Rejected, answer.Results[0].Field, answer.Results[0].Error))
	}
}

package signalling

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"roomtrail/room"
)

// callbackDelays are how long the vendor waits before each retry; after the
// last one a callback is lost ("Receiving callbacks").
var callbackDelays = [...]time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 32 * time.Second}

// Limits of the poster. A receiver that takes its time holds the next callback
// up for startApart and no longer, so that callbacks start in their order and
// arrive in it where the receiver is quick.
const (
	callbackQueue = 4096
	postWithin    = 5 * time.Second
	startApart    = 50 * time.Millisecond
	underWay      = 1024 // callbacks that are posted or wait for their retry
)

// poster posts the callbacks of one app.
type poster struct {
	app, url, secret string
	delays           []time.Duration
	now              func() time.Time
	logger           *slog.Logger
	client           *http.Client

	queue    chan room.Callback
	stopping chan struct{} // no more retries
	done     chan struct{} // run has returned
	breakOff context.CancelFunc
	posts    sync.WaitGroup

	delivered, lost, dropped, waiting atomic.Int64
}

// startPoster returns a poster that runs until it is closed.
func startPoster(name string, app App, now func() time.Time, logger *slog.Logger) *poster {
	p := &poster{
		app: name, url: app.CallbackURL, secret: app.CallbackSecret, delays: app.CallbackDelays, now: now, logger: logger,
		client: &http.Client{Timeout: postWithin, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // anything but 2xx is a failure
		}},
		queue: make(chan room.Callback, callbackQueue), stopping: make(chan struct{}), done: make(chan struct{}),
	}
	if p.delays == nil {
		p.delays = callbackDelays[:]
	}
	ctx, breakOff := context.WithCancel(context.Background())
	p.breakOff = breakOff
	go p.run(ctx)
	return p
}

// add puts a callback into the queue; it never waits.
func (p *poster) add(c room.Callback) {
	select {
	case p.queue <- c:
	default:
		if n := p.dropped.Add(1); n&(n-1) == 0 { // say so 1, 2, 4, 8, ... times
			p.logger.Warn("callback dropped, too many wait", "app", p.app, "event", c.Event, "dropped", n)
		}
	}
}

// run starts the callbacks in their order until the queue is closed.
func (p *poster) run(ctx context.Context) {
	defer close(p.done)
	free := make(chan struct{}, underWay)
	for c := range p.queue {
		free <- struct{}{} // while none is free the queue fills, and drops
		body := c.Body(p.app, p.now(), rand.Text(), p.secret)
		tried := make(chan struct{})
		p.posts.Add(1)
		go func() {
			defer func() { <-free; p.posts.Done() }()
			p.deliver(ctx, c.Event, body, tried)
		}()
		select {
		case <-tried:
		case <-time.After(startApart):
		}
	}
	p.posts.Wait()
}

// deliver posts one callback until a 2xx answers, and closes tried after the
// first try. Each try has the same body, so that a receiver can tell a repeated
// one.
func (p *poster) deliver(ctx context.Context, event string, body []byte, tried chan<- struct{}) {
	for n := 0; ; n++ {
		err := p.post(ctx, body)
		if n == 0 {
			close(tried)
		}
		if err == nil {
			p.delivered.Add(1)
			return
		}
		if n == len(p.delays) {
			p.lost.Add(1)
			p.logger.Warn("callback lost", "app", p.app, "event", event, "tries", n+1, "error", err)
			return
		}
		select {
		case <-time.After(p.delays[n]):
		case <-p.stopping:
			p.waiting.Add(1)
			return
		}
	}
}

func (p *poster) post(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("post callback: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := p.client.Do(req)
	if err != nil {
		return fmt.Errorf("post callback: %w", err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // so that the connection can be used again
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("post callback: the receiver answered %d; want 2xx", resp.StatusCode)
	}
	return nil
}

// close gives each callback of the queue its first try, stops retrying and says
// what became of them; the context bounds all that. Nothing may be added any
// more.
func (p *poster) close(ctx context.Context) {
	defer p.breakOff()
	close(p.stopping)
	close(p.queue)
	select {
	case <-p.done:
	case <-ctx.Done():
		p.breakOff()
		<-p.done
	}
	p.client.CloseIdleConnections()
	p.logger.Info("callbacks stopped", "app", p.app, "delivered", p.delivered.Load(), "lost", p.lost.Load(),
		"dropped", p.dropped.Load(), "undelivered", p.waiting.Load())
}

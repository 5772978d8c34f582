// Package fleet lets a simulated world happen to a real intake, in real time or
// as fast as the intake takes it.
//
// It promises: every delivery of the world is posted once the clock on the wall
// has passed it, never before, and again until the intake has taken it; what a
// device's clock shows is moved along, so that the intake measures the skew
// that the world gave it.
//
// It refuses: to invent anything. What happens is the world's.
package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"roomtrail/events"
	"roomtrail/sim"
)

// Fleet posts what a world brings.
type Fleet struct {
	World  *sim.World
	Intake string // URL of the intake
	Key    string // write key; empty: none is asked for
	// Speed is how much faster than the clock on the wall the world runs; zero
	// is as fast as possible. It never gets ahead of that clock.
	Speed float64
	// CallbackSecret signs server callbacks; where it is empty, none are posted.
	CallbackSecret string
	App            string // app_id of the callbacks
	// Each sees what every step brings; an error ends the run. Nil is nobody.
	Each func(sim.Output) error
	// Say hears what a person should know: that the intake does not answer, that
	// it does again, the first event that it rejects. Nil is nobody.
	Say func(format string, args ...any)

	Accepted, Rejected, Callbacks, Signs, Retries atomic.Int64

	isSilent, hasRejected atomic.Bool // what has been said

	signs []sim.Sign // that wait for company
	spoke time.Time  // when signs were posted last
}

// CheckURL says what is wrong with the address of an intake, if anything is.
func CheckURL(intake string) error {
	u, err := url.Parse(intake)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%q is no intake; want an address such as http://127.0.0.1:8080", intake)
	}
	return nil
}

func (f *Fleet) say(format string, args ...any) {
	if f.Say != nil {
		f.Say(format, args...)
	}
}

// inFlight is how many requests wait for their answers at most.
const inFlight = 16

// Run plays the world to its end, or until the context ends.
func (f *Fleet) Run(ctx context.Context) error {
	posts, posting := errgroup.WithContext(ctx)
	posts.SetLimit(inFlight)
	began, start := time.Now(), time.Time{}
	for posting.Err() == nil {
		at, ok := f.World.Next()
		if !ok {
			break
		}
		if start.IsZero() {
			start = f.World.Now()
		}
		if f.wait(posting, began, start, at) != nil {
			break
		}
		out := f.World.Step()
		if f.Each != nil {
			if err := f.Each(out); err != nil {
				posts.Go(func() error { return err })
				break
			}
		}
		for _, d := range out.Deliveries {
			posts.Go(func() error { return f.deliver(posting, d) })
		}
		if batch := f.gather(out.Signs); len(batch) > 0 {
			posts.Go(func() error { return f.sign(posting, batch) })
		}
		for _, c := range out.Callbacks {
			if f.CallbackSecret != "" {
				posts.Go(func() error { return f.callBack(posting, c) })
			}
		}
	}
	if err := posts.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// wait lets the world's clock come no further than the wall's.
func (f *Fleet) wait(ctx context.Context, began, start, at time.Time) error {
	due := at
	if f.Speed > 0 {
		if paced := began.Add(time.Duration(float64(at.Sub(start)) / f.Speed)); paced.After(due) {
			due = paced
		}
	}
	left := time.Until(due)
	if left <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// deliver posts one request of a reporter. sent_at is the device's clock at
// this moment: now, and as much ahead as the world has made it.
func (f *Fleet) deliver(ctx context.Context, d sim.Delivery) error {
	ahead := d.SentAt.Sub(d.At)
	return f.post(ctx, "/v1/events", func(now time.Time) []byte {
		b := append([]byte(`{"sent_at":"`), now.UTC().Add(ahead).Format(time.RFC3339Nano)...)
		b = append(b, `","events":[`...)
		for i := range d.Events {
			if i > 0 {
				b = append(b, ',')
			}
			b = events.AppendReport(b, &d.Events[i])
		}
		return append(b, "]}"...)
	}, func(answer []byte) {
		v := verdicts(answer)
		f.Accepted.Add(v.Accepted)
		if f.Rejected.Add(v.Rejected); len(v.Results) > 0 && !f.hasRejected.Swap(true) {
			f.say("the intake rejects an event: %s: %s", v.Results[0].Field, v.Results[0].Error)
		}
	})
}

// Signs of life are posted together, as a gateway of many devices would.
const (
	signsEvery = time.Second
	mostSigns  = 1000
	// A sign counts from when it comes: one of long ago would be a lie.
	staleSign = time.Minute
)

func (f *Fleet) gather(signs []sim.Sign) (batch []sim.Sign) {
	for _, s := range signs {
		if time.Since(s.At) < staleSign {
			f.signs = append(f.signs, s)
		}
	}
	if len(f.signs) < mostSigns && (len(f.signs) == 0 || time.Since(f.spoke) < signsEvery) {
		return nil
	}
	batch, f.signs, f.spoke = f.signs, nil, time.Now()
	return batch
}

func (f *Fleet) sign(ctx context.Context, batch []sim.Sign) error {
	return f.post(ctx, "/v1/alive", func(now time.Time) []byte {
		b, err := json.Marshal(map[string]any{"sent_at": now, "alive": batch})
		if err != nil {
			panic(err) // text and numbers always encode
		}
		return b
	}, func([]byte) { f.Signs.Add(int64(len(batch))) })
}

func (f *Fleet) callBack(ctx context.Context, c sim.Callback) error {
	return f.post(ctx, "/v1/zego/callbacks", func(now time.Time) []byte {
		return c.Body(f.App, now, c.Nonce, f.CallbackSecret)
	}, func([]byte) { f.Callbacks.Add(1) })
}

// post tries until the intake has taken it: no answer means unknown, and what
// comes twice counts once.
func (f *Fleet) post(ctx context.Context, path string, body func(now time.Time) []byte, taken func(answer []byte)) error {
	for pause := 200 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := f.try(ctx, path, body(time.Now()), taken)
		var final *refusal
		if err == nil && f.isSilent.Swap(false) {
			f.say("the intake answers again")
		}
		if err == nil || errors.As(err, &final) || ctx.Err() != nil {
			return err
		}
		if f.Retries.Add(1); !f.isSilent.Swap(true) {
			f.say("the intake does not take what is sent, which is kept and sent again: %v", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause + rand.N(pause)):
		}
	}
}

// refusal is an answer that trying again does not mend.
type refusal struct{ status, text string }

func (r *refusal) Error() string {
	return fmt.Sprintf("the intake answers %s: %s", r.status, bytes.TrimSpace([]byte(r.text)))
}

func (f *Fleet) try(ctx context.Context, path string, body []byte, taken func([]byte)) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.Intake+path, bytes.NewReader(body))
	if err != nil {
		return &refusal{"nothing", err.Error()}
	}
	req.Header.Set("Content-Type", "application/json")
	if f.Key != "" {
		req.Header.Set("Authorization", "Bearer "+f.Key)
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	switch {
	case err != nil:
		return err
	case res.StatusCode == http.StatusOK:
		taken(answer)
		return nil
	case res.StatusCode >= 500, res.StatusCode == http.StatusTooManyRequests, res.StatusCode == http.StatusRequestTimeout:
		return fmt.Errorf("the intake answers %s", res.Status)
	}
	return &refusal{res.Status, string(answer)}
}

// client keeps a connection for each request that may be in flight.
var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: inFlight, IdleConnTimeout: 30 * time.Second}}

// reply is what the intake says of a report.
type reply struct {
	Accepted, Rejected int64
	Results            []struct{ Field, Error string }
}

func verdicts(answer []byte) (r reply) {
	if json.Unmarshal(answer, &r) != nil {
		return reply{} // 200 from something that is no intake
	}
	return r
}

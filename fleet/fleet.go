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
	// Each sees what every step brings; nil is nobody.
	Each func(sim.Output)

	Accepted, Rejected, Callbacks, Retries atomic.Int64
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
			f.Each(out)
		}
		for _, d := range out.Deliveries {
			posts.Go(func() error { return f.deliver(posting, d) })
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
		accepted, rejected := verdicts(answer)
		f.Accepted.Add(accepted)
		f.Rejected.Add(rejected)
	})
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
		if err == nil || errors.As(err, &final) || ctx.Err() != nil {
			return err
		}
		f.Retries.Add(1)
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
	case res.StatusCode >= 500 || res.StatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("the intake answers %s", res.Status)
	}
	return &refusal{res.Status, string(answer)}
}

// client keeps a connection for each request that may be in flight.
var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: inFlight, IdleConnTimeout: 30 * time.Second}}

// verdicts reads how many events the intake took, and how many not.
func verdicts(answer []byte) (accepted, rejected int64) {
	var r struct{ Accepted, Rejected int64 }
	if json.Unmarshal(answer, &r) != nil {
		return 0, 0
	}
	return r.Accepted, r.Rejected
}

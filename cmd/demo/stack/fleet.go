package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"roomtrail/fleet"
	"roomtrail/pipeline"
	"roomtrail/progressbar"
	"roomtrail/readmodel"
	"roomtrail/sim"
)

// The demo's fleet: what it has been doing for a while when the demo starts,
// so that there is something to see from the first minute on, goes by as fast
// as the intake takes it; from then on it lives at the pace of the clock.
const (
	history = 90 * time.Minute
	perHour = 900 // logins
	scene   = "mixed,outage"
)

// since is when the fleet's past begins: where an earlier demo stopped, or a
// while ago.
func since(ctx context.Context, asker *readmodel.Asker) time.Time {
	start := time.Now().Add(-history)
	answer, err := asker.Ask(ctx, "SELECT max(last_received_at) FROM sessions", nil, 1)
	if err != nil || len(answer.Rows) == 0 {
		return start
	}
	if last, ok := answer.Rows[0][0].(time.Time); ok && last.After(start) {
		return last
	}
	return start
}

// playFleet reports what the fleet does until the context ends.
func playFleet(ctx context.Context, p *pipeline.Pipeline, key string, start time.Time, out io.Writer) error {
	world, err := sim.New(sim.Config{
		Seed: uint64(start.UnixNano()), Scenario: scene, PerHour: perHour, App: app, Start: start, Over: 40 * time.Minute, AliveEvery: 30 * time.Second,
	})
	if err != nil {
		return err
	}
	f := &fleet.Fleet{World: world, Intake: p.IntakeURL(), Key: key, App: app, CallbackSecret: key}
	every, told := 15*time.Second, time.Time{}
	if progressbar.IsTerminal(out) {
		every = time.Second
	}
	f.Each = func(sim.Output) error {
		if time.Since(told) < every {
			return nil
		}
		told = time.Now()
		line := fmt.Sprintf("%d logins so far, %d people in rooms now; %d events accepted, %d rejected", world.Made(), world.Here(), f.Accepted.Load(), f.Rejected.Load())
		if behind := time.Since(world.Now()); behind > 5*time.Second {
			line += fmt.Sprintf(" (%s behind, catching up)", behind.Round(time.Second))
		}
		if progressbar.IsTerminal(out) {
			line = fmt.Sprintf("\r\x1b[K%.110s", line)
		} else {
			line += "\n"
		}
		_, err := fmt.Fprint(out, line)
		return err
	}
	return f.Run(ctx)
}

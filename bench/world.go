package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"roomtrail/events"
	"roomtrail/room"
	"roomtrail/sim"
)

const (
	worldLimit = "the machines alone, a login, a loss and a logout each: no lines, reporters, callbacks or truth"
	seedsLimit = "the same worlds without looking at every step"
	worldTurn  = 1000 // logins that are timed together
)

// world lets a mixed day of logins happen, reports and truth written to nowhere.
func (b *bench) world(ctx context.Context, _ *report) (row, error) {
	n := b.flags.Logins
	out := row{Name: "world", Unit: "logins", Timed: "1 000 logins", Limit: worldLimit}
	b.say("world: %d logins of a mixed day", n)
	w, err := sim.New(sim.Config{Seed: 1, Scenario: "mixed", Logins: n})
	if err != nil {
		return out, err
	}
	stop, err := b.profile(out.Name)
	if err != nil {
		return out, err
	}
	defer debug.SetGCPercent(debug.SetGCPercent(300)) // as rooms simulate does
	var c clock
	var took []time.Duration
	var peak uint64
	var buf []byte
	err = c.time(func() error {
		turn := time.Now()
		for {
			if _, ok := w.Next(); !ok {
				return ctx.Err()
			}
			o := w.Step()
			for i := range o.Deliveries {
				for j := range o.Deliveries[i].Events {
					buf = events.AppendReport(buf[:0], &o.Deliveries[i].Events[j])
				}
			}
			if w.Made() >= (len(took)+1)*min(worldTurn, n) {
				took, turn = append(took, time.Since(turn)), time.Now()
				if len(took)%20 == 1 {
					peak = max(peak, heap())
				}
				if ctx.Err() != nil {
					return ctx.Err()
				}
			}
		}
	})
	out.measured(n, &c, took)
	out.What = fmt.Sprintf("logins of a mixed day with their reports, callbacks and truth; at most %d MB of memory", peak>>20)
	out.compare(stays(min(n, 100_000)))
	return out, errors.Join(err, stop())
}

// heap is the memory that the process holds for its data.
func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapSys
}

// stays is how many logins a second the machines alone carry.
func stays(n int) float64 {
	rooms, profile := room.NewRooms(room.Rules{}), room.Profile{ComputedBeats: true}
	now := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	carry := func(e *room.Engine, now time.Time, out room.Output) {
		for _, m := range out.Send {
			for _, m := range rooms.Step(now, room.Received{Message: m}).Send {
				e.Step(now, room.Received{Message: m})
			}
		}
	}
	began := time.Now()
	for i := range n {
		at, name := room.Endpoint{User: fmt.Sprint("user-", i), Device: "d"}, fmt.Sprint("room-", i/5)
		e := room.NewEngine(at, profile, uint64(i))
		carry(e, now, e.Step(now, room.Login{Room: name}))
		lost, back := now.Add(time.Minute), now.Add(64*time.Second)
		e.Step(lost, room.LinkDown{})
		e.Step(lost, room.LinkUp{})
		carry(e, back, e.Step(back, room.Timeout{}))
		carry(e, back, e.Step(back, room.Logout{}))
		now = now.Add(50 * time.Millisecond)
	}
	return float64(n) / time.Since(began).Seconds()
}

// seeds runs small worlds and holds every step against the promises.
func (b *bench) seeds(ctx context.Context, _ *report) (row, error) {
	n := b.flags.Seeds
	out := row{Name: "seeds", Unit: "worlds", What: "small worlds of about fifty actions, each step held against the promises", Timed: "a world", Limit: seedsLimit}
	b.say("seeds: %d small worlds", n)
	var c, limit clock
	var took []time.Duration
	each := func(c *clock, isChecked bool) error {
		return c.time(func() error {
			for seed := range n {
				began := time.Now()
				if err := smallWorld(uint64(seed), isChecked); err != nil {
					return err
				}
				if isChecked {
					took = append(took, time.Since(began))
				}
				if ctx.Err() != nil {
					return ctx.Err()
				}
			}
			return nil
		})
	}
	if err := errors.Join(each(&c, true), each(&limit, false)); err != nil {
		return out, err
	}
	out.measured(n, &c, took)
	out.compare(float64(n) / limit.elapsed.Seconds())
	return out, nil
}

func smallWorld(seed uint64, isChecked bool) error {
	names := sim.Scenarios()
	w, err := sim.New(sim.Config{Seed: seed, Scenario: names[seed%uint64(len(names))], Logins: 5, Over: 10 * time.Minute, Check: isChecked})
	if err != nil {
		return err
	}
	for {
		if _, ok := w.Next(); !ok {
			break
		}
		w.Step()
	}
	if faults := w.Faults(); len(faults) > 0 {
		return fmt.Errorf("seed %d: %s", seed, faults[0])
	}
	return nil
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"roomtrail/recordings"
)

// player reports recorded callbacks and scripted cases, moved so that the
// last event of each happens now, again and again with other users.
type player struct {
	url, key string
	out      io.Writer

	scripts  []script
	played   int
	accepted int
	rejected int
}

// script is one story: events with their distance to the last of them.
type script struct {
	name   string
	events []map[string]any // occurred_at is missing
	before []time.Duration
}

// beginnings are scripts that are played at once, spread over the last hour,
// so that there is something to see from the first minute on.
const beginnings = 80

func (p *player) run(ctx context.Context) error {
	var err error
	if p.scripts, err = loadScripts(); err != nil {
		return err
	}
	fmt.Fprintf(p.out, "Playing %d recorded and scripted stories; the first %d are spread over the last hour.\n", len(p.scripts), beginnings)
	run := time.Now().Unix() // a second start must not repeat sessions
	told := time.Now()
	for n := 0; ctx.Err() == nil; n++ {
		end := time.Now()
		if n < beginnings {
			end = end.Add(-time.Hour * time.Duration(beginnings-n) / beginnings)
		}
		s := p.scripts[n%len(p.scripts)]
		if err := p.play(ctx, s, fmt.Sprintf("%d-%d", run, n), n, end); err != nil && ctx.Err() == nil {
			fmt.Fprintf(p.out, "playing %s: %v\n", s.name, err)
		}
		if every := p.every(); time.Since(told) > every {
			told = time.Now()
			p.tell(s.name)
		}
		if n >= beginnings {
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
	return nil
}

// every is how often a line tells how far it is: on a terminal it is
// overwritten.
func (p *player) every() time.Duration {
	if p.isTerminal() {
		return time.Second
	}
	return 15 * time.Second
}

func (p *player) isTerminal() bool {
	f, ok := p.out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (p *player) tell(name string) {
	line := fmt.Sprintf("%d stories played, %d events accepted, %d rejected; now %s", p.played, p.accepted, p.rejected, name)
	if p.isTerminal() {
		fmt.Fprintf(p.out, "\r\x1b[K%.78s", line)
		return
	}
	fmt.Fprintln(p.out, line)
}

// play posts one story as its reporters would.
func (p *player) play(ctx context.Context, s script, suffix string, n int, end time.Time) error {
	list := make([]map[string]any, len(s.events))
	for i, e := range s.events {
		list[i] = dress(e, suffix, n)
		list[i]["occurred_at"] = end.Add(-s.before[i]).UnixMilli()
	}
	body, err := json.Marshal(map[string]any{"sent_at": time.Now().UnixMilli(), "events": list})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/v1/events", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+p.key)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the intake answers %s: %s", res.Status, text)
	}
	var answer struct{ Accepted, Rejected int }
	if err := json.Unmarshal(text, &answer); err != nil {
		return err
	}
	p.played++
	p.accepted += answer.Accepted
	p.rejected += answer.Rejected
	return nil
}

var (
	rooms    = []string{"lobby", "class-101", "class-102", "stage", "support", "town-hall"}
	networks = []string{"wifi", "cellular", "wifi", "ethernet", "cellular"}
	carriers = []string{"", "carrier-a", "", "", "carrier-b"}
	regions  = []string{"eu-west", "cn-east", "us-east", "cn-east"}
)

// dress gives an event of a script another user, session, room and network.
// A room that is missing or odd stays so: the verdict is part of the story.
func dress(e map[string]any, suffix string, n int) map[string]any {
	out := make(map[string]any, len(e)+6)
	for k, v := range e {
		out[k] = v
	}
	out["app_id"] = app
	out["session_id"] = fmt.Sprintf("%v-%s", e["session_id"], suffix)
	out["user_id"] = fmt.Sprintf("user-%d", n%97)
	out["device_id"] = fmt.Sprintf("device-%d", n%97)
	if room, ok := e["room_id"].(string); ok && room != "" {
		out["room_id"] = rooms[(n+len(room)+int(room[len(room)-1]))%len(rooms)]
	}
	if _, ok := e["network"]; !ok {
		out["network"], out["carrier"] = networks[n%len(networks)], carriers[n%len(carriers)]
	}
	out["region"] = regions[n%len(regions)]
	return out
}

// leftOut are cases whose point lies in times, copies or gaps that moving
// them to now would spoil, or that only lists transitions.
var leftOut = []string{"09-", "10-", "15-", "16-", "17-", "20-", "21-", "22-", "24-"}

func loadScripts() ([]script, error) {
	traces, err := recordings.Traces()
	if err != nil {
		return nil, err
	}
	cases, err := recordings.Cases()
	if err != nil {
		return nil, err
	}
	var out []script
next:
	for _, c := range cases {
		for _, prefix := range leftOut {
			if strings.HasPrefix(c.Name, prefix) {
				continue next
			}
		}
		s, err := fromCase(c)
		if err != nil {
			return nil, fmt.Errorf("read case %s: %w", c.Name, err)
		}
		out = append(out, s)
	}
	for _, t := range traces {
		s := script{name: t.Name}
		last := t.Reports[len(t.Reports)-1].After
		for _, r := range t.Reports {
			s.events = append(s.events, r.Fields)
			s.before = append(s.before, last-r.After)
		}
		out = append(out, s)
	}
	// Real and scripted ones in turn, so that each moment shows both.
	mixed := make([]script, 0, len(out))
	for i, j := 0, len(out)-1; i <= j; i, j = i+1, j-1 {
		mixed = append(mixed, out[i])
		if i != j {
			mixed = append(mixed, out[j])
		}
	}
	return mixed, nil
}

func fromCase(c recordings.Case) (script, error) {
	s := script{name: c.Name}
	var at []time.Time
	for _, raw := range c.Events {
		var e map[string]any
		if err := json.Unmarshal(raw, &e); err != nil {
			return s, err
		}
		text, _ := e["occurred_at"].(string)
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return s, err
		}
		delete(e, "occurred_at")
		delete(e, "received_at")
		delete(e, "sent_at")
		s.events, at = append(s.events, e), append(at, t)
	}
	last := at[0]
	for _, t := range at {
		if t.After(last) {
			last = t
		}
	}
	for _, t := range at {
		s.before = append(s.before, last.Sub(t))
	}
	return s, nil
}

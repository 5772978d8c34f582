package fleet_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"roomtrail/events"
	"roomtrail/fleet"
	"roomtrail/sim"
)

// door is an intake that answers as it is told to.
type door struct {
	mu      sync.Mutex
	events  map[string]int // by session/seq
	offsets map[string]time.Duration
	calls   int
	answer  func(n int, w http.ResponseWriter) bool // true where it has answered
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	body, _ := io.ReadAll(r.Body)
	if d.answer != nil && d.answer(d.calls, w) {
		return
	}
	var report struct {
		SentAt time.Time         `json:"sent_at"`
		Events []json.RawMessage `json:"events"`
	}
	if err := json.Unmarshal(body, &report); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, raw := range report.Events {
		e, err := events.FromReport(time.Now(), raw)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		d.events[fmt.Sprint(e.SessionID, "/", e.Seq)]++
		d.offsets[e.DeviceID] = time.Since(report.SentAt)
	}
	fmt.Fprintf(w, `{"accepted":%d,"rejected":0,"results":[]}`, len(report.Events))
}

// run lets a small world happen to a door, long ago, as fast as it goes.
func run(t *testing.T, d *door, scenario string) (*fleet.Fleet, []sim.Login, []string, error) {
	t.Helper()
	d.events, d.offsets = map[string]int{}, map[string]time.Duration{}
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	world, err := sim.New(sim.Config{Seed: 2, Scenario: scenario, Logins: 60, Start: time.Now().Add(-30 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	var logins []sim.Login
	var said []string
	var mu sync.Mutex
	f := &fleet.Fleet{
		World: world, Intake: server.URL, Key: "k",
		Each: func(o sim.Output) error { logins = append(logins, o.Logins...); return nil },
		Say: func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			said = append(said, fmt.Sprintf(format, args...))
		},
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err = f.Run(ctx)
	return f, logins, said, err
}

// What the world delivers arrives, with the clocks as far off as the world has
// made them, also where the intake fails now and then.
func TestEverythingArrives(t *testing.T) {
	t.Parallel()
	d := &door{answer: func(n int, w http.ResponseWriter) bool {
		switch n % 7 {
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		case 4:
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}
		return false
	}}
	f, logins, said, err := run(t, d, "bad-clocks")
	if err != nil || len(logins) != 60 {
		t.Fatalf("%d logins, %v", len(logins), err)
	}
	delivered := 0
	for _, l := range logins {
		for _, e := range l.Events {
			if got := d.events[fmt.Sprint(l.SessionID, "/", e.Seq)] > 0; got != e.Delivered {
				t.Errorf("%s/%d: arrived is %v, delivered is %v", l.SessionID, e.Seq, got, e.Delivered)
			}
			if e.Delivered {
				delivered++
			}
		}
		if off := d.offsets[l.DeviceID] + time.Duration(l.ClockMS)*time.Millisecond; l.ClockMS != 0 && off.Abs() > 3*time.Hour {
			t.Errorf("%s: its clock is %d ms ahead, and the intake measures %v", l.DeviceID, l.ClockMS, d.offsets[l.DeviceID])
		}
	}
	if f.Accepted.Load() < int64(delivered) || f.Retries.Load() == 0 {
		t.Errorf("%d accepted after %d retries, %d were delivered", f.Accepted.Load(), f.Retries.Load(), delivered)
	}
	if text := strings.Join(said, "\n"); !strings.Contains(text, "sent again") || !strings.Contains(text, "answers again") {
		t.Errorf("a person was told\n%s", text)
	}
}

func TestARefusalEndsTheRun(t *testing.T) {
	t.Parallel()
	d := &door{answer: func(_ int, w http.ResponseWriter) bool {
		http.Error(w, "the write key is missing", http.StatusUnauthorized)
		return true
	}}
	if _, _, _, err := run(t, d, "calm"); err == nil || !strings.Contains(err.Error(), "401") || !strings.Contains(err.Error(), "the write key is missing") {
		t.Errorf("error is %v, want the intake's own words", err)
	}
}

func TestRejectedEventsAreTold(t *testing.T) {
	t.Parallel()
	d := &door{answer: func(_ int, w http.ResponseWriter) bool {
		fmt.Fprint(w, `{"accepted":0,"rejected":1,"results":[{"index":0,"field":"app_id","error":"not for this app"}]}`)
		return true
	}}
	f, _, said, err := run(t, d, "calm")
	if err != nil || f.Accepted.Load() != 0 || f.Rejected.Load() == 0 {
		t.Errorf("%d accepted, %d rejected, %v", f.Accepted.Load(), f.Rejected.Load(), err)
	}
	if len(said) != 1 || !strings.Contains(said[0], "app_id: not for this app") {
		t.Errorf("a person was told %q", said)
	}
}

// An error of who looks on ends the run, and the world never gets ahead of the
// clock on the wall.
func TestPace(t *testing.T) {
	t.Parallel()
	start := time.Now()
	world, err := sim.New(sim.Config{Seed: 2, Logins: 500, Over: time.Minute, Start: start})
	if err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	f := &fleet.Fleet{World: world, Intake: "http://127.0.0.1:1", Each: func(sim.Output) error {
		if ahead := time.Until(world.Now()); ahead > 0 {
			t.Errorf("the world is %v ahead", ahead)
		}
		if world.Now().Sub(start) > 300*time.Millisecond {
			return enough
		}
		return nil
	}}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := f.Run(ctx); !errors.Is(err, enough) {
		t.Errorf("the run ended with %v", err)
	}
}

func TestCheckURL(t *testing.T) {
	t.Parallel()
	for url, ok := range map[string]bool{"http://127.0.0.1:8080": true, "https://a.example/x": true, "localhost:8080": false, "foo": false, "": false, "ftp://a": false} {
		if err := fleet.CheckURL(url); (err == nil) != ok {
			t.Errorf("%q: %v", url, err)
		}
	}
}

package pipeline_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/intake"
	"roomtrail/pipeline"
	"roomtrail/projections"
	"roomtrail/projections/projectionstest"
	"roomtrail/readmodel/readmodeltest"
	"roomtrail/recordings"
)

func TestMain(m *testing.M) {
	if os.Getenv(childDir) != "" {
		os.Exit(child())
	}
	if os.Getenv(childServers) != "" {
		os.Exit(projector())
	}
	os.Exit(readmodeltest.Main(m))
}

// stack is a whole write side whose clock the test sets.
type stack struct {
	*pipeline.Pipeline
	reader string
	now    atomic.Pointer[time.Time]
}

func start(t testing.TB, partitions int) *stack {
	t.Helper()
	owner, reader := readmodeltest.Database(t)
	s := &stack{reader: reader}
	p, err := pipeline.Start(context.Background(), pipeline.Config{
		DatabaseURL: owner, DataDir: t.TempDir(), Throwaway: true, Intake: true, Project: true,
		Listen: "127.0.0.1:0", Partitions: partitions, MaxBytes: 64 << 20,
		Callbacks: intake.Callbacks{Secrets: map[string][]string{"1": {callbackSecret}}},
		Now: func() time.Time {
			if at := s.now.Load(); at != nil {
				return *at
			}
			return time.Now()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Pipeline = p
	t.Cleanup(func() {
		if err := p.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

type reply struct {
	Accepted, Rejected int
	Results            []struct {
		Index        int
		Error, Field string
	}
}

// post sends a body through the real door.
func (s *stack) post(t testing.TB, body []byte) reply {
	t.Helper()
	res, err := http.Post(s.IntakeURL()+"/v1/events", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("POST answers %d %s, %v", res.StatusCode, text, err)
	}
	var r reply
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// views reads every outward view at the given time, when all is applied.
func (s *stack) views(t testing.TB, now time.Time) map[string][]projectionstest.Row {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := s.Drain(ctx); err != nil {
		t.Fatal(err)
	}
	return readViews(t, s.reader, now)
}

func readViews(t testing.TB, reader string, now time.Time) map[string][]projectionstest.Row {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, reader)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "SELECT set_config('roomtrail.now', $1, false)", now.Format(time.RFC3339Nano)); err != nil {
		t.Fatal(err)
	}
	got := map[string][]projectionstest.Row{}
	for _, view := range projections.PublicViews {
		rows, err := conn.Query(ctx, "SELECT * FROM "+view)
		if err != nil {
			t.Fatal(err)
		}
		if got[view], err = pgx.CollectRows(rows, pgx.RowToMap); err != nil {
			t.Fatal(err)
		}
	}
	return got
}

// Every conformance case by HTTP through JetStream into Postgres, with the
// intake's clock and the views' set to the case's times.
func TestConformanceCasesThroughTheDoor(t *testing.T) {
	t.Parallel()
	for _, c := range projectionstest.Cases(t) {
		for _, partitions := range []int{1, 4} {
			t.Run(fmt.Sprintf("%s/%d", c.Name, partitions), func(t *testing.T) {
				t.Parallel()
				s := start(t, partitions)
				for i, raw := range c.Events {
					sent, received, err := projectionstest.Times(raw)
					if err != nil {
						t.Fatal(err)
					}
					s.now.Store(&received)
					body := raw
					if !sent.IsZero() {
						body = fmt.Appendf(nil, `{"sent_at":%q,"events":[%s]}`, sent.Format(time.RFC3339Nano), raw)
					}
					if r := s.post(t, body); r.Accepted != 1 {
						t.Fatalf("event %d: %+v", i, r)
					}
				}
				c.Check(t, s.views(t, c.Now))
			})
		}
	}
}

// The callbacks of the vendor's SDK, as recorded.
func TestRecordedCallbacksThroughTheDoor(t *testing.T) {
	t.Parallel()
	traces, err := recordings.Traces()
	if err != nil || len(traces) != 21 {
		t.Fatalf("%d traces, %v; want 21", len(traces), err)
	}
	start_ := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	for _, trace := range traces {
		want, ok := recorded[trace.Name]
		if !ok {
			t.Errorf("trace %s: nothing is expected of it", trace.Name)
			continue
		}
		t.Run(trace.Name, func(t *testing.T) {
			t.Parallel()
			s := start(t, 1)
			var rejected []string
			for _, r := range trace.Reports {
				got := s.post(t, r.JSON(start_))
				for _, v := range got.Results {
					rejected = append(rejected, v.Field)
				}
			}
			views := s.views(t, start_.Add(2*time.Hour))
			check := projectionstest.Case{Case: recordings.Case{Name: trace.Name, Expect: want.rows}}
			check.Check(t, views)
			if fmt.Sprint(rejected) != fmt.Sprint(want.rejected) {
				t.Errorf("rejected for %v; want %v", rejected, want.rejected)
			}
			if n := len(views["room_events"]); n != len(trace.Reports)-len(want.rejected) {
				t.Errorf("%d events are stored, of %d reports", n, len(trace.Reports))
			}
		})
	}
}

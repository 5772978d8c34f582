package pipeline_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"roomtrail/projections/projectionstest"
)

// Every conformance case by HTTP while the number of partitions changes amid
// it: a session that lies in two generations reads as one that lies in one, and
// the door and the projector go on without a restart.
func TestConformanceCasesAcrossGenerations(t *testing.T) {
	t.Parallel()
	for i, c := range projectionstest.Cases(t) {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			s := start(t, 1+i%2)
			for n, raw := range c.Events {
				if n == len(c.Events)/2 {
					if err := s.Repartition(context.Background(), 3); err != nil {
						t.Fatal(err)
					}
				}
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
					t.Fatalf("event %d: %+v", n, r)
				}
			}
			if g := s.Log().Generation(); g != 2 {
				t.Fatalf("generation %d is written to, want 2", g)
			}
			c.Check(t, s.views(t, c.Now))
		})
	}
}

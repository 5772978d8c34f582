package readmodel_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"roomtrail/events"
	"roomtrail/projections"
	"roomtrail/projections/projectionstest"
	"roomtrail/readmodel"
	"roomtrail/readmodel/readmodeltest"
)

// tape is a log of one partition. Before each read it does what the test wants.
type tape struct {
	facts  []events.Stored
	before func()
}

func (l *tape) Read(_ context.Context, after events.Position, limit int) (events.Batch, error) {
	if l.before != nil {
		l.before()
	}
	rest := l.facts[after.Seq:]
	return events.Batch{Facts: rest[:min(limit, len(rest))], LogLast: uint64(len(l.facts)), LogCreated: made}, nil
}

var made = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// stored gives facts all that a log gives them.
func stored(facts []events.Stored) []events.Stored {
	out := place(facts, 0)
	for i := range out {
		out[i].StoredAt = made.Add(time.Duration(i) * time.Millisecond)
		out[i].Digest = events.Digest(events.Encode(&out[i].Event))
	}
	return out
}

const shortLease = 400 * time.Millisecond

func openAs(t testing.TB, owner, who string) *readmodel.ReadModel {
	t.Helper()
	m, err := readmodel.Open(context.Background(), readmodeltest.As(owner, who), readmodel.Config{Owner: who, Lease: shortLease})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// An owner freezes amid a batch, another takes over when the lease has run
// out, the first wakes and goes on as if nothing were: it writes nothing.
func TestAFrozenOwnerWritesNothing(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC)
	facts := stored(disturbed(hour()))
	for what, c := range map[string]struct {
		inTransaction bool // it freezes there, holding its locks; else before it
		steps         int  // of the second before the first wakes
	}{
		"before its transaction, woken when another has claimed": {false, 0},
		"before its transaction, woken when another has applied": {false, 3},
		"in its transaction, woken when another has claimed":     {true, 0},
		"in its transaction, woken when another has applied":     {true, 3},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			owner, reader := readmodeltest.Database(t)
			readmodeltest.Audit(t, owner)
			frozen, wake := make(chan bool), make(chan bool)
			freezes := true
			freeze := func() {
				if freezes {
					freezes = false
					frozen <- true
					<-wake
				}
			}
			one := openAs(t, owner, "one")
			log := &tape{facts: facts}
			if c.inTransaction {
				one.Break(func(events.Stored) bool { freeze(); return false })
			} else {
				log.before = freeze
			}
			first := &projections.Runner{Log: log, Store: one, Generation: 1, Limit: 20}
			failed := make(chan error)
			go func() {
				_, err := first.Step(ctx)
				failed <- err
			}()
			<-frozen
			began := time.Now()

			two := openAs(t, owner, "two")
			second := &projections.Runner{Log: &tape{facts: facts}, Store: two, Generation: 1, Limit: 20}
			refused := 0
			for {
				_, err := two.Claim(ctx, 1, 0)
				if err == nil {
					break
				}
				if !errors.Is(err, projections.ErrOwned) {
					t.Fatal(err)
				}
				refused++
				time.Sleep(10 * time.Millisecond)
			}
			if took := time.Since(began); refused == 0 || took > shortLease+5*time.Second {
				t.Errorf("the second took over after %s and %d refusals", took, refused)
			}
			for range c.steps {
				if _, err := second.Step(ctx); err != nil {
					t.Fatal(err)
				}
			}
			wake <- true
			err := <-failed
			if err == nil || !c.inTransaction && !errors.Is(err, projections.ErrFenced) {
				t.Errorf("the first woke and was told %v; want that it is fenced", err)
			}
			if _, err := first.Step(ctx); !errors.Is(err, projections.ErrOwned) {
				t.Errorf("the first tried again and was told %v; want that it is owned", err)
			}
			for n := 1; n > 0; {
				if n, err = second.Step(ctx); err != nil {
					t.Fatal(err)
				}
			}
			found := readmodeltest.CheckAudit(t, owner)
			if found.Facts != len(facts) || found.Owners != 1 {
				t.Errorf("%+v; want %d facts, all by the second", found, len(facts))
			}
			settle(t, two)
			projectionstest.Same(t, views(t, reader, now), whole(t, facts, now))
		})
	}
}

// whole is what the views say when one reader applies all facts at once.
func whole(t testing.TB, facts []events.Stored, now time.Time) map[string][]projectionstest.Row {
	t.Helper()
	owner, reader := readmodeltest.Database(t)
	m := readmodeltest.Open(t, owner)
	r := &projections.Runner{Log: &tape{facts: facts}, Store: m, Generation: 1, Limit: len(facts)}
	if n, err := r.Step(context.Background()); n != len(facts) || err != nil {
		t.Fatalf("applied %d of %d facts, %v", n, len(facts), err)
	}
	settle(t, m)
	return views(t, reader, now)
}

// A session lies in one partition of each generation, so no two generations
// are applied at once: a claim waits for the owners of another generation, and
// fences them when their leases have run out.
func TestGenerationsHaveOneOwnerAtATime(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	owner, _ := readmodeltest.Database(t)
	one, two := openAs(t, owner, "one"), openAs(t, owner, "two")
	at, err := one.Claim(ctx, 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := two.Claim(ctx, 2, 0); !errors.Is(err, projections.ErrOwned) {
		t.Errorf("generation 2 beside generation 1: %v; want that it is owned", err)
	}
	if _, err := two.Claim(ctx, 1, 0); err != nil {
		t.Errorf("another partition of the same generation: %v", err)
	}
	if err := two.Release(ctx); err != nil {
		t.Fatal(err)
	}
	time.Sleep(shortLease + 50*time.Millisecond) // the first is frozen
	if _, err := two.Claim(ctx, 2, 0); err != nil {
		t.Fatalf("generation 2 when the lease has run out: %v", err)
	}
	if err := one.Idle(ctx, at, 0); !errors.Is(err, projections.ErrFenced) {
		t.Errorf("the first woke and was told %v; want that it is fenced", err)
	}
	batch := events.Batch{Facts: stored(hour())[:5], LogCreated: made}
	if _, err := one.Apply(ctx, at, batch); !errors.Is(err, projections.ErrFenced) {
		t.Errorf("the first applied and was told %v; want that it is fenced", err)
	}
	if _, err := one.Claim(ctx, 1, 3); !errors.Is(err, projections.ErrOwned) {
		t.Errorf("the first claimed again and was told %v; want that it is owned", err)
	}
}

// Two generations that claim at the same moment: one of them gets its will.
func TestClaimsOfGenerationsDoNotOverlookEachOther(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	owner, _ := readmodeltest.Database(t)
	models := []*readmodel.ReadModel{openAs(t, owner, "one"), openAs(t, owner, "two")}
	for range 20 {
		errs := make(chan error, 2)
		for i, m := range models {
			go func() {
				_, err := m.Claim(ctx, i+1, 0)
				errs <- err
			}()
		}
		a, b := <-errs, <-errs
		if (a == nil) == (b == nil) || !errors.Is(errors.Join(a, b), projections.ErrOwned) {
			t.Fatalf("claims of two generations at once: %v, %v; want one of them owned", a, b)
		}
		for _, m := range models {
			if err := m.Release(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// What waits in a generation whose turn has not come can be seen, and one that
// is done shows no lag.
func TestStatusKnowsSeveralGenerations(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	owner, reader := readmodeltest.Database(t)
	m := readmodeltest.Open(t, owner)
	states := func() (out []string) {
		for _, row := range views(t, reader, time.Now())["pipeline_status"] {
			out = append(out, fmt.Sprintf("%d %d %s %d", row["generation"], row["partition"], row["state"], row["lag_events"]))
		}
		slices.Sort(out)
		return out
	}
	readmodeltest.Apply(t, m, hour(), 0)
	await := []events.Ref{{Generation: 2, Partition: 0, Seq: 7}, {Generation: 2, Partition: 1}}
	if err := m.Await(ctx, await); err != nil {
		t.Fatal(err)
	}
	if got, want := states(), []string{"1 0 running 0", "2 0 waiting 7", "2 1 waiting 0"}; !slices.Equal(got, want) {
		t.Errorf("%q; want %q", got, want)
	}
	if n, err := m.Behind(ctx, append(await, events.Ref{Generation: 1, Seq: uint64(len(hour())) + 2})); n != 9 || err != nil {
		t.Errorf("%d events behind, %v; want 9", n, err)
	}
	if _, err := m.Claim(ctx, 2, 1); err != nil {
		t.Fatal(err)
	}
	if err := m.Await(ctx, []events.Ref{{Generation: 2, Partition: 1, Seq: 99}}); err != nil { // it is claimed by now
		t.Fatal(err)
	}
	if got, want := states(), []string{"1 0 done 0", "2 0 waiting 7", "2 1 running 0"}; !slices.Equal(got, want) {
		t.Errorf("%q; want %q", got, want)
	}
}

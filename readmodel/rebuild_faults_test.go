package readmodel_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"roomtrail/events"
	"roomtrail/projections"
	"roomtrail/readmodel"
	"roomtrail/readmodel/readmodeltest"
)

// killer ends a rebuild at its nth statement.
type killer struct {
	left atomic.Int64
	kill context.CancelFunc
}

func (k *killer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	if k.left.Add(-1) == 0 {
		k.kill()
	}
	return ctx
}

func (k *killer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// killed runs a rebuild that ends at its nth statement, and says whether it came
// to its end before.
func killed(t testing.TB, url string, n int, config readmodel.RebuildConfig) bool {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	k := &killer{kill: cancel}
	k.left.Store(int64(n))
	_, err := readmodel.Rebuild(ctx, url, config.WithTracer(k))
	if err != nil && ctx.Err() == nil {
		t.Fatalf("killed at statement %d: %v", n, err)
	}
	return err == nil
}

// Killed at any statement, a rebuild is gone on with by the next one, while the
// live read model goes on too. Readers see the same all the time.
func TestRebuildKilledAndResumed(t *testing.T) {
	t.Parallel()
	facts := randomLife(11, 600)
	step := 9
	if testing.Short() {
		step = 40
	}
	for offset := range 2 {
		t.Run(fmt.Sprint("from ", offset), func(t *testing.T) {
			t.Parallel()
			owner, reader := readmodeltest.Database(t)
			m := readmodeltest.Open(t, owner)
			readmodeltest.Apply(t, m, facts[:300], 50)
			settle(t, m)
			applied := 300
			kills := 0
			for n := 4 + offset*step/2; !killed(t, owner, n, readmodel.RebuildConfig{}); n += step {
				kills++
				if applied < len(facts) && kills%4 == 0 {
					readmodeltest.Apply(t, m, facts[applied:applied+20], 7)
					applied += 20
				}
				if kills > 2000 {
					t.Fatal("it never comes to its end")
				}
			}
			if !testing.Short() && kills < 20 {
				t.Errorf("it was killed only %d times", kills)
			}
			readmodeltest.Apply(t, m, facts[applied:], 7)
			settle(t, m)
			after := shown(t, reader)
			noDifference(t, rebuilt(t, owner, readmodel.RebuildConfig{DryRun: true}))

			other, otherReader := readmodeltest.Database(t)
			n := readmodeltest.Open(t, other)
			readmodeltest.Apply(t, n, facts, 100)
			settle(t, n)
			same(t, "killed and resumed", after, shown(t, otherReader))
		})
	}
}

// What was folded is not folded again after a stop.
func TestRebuildGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	owner, _ := readmodeltest.Database(t)
	m := readmodeltest.Open(t, owner)
	readmodeltest.Apply(t, m, randomLife(3, 200), 0)
	settle(t, m)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_, err := readmodel.Rebuild(ctx, owner, readmodel.RebuildConfig{Progress: func(p readmodel.RebuildProgress) {
		if p.Step == readmodel.StepCompare {
			cancel()
		}
	}})
	if err == nil {
		t.Fatal("it was not stopped")
	}
	if n := count(t, owner, "SELECT count(*) FROM pipeline_status WHERE state = 'rebuilding' AND NOT live AND lag_events = 0"); n != 1 {
		t.Errorf("pipeline_status shows %d rows of the rebuild, want 1", n)
	}
	r := rebuilt(t, owner, readmodel.RebuildConfig{})
	if !r.Resumed || r.Facts != 200 {
		t.Errorf("the second run reports %+v", r)
	}
	if n := count(t, owner, "SELECT count(*) FROM pipeline_status"); n != 1 {
		t.Errorf("pipeline_status shows %d rows afterwards, want 1", n)
	}
}

// A dry run names what would differ and leaves everything as it is.
func TestDryRunFindsATamperedRow(t *testing.T) {
	t.Parallel()
	owner, reader := readmodeltest.Database(t)
	m := readmodeltest.Open(t, owner)
	readmodeltest.Apply(t, m, randomLife(1, 400), 100)
	settle(t, m)
	right := shown(t, reader)
	execute(t, owner, "UPDATE "+projections.Schema()+".logins SET connected_ms = connected_ms + 1 WHERE (set_id, login_no) = (SELECT set_id, login_no FROM "+projections.Schema()+".logins LIMIT 1)")
	execute(t, owner, "DELETE FROM "+projections.Schema()+".anomalies WHERE ctid = (SELECT ctid FROM "+projections.Schema()+".anomalies LIMIT 1)")
	wrong := shown(t, reader)
	r := rebuilt(t, owner, readmodel.RebuildConfig{DryRun: true})
	for _, v := range r.Views {
		want := [2]int64{}
		switch v.View {
		case "sessions":
			want = [2]int64{1, 1}
			if !slices.Equal(v.Columns, []string{"connected_ms"}) || len(v.Samples) != 2 || !strings.HasPrefix(v.Samples[0], "live {") {
				t.Errorf("sessions differ in %v: %v", v.Columns, v.Samples)
			}
		case "room_impact": // its minutes of being connected
			want = [2]int64{1, 1}
		case "anomalies":
			want = [2]int64{0, 1}
		}
		if got := [2]int64{v.OnlyLive, v.OnlyRebuilt}; got != want {
			t.Errorf("%s: %v rows differ, want %v", v.View, got, want)
		}
	}
	if r.Switched || !r.Differs() {
		t.Errorf("the report is %+v", r)
	}
	same(t, "after a dry run", shown(t, reader), wrong)
	if n := count(t, owner, "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'rm\\_%') + (SELECT count(*) FROM roomtrail.rebuilds)"); n != 1 {
		t.Errorf("%d schemas and rows are there, want the live schema alone", n)
	}
	rebuilt(t, owner, readmodel.RebuildConfig{})
	same(t, "after a rebuild", shown(t, reader), right)
}

// A profile that is changed for the past counts after a rebuild, and one that is
// changed during a rebuild makes it begin anew.
func TestRebuildTakesAChangedProfile(t *testing.T) {
	t.Parallel()
	owner, reader := readmodeltest.Database(t)
	m := readmodeltest.Open(t, owner)
	facts := randomLife(2, 600)
	readmodeltest.Apply(t, m, facts[:300], 100)
	settle(t, m)
	change := func(to int) {
		execute(t, owner, fmt.Sprintf("UPDATE roomtrail.profiles SET heartbeat_timeout_ms = %d", to))
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_, err := readmodel.Rebuild(ctx, owner, readmodel.RebuildConfig{Progress: func(p readmodel.RebuildProgress) {
		if p.Step == readmodel.StepSettle {
			cancel()
		}
	}})
	if err == nil {
		t.Fatal("it was not stopped")
	}
	change(1000)
	r := rebuilt(t, owner, readmodel.RebuildConfig{})
	if r.Resumed || !r.Differs() {
		t.Errorf("the report is %+v", r)
	}
	changed := false
	_, err = readmodel.Rebuild(context.Background(), owner, readmodel.RebuildConfig{Progress: func(p readmodel.RebuildProgress) {
		if p.Step == readmodel.StepCompare && !changed {
			changed = true
			change(2000)
		}
	}})
	if err == nil || !strings.Contains(err.Error(), "profiles were changed") {
		t.Errorf("a change during a rebuild gives %v", err)
	}
	change(1000)
	rebuilt(t, owner, readmodel.RebuildConfig{})
	readmodeltest.Apply(t, m, facts[300:], 100) // with states of the new limits
	settle(t, m)

	other, otherReader := readmodeltest.Database(t)
	execute(t, other, "UPDATE roomtrail.profiles SET heartbeat_timeout_ms = 1000")
	n := readmodeltest.Open(t, other)
	readmodeltest.Apply(t, n, facts, 100)
	settle(t, n)
	same(t, "with the changed profile", shown(t, reader), shown(t, otherReader))
}

// A session that cannot be folded is named, and nothing is switched.
func TestRebuildRefusesWhatItCannotFold(t *testing.T) {
	t.Parallel()
	owner, reader := readmodeltest.Database(t)
	m := readmodeltest.Open(t, owner)
	readmodeltest.Apply(t, m, twoSessions(t), 3)
	settle(t, m)
	before := shown(t, reader)
	config := readmodel.RebuildConfig{}.WithBreak(func(f events.Stored) bool { return f.SessionID == "ill" && f.Reason == events.Reconnecting })
	_, err := readmodel.Rebuild(context.Background(), owner, config)
	if err == nil || !strings.Contains(err.Error(), "session ill of user u-ill in room r of app a") || strings.Contains(err.Error(), "u-well") {
		t.Fatalf("the rebuild gives %v", err)
	}
	same(t, "after a refusal", shown(t, reader), before)
	if r := rebuilt(t, owner, readmodel.RebuildConfig{}); r.Resumed || !r.Switched {
		t.Errorf("mended: %+v", r)
	}
	same(t, "mended", shown(t, reader), before)
}

// Only one runs at a time.
func TestOneRebuildAtATime(t *testing.T) {
	t.Parallel()
	owner, _ := readmodeltest.Database(t)
	var second error
	rebuilt(t, owner, readmodel.RebuildConfig{Progress: func(p readmodel.RebuildProgress) {
		if p.Step == readmodel.StepCompare && second == nil {
			_, second = readmodel.Rebuild(context.Background(), owner, readmodel.RebuildConfig{})
		}
	}})
	if second == nil || !strings.Contains(second.Error(), "another one runs") {
		t.Errorf("the second gives %v", second)
	}
}

// The owner of before is fenced by the switch.
func TestRebuildFencesWriters(t *testing.T) {
	t.Parallel()
	owner, _ := readmodeltest.Database(t)
	m, at := claimed(t, owner)
	rebuilt(t, owner, readmodel.RebuildConfig{})
	if _, err := m.Apply(context.Background(), at, events.Batch{Facts: place(hour(), 0)}); !errors.Is(err, projections.ErrFenced) {
		t.Errorf("Apply after the switch gives %v; want ErrFenced", err)
	}
	if _, err := m.Claim(context.Background(), 1, 0); err != nil {
		t.Errorf("a claim after the switch gives %v", err)
	}
}

func execute(t testing.TB, url, sql string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		t.Fatal(err)
	}
}

package readmodel_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"roomtrail/projections"
	"roomtrail/readmodel"
	"roomtrail/readmodel/readmodeltest"
)

// grants are who may do what with the public views, and whose they are.
func grants(t testing.TB, url string) []string {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `
SELECT relname || ' ' || oid || ' ' || relowner::regrole || ' ' || coalesce(relacl::text, '') FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'v' ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// A switch leaves the views what they were: the same relations, owners and
// grants, those that somebody has added too; and what rests on them.
func TestRebuildKeepsGrantsAndViewsOfOthers(t *testing.T) {
	t.Parallel()
	owner, reader := readmodeltest.Database(t)
	readmodeltest.Apply(t, readmodeltest.Open(t, owner), hour(), 0)
	execute(t, owner, "GRANT SELECT ON public.kicks TO PUBLIC; CREATE VIEW public.mine AS SELECT count(*) AS n FROM public.sessions")
	before, sessions := grants(t, owner), count(t, owner, "SELECT n FROM mine")
	for range 2 {
		rebuilt(t, owner, readmodel.RebuildConfig{})
	}
	if after := grants(t, owner); !slices.Equal(before, after) {
		t.Errorf("grants were\n%s\nand are\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	if n := count(t, owner, "SELECT n FROM mine"); n != sessions || n == 0 {
		t.Errorf("somebody's own view shows %d sessions, want %d", n, sessions)
	}
	if n := count(t, reader, "SELECT count(*) FROM sessions"); n != sessions {
		t.Errorf("the reader sees %d sessions, want %d", n, sessions)
	}
}

// What somebody has built on the tables themselves is not dropped with them.
func TestRebuildDropsNothingOfOthers(t *testing.T) {
	t.Parallel()
	owner, _ := readmodeltest.Database(t)
	readmodeltest.Apply(t, readmodeltest.Open(t, owner), hour(), 0)
	execute(t, owner, "CREATE VIEW public.mine AS SELECT count(*) AS n FROM "+projections.Schema()+".logins")
	r, err := readmodel.Rebuild(context.Background(), owner, readmodel.RebuildConfig{})
	if err == nil || !r.Switched || r.KeptSchema != projections.Schema()+"_old" || !strings.Contains(err.Error(), "views outside of it rest on its tables") {
		t.Errorf("got %+v, %v", r, err)
	}
	execute(t, owner, "DROP VIEW public.mine")
	if dropped, err := readmodel.AbandonRebuild(context.Background(), owner); err != nil || !slices.Equal(dropped, []string{projections.Schema() + "_old"}) {
		t.Errorf("dropped %v, %v", dropped, err)
	}
}

// A program of a newer version neither writes nor shows anything before it has
// filled its read model beside the older one, which goes on meanwhile; afterwards
// the older program may not.
func TestRebuildOfANewerVersion(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	owner, reader := readmodeltest.Database(t)
	facts := randomLife(21, 1500)
	m := readmodeltest.Open(t, owner)
	readmodeltest.Apply(t, m, facts[:300], 100)
	settle(t, m)
	version := readmodeltest.MakeOlder(t, owner)
	old, err := readmodel.OpenVersion(ctx, owner, "test", version)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()

	_, claim := m.Claim(ctx, 1, 0)
	for what, err := range map[string]error{"claim": claim, "migrate": readmodel.Migrate(ctx, owner, ""), "check": readmodel.CheckSchema(ctx, owner)} {
		if !errors.Is(err, readmodel.ErrNeedsRebuild) || !strings.Contains(err.Error(), "ingest rebuild") {
			t.Errorf("%s gives %v before the rebuild", what, err)
		}
	}
	noDifference(t, rebuilt(t, owner, readmodel.RebuildConfig{DryRun: true}))

	at, err := old.Claim(ctx, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	var writing sync.WaitGroup
	var applied uint64
	writing.Go(func() {
		for int(at.Seq) < len(facts)-100 {
			next, err := old.Apply(ctx, at, readmodeltest.Place(facts[at.Seq:at.Seq+10], at.Seq))
			if errors.Is(err, projections.ErrFenced) {
				return
			}
			if err != nil {
				t.Errorf("the older program: %v", err)
				return
			}
			at, applied = next, next.Seq
			if _, err := old.Settle(ctx); err != nil && !strings.Contains(err.Error(), "does not exist") {
				t.Errorf("the older program: %v", err)
			}
		}
	})
	reading, stop := context.WithCancel(ctx)
	writing.Go(func() { readOn(reading, t, reader) })
	r := rebuilt(t, owner, readmodel.RebuildConfig{})
	stop()
	writing.Wait()
	if r.From != version || r.To != projections.Version || !r.Switched || r.KeptSchema != "" {
		t.Errorf("the report is %+v", r)
	}
	if _, err := old.Apply(ctx, at, readmodeltest.Place(facts[at.Seq:at.Seq+1], at.Seq)); !errors.Is(err, projections.ErrFenced) {
		t.Errorf("the older program's Apply gives %v; want ErrFenced", err)
	}
	if n := count(t, owner, "SELECT count(*) FROM roomtrail.positions WHERE version = 2 AND lease_until = 'infinity' AND owner = 'superseded by read model 3'"); n != 1 {
		t.Errorf("the older position is not held for ever")
	}
	if _, err := old.Claim(ctx, 1, 0); err == nil || !strings.Contains(err.Error(), "run the newer program") {
		t.Errorf("the older program's claim gives %v", err)
	}
	if n := count(t, owner, "SELECT count(*) FROM pipeline_status WHERE live AND version = 3 AND position = "+fmt.Sprint(applied)); n != 1 {
		t.Errorf("the newer position does not stand where the older one was, at %d", applied)
	}
	now, err := m.Claim(ctx, 1, 0)
	if err != nil || now.Seq != applied || now.LogCreated.IsZero() {
		t.Fatalf("the newer program claims %+v, %v", now, err)
	}
	readmodeltest.Apply(t, m, facts[applied:], 50)
	settle(t, m)

	other, otherReader := readmodeltest.Database(t)
	n := readmodeltest.Open(t, other)
	readmodeltest.Apply(t, n, facts, 500)
	settle(t, n)
	same(t, "with the newer version", shown(t, reader), shown(t, otherReader))
}

// Where the fold has changed, the messages that it judges otherwise are marked,
// since their facts keep what the older one found.
func TestRebuildMarksWhatIsJudgedOtherwise(t *testing.T) {
	t.Parallel()
	owner, reader := readmodeltest.Database(t)
	m := readmodeltest.Open(t, owner)
	readmodeltest.Apply(t, m, hour(), 0)
	settle(t, m)
	right := shown(t, reader)
	execute(t, owner, "UPDATE roomtrail.events SET previous = 'Logout', transition = NULL WHERE reason = 'Logined'")
	execute(t, owner, "UPDATE roomtrail.events SET previous = NULL, transition = 'odd' WHERE kind = 'alive'")
	r := rebuilt(t, owner, readmodel.RebuildConfig{})
	for _, v := range r.Views {
		if (v.View == "room_events") != (v.OnlyLive > 0) {
			t.Errorf("%s: %d rows differ", v.View, v.OnlyLive)
		}
	}
	same(t, "with marks", shown(t, reader), right)
}

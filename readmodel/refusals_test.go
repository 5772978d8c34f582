package readmodel_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"roomtrail/projections"
	"roomtrail/readmodel/readmodeltest"
)

// Wrong arguments are named, with what would be right; none of them is run.
func TestFiguresRefuseWhatIsWrong(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	owner, url := readmodeltest.Database(t)
	conn := reader(t, url)
	for sql, want := range map[string]string{
		`metric('no_such', '2026-01-01', '2026-01-02')`:                                          "name is 'no_such'",
		`metric(NULL, '2026-01-01', '2026-01-02')`:                                               "name is null",
		`metric('login_success''; DROP TABLE t; --', '2026-01-01', '2026-01-02')`:                "name is 'login_success''; DROP TABLE t; --'",
		`metric('login_success', '2026-01-02', '2026-01-01')`:                                    "since before until",
		`metric('login_success', '2026-01-02', '2026-01-02')`:                                    "since before until",
		`metric('login_success', NULL, '2026-01-02')`:                                            "since is null",
		`metric('login_success', '-infinity', '2026-01-02')`:                                     "since before until",
		`metric('login_success', '2026-01-01', '2026-01-02', '90 seconds')`:                      "whole minutes",
		`metric('login_success', '2026-01-01', '2026-01-02', '1 month')`:                         "without months",
		`metric('login_success', '2026-01-01', '2026-01-02', '-1 hour')`:                         "whole minutes",
		`metric('login_success', '1990-01-01', '2026-01-02', '1 minute')`:                        "100 000 buckets",
		`metric('login_success', '2026-01-01', '2026-01-02', NULL, '{kick_reason}')`:             "by has 'kick_reason'; want an array of different names of: app_id, platform",
		`metric('login_success', '2026-01-01', '2026-01-02', NULL, ARRAY['app_id, (SELECT 1)'])`: "by has 'app_id, (SELECT 1)'",
		`metric('login_success', '2026-01-01', '2026-01-02', NULL, ARRAY['app_id', NULL])`:       "by has null",
		`metric('login_success', '2026-01-01', '2026-01-02', NULL, NULL)`:                        "by has null",
		`metric('login_success', '2026-01-01', '2026-01-02', NULL, '{platform,platform}')`:       "different names",
		`metric('visible_after_p95', '2026-01-01', '2026-01-02', NULL, '{platform}')`:            "names of: none",
		`recovery_curve('2026-01-02', '2026-01-01')`:                                             "recovery_curve: since is",
		`recovery_curve('2026-01-01', '2026-01-02', ARRAY['platform"; --'])`:                     `by has 'platform"; --'`,
	} {
		_, err := conn.Exec(ctx, "SELECT * FROM "+sql)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "22023") {
			t.Errorf("%s: %v; want %q", sql, err, want)
		}
	}
	// An app is a value, whatever it looks like.
	if _, err := conn.Exec(ctx, `SELECT * FROM metric('login_success', '2026-01-01', '2026-01-02', NULL, '{platform}', $$x' OR '1'='1$$)`); err != nil {
		t.Error(err)
	}
	if _, err := conn.Exec(ctx, `SELECT * FROM metric('login_success', '2026-01-01', '2026-01-02', '2 days', '{}', 'a')`); err != nil {
		t.Error(err)
	}
	if n := count(t, owner, "SELECT count(*) FROM metric_definitions"); n != len(projections.Definitions) {
		t.Errorf("%d definitions; want %d", n, len(projections.Definitions))
	}
}

// The reader may call exactly the public functions, and nobody may who is not the reader.
func TestTheReaderCallsTheFiguresAndNothingElse(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	owner, url := readmodeltest.Database(t)
	callable := func(role string) []string {
		rows, err := reader(t, owner).Query(ctx, `
SELECT DISTINCT p.proname::text FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND has_function_privilege($1, p.oid, 'EXECUTE') ORDER BY 1`, role)
		if err != nil {
			t.Fatal(err)
		}
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	if got, want := callable("roomtrail_reader"), append(slices.Clone(projections.PublicFunctions), "roomtrail_now"); !slices.Equal(got, want) {
		t.Errorf("the reader calls %v; want %v", got, want)
	}
	if got := callable("public"); !slices.Equal(got, []string{"roomtrail_now"}) {
		t.Errorf("everybody calls %v; want roomtrail_now alone", got)
	}
	conn := reader(t, url)
	for _, sql := range []string{"SELECT * FROM " + projections.Schema() + ".counters", "SELECT * FROM roomtrail.metric_definitions", "SELECT " + projections.Schema() + ".wilson(1, 2, 1)"} {
		if _, err := conn.Exec(ctx, sql); err == nil {
			t.Errorf("the reader may: %s", sql)
		}
	}
	for _, name := range []string{"login_success", "reconnect_success", "heartbeat_timeout_rate", "kick_rate"} {
		if _, err := conn.Exec(ctx, "SELECT * FROM "+name+"('2026-01-01', '2026-01-02', '1 hour', by => '{platform}')"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

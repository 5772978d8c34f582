package readmodel_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/golang-migrate/migrate/v4"
	mpgx "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"roomtrail/migrations"
	"roomtrail/projections"
	"roomtrail/readmodel"
	"roomtrail/readmodel/readmodeltest"
)

func exec(t testing.TB, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func TestSeveralProcessesMigrateAtOnce(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := readmodeltest.Empty(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := readmodel.Migrate(ctx, url, ""); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := readmodel.CheckSchema(ctx, url); err != nil {
		t.Error(err)
	}
}

func TestFactTablesUpDownUp(t *testing.T) {
	t.Parallel()
	url := readmodeltest.Empty(t)
	exec(t, url, "CREATE SCHEMA roomtrail")
	src, err := iofs.New(migrations.FS, ".")
	if err != nil {
		t.Fatal(err)
	}
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	drv, err := mpgx.WithInstance(stdlib.OpenDB(*config), &mpgx.Config{SchemaName: "roomtrail"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := migrate.NewWithInstance("iofs", src, "test", drv)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for step, f := range []func() error{m.Up, m.Down, m.Up} {
		if err := f(); err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
	}
}

func TestAFailedMigrationIsNamedAndRepaired(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url := readmodeltest.Empty(t)
	// Something stands in the way of the first file.
	exec(t, url, "CREATE SCHEMA roomtrail; CREATE TABLE roomtrail.profiles (x int)")
	err := readmodel.Migrate(ctx, url, "")
	if err == nil || !strings.Contains(err.Error(), "ingest migrate repair") {
		t.Fatalf("got %v; want an error that names the repair", err)
	}
	if err := readmodel.CheckSchema(ctx, url); err == nil || !strings.Contains(err.Error(), "failed half way") {
		t.Errorf("the check says %v", err)
	}
	exec(t, url, "DROP TABLE roomtrail.profiles")
	if err := readmodel.Migrate(ctx, url, ""); err == nil || !strings.Contains(err.Error(), "repair") {
		t.Errorf("a dirty schema is migrated: %v", err)
	}
	if err := readmodel.Repair(ctx, url, ""); err != nil {
		t.Fatal(err)
	}
	if err := readmodel.CheckSchema(ctx, url); err != nil {
		t.Error(err)
	}
}

func TestOlderProgramsRefuseANewerSchema(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	url, _ := readmodeltest.Database(t)
	exec(t, url, "UPDATE roomtrail.schema_migrations SET version = 999")
	if err := readmodel.CheckSchema(ctx, url); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("facts of version 999: %v", err)
	}
	empty := readmodeltest.Empty(t)
	if err := readmodel.CheckSchema(ctx, empty); err == nil || !strings.Contains(err.Error(), "ingest migrate up") {
		t.Errorf("an empty database: %v", err)
	}
}

// The reader may read exactly the public views, and change nothing.
func TestTheReaderReadsTheViewsAndNothingElse(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	owner, reader := readmodeltest.Database(t)
	conn, err := pgx.Connect(ctx, reader)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, `
SELECT n.nspname || '.' || c.relname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg_toast%'
  AND c.relkind IN ('r', 'v', 'm', 'p', 'S')
  AND CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(c.oid, 'USAGE')
           ELSE has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') END
ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, v := range projections.PublicViews {
		want = append(want, "public."+v)
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the reader reads %v; want %v", got, want)
	}
	for _, sql := range []string{
		"SELECT * FROM roomtrail.events", "SELECT * FROM " + projections.Schema() + ".logins", "DELETE FROM sessions",
		"INSERT INTO profiles VALUES ('a')", "CREATE TABLE t (x int)", "UPDATE error_codes SET meaning = ''",
	} {
		if _, err := conn.Exec(ctx, sql); err == nil {
			t.Errorf("the reader may: %s", sql)
		}
	}
	// Migrating again keeps grants that somebody else gave.
	role := fmt.Sprintf("guest_%d", conn.PgConn().PID())
	exec(t, owner, "CREATE ROLE "+role+"; GRANT SELECT ON sessions TO "+role)
	t.Cleanup(func() { exec(t, owner, "REVOKE ALL ON sessions FROM "+role+"; DROP ROLE "+role) })
	if err := readmodel.Migrate(ctx, owner, ""); err != nil {
		t.Fatal(err)
	}
	if n := count(t, owner, "SELECT has_table_privilege('"+role+"', 'sessions', 'SELECT')::int"); n != 1 {
		t.Error("a grant was lost by migrating again")
	}
}

// The columns of the views, in their order, are what users rely on.
func TestViewsHaveTheirColumns(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	_, reader := readmodeltest.Database(t)
	conn, err := pgx.Connect(ctx, reader)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for view, want := range map[string]string{
		"room_events":        "app_id event_ref partition stream_seq is_copy source trust kind room_id user_id session_id seq reason previous_reason error_code error_category error_meaning transition extended_data via platform family sdk_version app_version device_id boot_id monotonic_ms os network carrier region attributes room_seq server_session_id server_reason user_update_seq occurred_at happened_at received_at clock_offset_ms is_import",
		"sessions":           "app_id session_id login_no room_id room_session_id user_id device_id platform family sdk_version app_version os network carrier region via login_started_at logined_at time_to_login_ms login_outcome login_error_code caller_fault ended_at ended_by end_error_code end_provenance state presence gone_at interruptions connected_ms reconnecting_ms last_event_at last_alive_at first_received_at last_received_at missing_events is_import",
		"interruptions":      "app_id session_id login_no interruption_no room_id user_id device_id platform family sdk_version app_version network carrier region started_at ended_at start_received_at end_received_at is_open age_ms outcome duration_ms error_code end_error_code heartbeat_timed_out heartbeat_ambiguous recovery_case provenance cause storm_id is_import heartbeat_timeout_ms retry_window_ms",
		"kicks":              "app_id session_id login_no room_id user_id device_id platform family sdk_version app_version network carrier region kicked_at received_at error_code kick_reason attribution displaced_by_session_id displaced_by_login_no displaced_by_room_id displaced_by_device_id displaced_by_platform session_age_ms while_reconnecting relogin_after_ms message is_import",
		"heartbeat_timeouts": "app_id room_id user_id session_id login_no interruption_no server_session_id platform family network carrier region server_reason timed_out_at provenance is_import",
		"anomalies":          "app_id event_ref session_id room_id user_id platform sdk_version seq kind detail happened_at stream_seq",
		"pipeline_status":    "version generation partition position stream_last_seq lag_events lag_seconds state live updated_at unsettled",
		"dark_sessions":      "app_id session_id login_no room_id user_id platform network carrier region last_sign_at silent_ms until_h_ms until_w_ms reporting_interruption",
		"server_visits":      "app_id room_id room_seq user_id server_session_id platform term_type relogin login_at logout_at logout_reason session_id login_no agreement is_import",
		"error_codes":        "family error_code category meaning advice",
	} {
		rows, err := conn.Query(ctx, "SELECT * FROM "+view+" LIMIT 0")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range rows.FieldDescriptions() {
			got = append(got, f.Name)
		}
		rows.Close()
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s has\n%s\nwant\n%s", view, s, want)
		}
	}
}

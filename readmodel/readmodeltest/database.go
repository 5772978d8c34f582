// Package readmodeltest gives tests real databases with the real schema: one
// private Postgres for each test binary, one database for each test.
package readmodeltest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/embedded"
	"roomtrail/events"
	"roomtrail/projections"
	"roomtrail/readmodel"
)

var (
	once    sync.Once
	server  *embedded.Postgres
	dir     string
	failure error
	counter atomic.Int64
)

const template = "roomtrail_template"

// start brings the server up with a migrated template. It ends with the
// process: the launcher sees to that.
func start() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if dir, failure = os.MkdirTemp("", "roomtrail-test-"); failure != nil {
		return
	}
	if server, failure = embedded.StartPostgres(ctx, embedded.PostgresConfig{Dir: dir, Throwaway: true}); failure != nil {
		return
	}
	if failure = exec(ctx, "CREATE DATABASE "+template); failure == nil {
		failure = readmodel.Migrate(ctx, server.DSN(server.Superuser(), template), "")
	}
}

// Main runs a package's tests and stops the server afterwards. Packages that
// use Database call it from TestMain, so that no server and no files stay.
func Main(m *testing.M) int {
	code := m.Run()
	if server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = server.Stop(ctx)
		_ = os.RemoveAll(dir)
	}
	return code
}

func exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, server.DSN(server.Superuser(), "postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}

// Empty returns a database without any schema.
func Empty(t testing.TB) (ownerURL string) {
	t.Helper()
	return create(t, "template1")
}

// Database returns a fresh migrated database: the URL of its owner and that
// of the read-only role.
func Database(t testing.TB) (ownerURL, readerURL string) {
	t.Helper()
	owner := create(t, template)
	config, err := pgx.ParseConfig(owner)
	if err != nil {
		t.Fatal(err)
	}
	return owner, server.DSN(readmodel.ReaderRole, config.Database)
}

func create(t testing.TB, from string) string {
	t.Helper()
	once.Do(start)
	if failure != nil {
		t.Fatalf("start a Postgres for tests: %v", failure)
	}
	name := fmt.Sprintf("t%d", counter.Add(1))
	ctx := context.Background()
	if err := exec(ctx, fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s", name, from)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = exec(ctx, fmt.Sprintf("DROP DATABASE %s WITH (FORCE)", name)) })
	return server.DSN(server.Superuser(), name)
}

// Open returns the read model of a database.
func Open(t testing.TB, ownerURL string) *readmodel.ReadModel {
	t.Helper()
	m, err := readmodel.Open(context.Background(), ownerURL, readmodel.Config{Owner: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// Apply stores facts as one partition would, in batches of at most limit (0
// for all at once). Their places in the log are given here.
func Apply(t testing.TB, m *readmodel.ReadModel, facts []events.Stored, limit int) {
	t.Helper()
	ctx := context.Background()
	at, err := m.Claim(ctx, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	if limit == 0 {
		limit = len(facts)
	}
	for start := 0; start < len(facts); start += limit {
		if at, err = m.Apply(ctx, at, Place(facts[start:min(start+limit, len(facts))], at.Seq)); err != nil {
			t.Fatal(err)
		}
	}
}

// MakeOlder lets a database be one that the program of the version before has
// written, and returns that version.
func MakeOlder(t testing.TB, ownerURL string) (version int) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, ownerURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	version = projections.Version - 1
	_, err = conn.Exec(ctx, fmt.Sprintf(`
ALTER SCHEMA %s RENAME TO %s;
UPDATE roomtrail.read_models SET version = %[3]d;
UPDATE roomtrail.positions SET version = %[3]d`, projections.Schema(), projections.SchemaOf(version), version))
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// Place gives facts their places in the log of one partition, after a sequence.
func Place(facts []events.Stored, after uint64) events.Batch {
	created := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	batch := append([]events.Stored(nil), facts...)
	for i := range batch {
		f := &batch[i]
		f.Ref = events.Ref{Generation: 1, Seq: after + uint64(i) + 1}
		f.StoredAt = created.Add(time.Duration(f.Ref.Seq) * time.Millisecond)
		f.Digest = events.Digest(events.Encode(&f.Event))
	}
	return events.Batch{Facts: batch, LogCreated: created}
}

var _ projections.Store = (*readmodel.ReadModel)(nil)

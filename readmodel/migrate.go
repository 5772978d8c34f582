package readmodel

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	mpgx "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"roomtrail/migrations"
	"roomtrail/projections"
)

// ReaderRole may read exactly the public views and functions (contract 5).
// ownerRole owns the views, so that who migrates may change from one release
// to the next; nobody logs in with it.
const (
	ReaderRole = "roomtrail_reader"
	ownerRole  = "roomtrail_owner"
)

// schemaLock serialises everything below between processes.
const schemaLock = 0x726f6f6d // "room"

// Status is the state of the schema.
type Status struct {
	Version uint // of the fact tables; 0 before the first migration
	Latest  uint // that this program knows
	Dirty   bool // a migration failed half way
	Live    int  // version of the read model that the views show; 0 for none
}

// Migrate brings the schema up: fact tables, the derived tables of this
// version, views, roles and the code table. It may run in several processes
// at once. readerPassword sets the reader's password where it is not empty.
func Migrate(ctx context.Context, url, readerPassword string) error {
	conn, err := schemaConn(ctx, url, nil)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := takeSchemaLock(ctx, conn); err != nil {
		return err
	}
	if err := migrateFacts(ctx, conn, url, readerPassword); err != nil {
		return err
	}
	return makeReadModel(ctx, conn)
}

// migrateFacts brings up everything but the derived tables and views. The schema
// lock is held.
func migrateFacts(ctx context.Context, conn *pgx.Conn, url, readerPassword string) error {
	if _, err := conn.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS roomtrail"); err != nil {
		return fmt.Errorf("migrate: make schema: %w", err)
	}
	m, err := migrator(url)
	if err != nil {
		return err
	}
	defer m.Close()
	if err := m.Up(); err != nil && !errors.Is(err, migrate.ErrNoChange) {
		return explainMigration(err)
	}
	if err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return makeRoles(ctx, tx, readerPassword) }); err != nil {
		return fmt.Errorf("migrate: roles: %w", err)
	}
	if err := writeCodes(ctx, conn); err != nil {
		return err
	}
	if err := writeEdges(ctx, conn); err != nil {
		return err
	}
	return writeDefinitions(ctx, conn)
}

// schemaConn connects for changes of the schema: they must not wait for ever
// for a reader.
func schemaConn(ctx context.Context, url string, tracer pgx.QueryTracer) (*pgx.Conn, error) {
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	setParams(c, "roomtrail-migrate")
	c.Tracer = tracer
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	return conn, nil
}

// takeSchemaLock polls, since a waiting lock statement would hold a snapshot.
func takeSchemaLock(ctx context.Context, conn *pgx.Conn) error {
	for {
		var got bool
		if err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", schemaLock).Scan(&got); err != nil {
			return fmt.Errorf("migrate: take lock: %w", err)
		}
		if got {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("migrate: another process holds the schema lock: %w", ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func migrator(url string) (*migrate.Migrate, error) {
	src, err := iofs.New(migrations.FS, ".")
	if err != nil {
		return nil, fmt.Errorf("migrate: read files: %w", err)
	}
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	setParams(c, "roomtrail-migrate")
	drv, err := mpgx.WithInstance(stdlib.OpenDB(*c), &mpgx.Config{SchemaName: "roomtrail", MigrationsTable: "schema_migrations"})
	if err != nil {
		return nil, fmt.Errorf("migrate: connect: %w", err)
	}
	m, err := migrate.NewWithInstance("iofs", src, "roomtrail", drv)
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	m.LockTimeout = time.Minute
	return m, nil
}

func explainMigration(err error) error {
	var dirty migrate.ErrDirty
	if errors.As(err, &dirty) {
		return fmt.Errorf("migrate: migration %d failed half way in an earlier run; nothing of it was kept. Mend its cause, then run: ingest migrate repair", dirty.Version)
	}
	return fmt.Errorf("migrate: %w (nothing of the failed file was kept; mend its cause, then run: ingest migrate repair)", err)
}

// Repair takes back the mark of a migration that failed half way and runs it
// again.
func Repair(ctx context.Context, url, readerPassword string) error {
	m, err := migrator(url)
	if err != nil {
		return err
	}
	defer m.Close()
	version, dirty, err := m.Version()
	if err != nil && !errors.Is(err, migrate.ErrNilVersion) {
		return fmt.Errorf("migrate repair: %w", err)
	}
	if dirty {
		before := int(version) - 1
		if before == 0 {
			before = database.NilVersion
		}
		if err := m.Force(before); err != nil {
			return fmt.Errorf("migrate repair: %w", err)
		}
	}
	return Migrate(ctx, url, readerPassword)
}

// SchemaStatus says where the schema stands; it changes nothing.
func SchemaStatus(ctx context.Context, url string) (s Status, err error) {
	src, err := iofs.New(migrations.FS, ".")
	if err != nil {
		return s, err
	}
	for v, err := src.First(); err == nil; v, err = src.Next(v) {
		s.Latest = v
	}
	conn, err := schemaConn(ctx, url, nil)
	if err != nil {
		return s, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var exists bool
	if err = conn.QueryRow(ctx, "SELECT to_regclass('roomtrail.schema_migrations') IS NOT NULL").Scan(&exists); err != nil || !exists {
		return s, err
	}
	var version int64
	err = conn.QueryRow(ctx, "SELECT version, dirty FROM roomtrail.schema_migrations").Scan(&version, &s.Dirty)
	if errors.Is(err, pgx.ErrNoRows) {
		return s, nil
	}
	s.Version = uint(max(version, 0))
	if err == nil && s.Version > 0 && !s.Dirty {
		s.Live, err = liveVersion(ctx, conn)
	}
	return s, err
}

// CheckSchema returns nil where this program may work with the schema.
func CheckSchema(ctx context.Context, url string) error {
	s, err := SchemaStatus(ctx, url)
	switch {
	case err != nil:
		return fmt.Errorf("check schema: %w", err)
	case s.Dirty:
		return fmt.Errorf("check schema: migration %d failed half way; run: ingest migrate repair", s.Version)
	case s.Version < s.Latest:
		return fmt.Errorf("check schema: it is at version %d, this program wants %d; run: ingest migrate up", s.Version, s.Latest)
	case s.Version > s.Latest || s.Live > projections.Version:
		return fmt.Errorf("check schema: it is newer (facts %d, read model %d) than this program knows (%d, %d); run the newer program",
			s.Version, s.Live, s.Latest, projections.Version)
	case s.Live > 0 && s.Live < projections.Version:
		return fmt.Errorf("check schema: %w", olderError(s.Live))
	}
	return nil
}

// ErrNeedsRebuild says that the live read model is older than this program's,
// which must be filled before the views may show it.
var ErrNeedsRebuild = errors.New("it must be filled from the facts first; run: ingest rebuild")

func olderError(live int) error {
	return fmt.Errorf("read model %d is live and this program's is %d: %w", live, projections.Version, ErrNeedsRebuild)
}

func newerError(live int) error {
	return fmt.Errorf("read model %d is live, which is newer than this program's (%d); run the newer program", live, projections.Version)
}

// liveVersion is the version of the read model that the views show; 0 for none.
func liveVersion(ctx context.Context, conn rower) (live int, err error) {
	err = conn.QueryRow(ctx, "SELECT coalesce(max(version) FILTER (WHERE live), 0) FROM roomtrail.read_models").Scan(&live)
	if err != nil {
		return 0, fmt.Errorf("ask for the live read model: %w", err)
	}
	return live, nil
}

// makeRoles makes the two roles where they are missing. Roles belong to the
// whole server, so another database may have made them meanwhile.
func makeRoles(ctx context.Context, tx pgx.Tx, readerPassword string) error {
	sql := ""
	for role, login := range map[string]string{ReaderRole: "LOGIN", ownerRole: "NOLOGIN"} {
		sql += fmt.Sprintf(`
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '%[1]s') THEN
        CREATE ROLE %[1]s %[2]s;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;`, role, login)
	}
	// The grant of a role writes a shared catalog: two databases that do it at
	// once would fail with "tuple concurrently updated".
	sql += fmt.Sprintf(`
DO $$ BEGIN
    IF NOT pg_has_role(current_user, '%[1]s', 'MEMBER') THEN
        GRANT %[1]s TO CURRENT_USER;
    END IF;
END $$;
GRANT USAGE ON SCHEMA public TO %[2]s;
GRANT USAGE, CREATE ON SCHEMA public TO %[1]s;
GRANT USAGE ON SCHEMA roomtrail TO %[1]s;
GRANT SELECT ON ALL TABLES IN SCHEMA roomtrail TO %[1]s;`, ownerRole, ReaderRole)
	if _, err := tx.Exec(ctx, sql); err != nil {
		return err
	}
	if readerPassword == "" {
		return nil
	}
	_, err := tx.Exec(ctx, fmt.Sprintf("ALTER ROLE %s PASSWORD '%s'", ReaderRole, strings.ReplaceAll(readerPassword, "'", "''")))
	return err
}

// makeReadModel makes the derived tables of this version where they are
// missing, and points the views at them. A long reader must not hold everything
// up, hence the lock timeout and the tries.
func makeReadModel(ctx context.Context, conn *pgx.Conn) error {
	err := withRetries(ctx, 5, func() error {
		return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return makeVersion(ctx, tx) })
	})
	if err != nil {
		return fmt.Errorf("migrate: make read model %d: %w", projections.Version, err)
	}
	return nil
}

func makeVersion(ctx context.Context, tx pgx.Tx) error {
	live, err := liveVersion(ctx, tx)
	switch {
	case err != nil:
		return err
	case live > projections.Version:
		return newerError(live)
	case live > 0 && live < projections.Version:
		return olderError(live)
	case live == 0:
		if err := makeSchema(ctx, tx, projections.Schema()); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "INSERT INTO roomtrail.read_models (version, live) VALUES ($1, true)", projections.Version); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '3s'"); err != nil {
		return err
	}
	return pointViews(ctx, tx, projections.Schema())
}

// makeSchema makes the derived tables in a schema of that name.
func makeSchema(ctx context.Context, tx pgx.Tx, name string) error {
	_, err := tx.Exec(ctx, fmt.Sprintf(`
CREATE SCHEMA %[1]s;
GRANT USAGE ON SCHEMA %[1]s TO %[2]s;
SET LOCAL search_path = %[1]s;
%[3]s
GRANT SELECT ON ALL TABLES IN SCHEMA %[1]s TO %[2]s;
SET LOCAL search_path = public;`, name, ownerRole, projections.Tables()))
	return err
}

// pointViews lets the public views show the derived tables of a schema. They
// are replaced, never dropped, so that grants survive.
func pointViews(ctx context.Context, tx pgx.Tx, schema string) error {
	sql := "SET LOCAL search_path = public, pg_catalog;\n" + projections.Views(schema)
	for _, v := range projections.PublicViews {
		sql += fmt.Sprintf("\nALTER VIEW public.%[1]s OWNER TO %[2]s;\nGRANT SELECT ON public.%[1]s TO %[3]s;", v, ownerRole, ReaderRole)
	}
	sql += fmt.Sprintf(`
GRANT SELECT ON ALL TABLES IN SCHEMA %[1]s TO %[2]s;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA %[1]s FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA %[1]s TO %[2]s;`, schema, ownerRole)
	for _, f := range projections.PublicFunctions {
		sql += fmt.Sprintf("\nALTER FUNCTION public.%[1]s OWNER TO %[2]s;\nREVOKE EXECUTE ON FUNCTION public.%[1]s FROM PUBLIC;\nGRANT EXECUTE ON FUNCTION public.%[1]s TO %[3]s, CURRENT_USER;", f, ownerRole, ReaderRole)
	}
	_, err := tx.Exec(ctx, sql)
	return err
}

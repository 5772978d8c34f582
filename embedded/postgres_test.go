package embedded

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// needPostgres skips the test on a machine without the programs. A build server
// has to have them.
func needPostgres(t *testing.T) {
	t.Helper()
	_, err := findPrograms(t.Context(), defaultPlaces())
	if err != nil && os.Getenv("CI") != "" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skip(err)
	}
}

func startPostgres(t *testing.T, cfg PostgresConfig) *Postgres {
	t.Helper()
	began := time.Now()
	p, err := StartPostgres(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("started as %s in %v", p.cluster.account.name, time.Since(began))
	t.Cleanup(func() { p.Stop(context.Background()) })
	return p
}

func stop(t *testing.T, p *Postgres) {
	t.Helper()
	began := time.Now()
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("stopped in %v", time.Since(began))
}

// ask runs SQL and returns the first value of the first row, as text.
func ask(t *testing.T, dsn, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	results, err := conn.PgConn().Exec(t.Context(), sql).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	last := results[len(results)-1]
	if len(last.Rows) == 0 {
		return ""
	}
	return string(last.Rows[0][0])
}

const (
	makeRow  = "CREATE TABLE IF NOT EXISTS kept (n int); INSERT INTO kept VALUES (1)"
	countRow = "SELECT count(*) FROM kept"
)

func wantRows(t *testing.T, p *Postgres, want string) {
	t.Helper()
	if got := ask(t, p.DSN(superuser, "postgres"), countRow); got != want {
		t.Errorf("got %s committed rows, want %s", got, want)
	}
}

// One cluster lives through all of this, since to make one takes seconds.
func TestPostgresLife(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	dir := reachableDir(t)
	cfg := PostgresConfig{Dir: dir, Throwaway: true}

	t.Run("first start", func(t *testing.T) {
		p := startPostgres(t, cfg)
		dsn := p.DSN(p.Superuser(), "postgres")
		ask(t, dsn, makeRow)
		for setting, want := range map[string]string{
			"listen_addresses": "", "TimeZone": "UTC", "max_connections": "60", "fsync": "off", "jit": "off", "server_encoding": "UTF8",
		} {
			if got := ask(t, dsn, "SHOW "+setting); got != want {
				t.Errorf("setting %s: got %q, want %q", setting, got, want)
			}
		}
		_, err := StartPostgres(t.Context(), cfg)
		var locked *LockedError
		if !errors.As(err, &locked) || locked.PID != os.Getpid() {
			t.Errorf("second start in this process: got %v, want a LockedError with our id", err)
		}
		if got := startOther(t, "postgres", dir).line; !strings.HasPrefix(got, "error:") || !strings.Contains(got, "in use by process") {
			t.Errorf("second start in another process: got %q, want a refusal", got)
		}
		wantRows(t, p, "1") // neither did harm
		stop(t, p)
		if err := p.Err(); err != nil {
			t.Errorf("Err after Stop: got %v, want nil", err)
		}
		if _, err := os.Stat(p.socketDir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("socket directory after Stop: got %v, want it gone", err)
		}
		stop(t, p) // does nothing
	})
	t.Run("a setting the server refuses", func(t *testing.T) {
		bad := cfg
		bad.Settings = map[string]string{"shared_buffers": "plenty"}
		_, err := StartPostgres(t.Context(), bad)
		wantWords(t, err, dir, "invalid value for parameter", "plenty")
	})
	t.Run("restart", func(t *testing.T) {
		own := cfg
		own.Settings = map[string]string{"max_connections": "61"}
		p := startPostgres(t, own)
		wantRows(t, p, "1")
		if got := ask(t, p.DSN(superuser, "postgres"), "SHOW max_connections"); got != "61" {
			t.Errorf("own setting: got %s, want 61", got)
		}
		stop(t, p)
	})
	t.Run("the server dies", func(t *testing.T) {
		p := startPostgres(t, cfg)
		ask(t, p.DSN(superuser, "postgres"), "SET synchronous_commit = on; "+makeRow)
		p.child.process.Kill()
		<-p.Done()
		wantWords(t, p.Err(), dir, "ended by itself", "killed")
		wantWords(t, p.Stop(t.Context()), "ended by itself")
		// At once, while the dead server's own children may still be there.
		p = startPostgres(t, cfg)
		wantRows(t, p, "2")
		stop(t, p)
	})
	t.Run("a server without owner", func(t *testing.T) { orphan(t, cfg) })
	t.Run("no time to stop", func(t *testing.T) {
		p := startPostgres(t, cfg)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Stop(ended); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Stop without time: got %v, want nil or Canceled", err)
		}
		wantRows(t, startPostgres(t, cfg), "2")
	})
	t.Run("no time to start", func(t *testing.T) {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := StartPostgres(ended, PostgresConfig{Dir: reachableDir(t)}); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want Canceled", err)
		}
	})
}

// orphan starts a server the way a program would that is gone without a trace,
// as it can happen where there is no death signal.
func orphan(t *testing.T, cfg PostgresConfig) {
	c, err := findCluster(t.Context(), cfg.Dir, "", defaultPlaces())
	if err != nil {
		t.Fatal(err)
	}
	socketDir, err := c.makeSocketDir()
	if err != nil {
		t.Fatal(err)
	}
	lock, err := takeLock(cfg.Dir, "postgres.lock")
	if err != nil {
		t.Fatal(err)
	}
	lock.write(socketDir + "\n")
	cmd := exec.Command(c.programs.postgres(), c.arguments(t.Context(), socketDir, cfg)...)
	c.account.prepare(cmd)
	left, err := startChild(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(left.cut)
	eventually(t, "the server without owner is ready", func() bool { return c.ready(left.process.Pid) })
	if !servesData(left.process.Pid, c.data) || servesData(os.Getpid(), c.data) {
		t.Error("the server on the data is not told from other processes")
	}
	lock.release()

	p := startPostgres(t, cfg)
	<-left.done
	if left.err != nil {
		t.Errorf("the server without owner: got %v, want it stopped in good order", left.err)
	}
	if _, err := os.Stat(socketDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its socket directory: got %v, want it gone", err)
	}
	stop(t, p)
}

func TestPostgresAfterKill(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	dir := reachableDir(t)
	began := time.Now()
	o := startOther(t, "postgres", dir) // with all its promises
	if strings.HasPrefix(o.line, "error:") {
		t.Fatal(o.line)
	}
	t.Logf("first start with fsync took %v", time.Since(began))
	ask(t, o.line, makeRow)
	for _, setting := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
		if got := ask(t, o.line, "SHOW "+setting); got != "on" {
			t.Errorf("setting %s: got %q, want on", setting, got)
		}
	}
	o.kill(t)
	p := startPostgres(t, PostgresConfig{Dir: dir})
	wantRows(t, p, "1")
	stop(t, p)

	// Nobody starts a new one now, so that it has to go by itself.
	o = startOther(t, "postgres", dir)
	ask(t, o.line, makeRow)
	c := cluster{data: filepath.Join(dir, "data")}
	pid := firstNumber(c.pidFile())
	o.kill(t)
	began = time.Now()
	eventually(t, "the server ends after its owner was killed", func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH })
	t.Logf("gone %v after its owner", time.Since(began))
	wantRows(t, startPostgres(t, PostgresConfig{Dir: dir}), "2")
}

// Below a directory that is closed to others, root has the user namespace.
func TestPostgresBelowClosedDirectory(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	if os.Geteuid() != 0 {
		t.Skip("only root has to change users")
	}
	parent := filepath.Join(reachableDir(t), "closed")
	cfg := PostgresConfig{Dir: filepath.Join(parent, "postgres"), Throwaway: true}
	if err := os.Mkdir(parent, 0o700); err != nil {
		t.Fatal(err)
	}
	p, err := StartPostgres(t.Context(), cfg)
	if err != nil {
		wantWords(t, err, parent+" is closed to this user", "as postgres", "as nobody", "user namespace", "DATABASE_URL")
		t.Skipf("no user namespaces here, which it says: %v", err)
	}
	defer p.Stop(context.Background())
	if !p.cluster.account.namespace {
		t.Errorf("got a server as %s, want one in a user namespace", p.cluster.account.name)
	}
	ask(t, p.DSN(superuser, "postgres"), makeRow)
	stop(t, p)

	// Opened, it may run as the better user, who then must get the data.
	if err := os.Chmod(parent, 0o711); err != nil {
		t.Fatal(err)
	}
	p = startPostgres(t, cfg)
	if !p.cluster.account.switched {
		t.Errorf("got a server as %s, want one as another user", p.cluster.account.name)
	}
	wantRows(t, p, "1")
	stop(t, p)

	// And back again.
	if err := os.Chmod(parent, 0o700); err != nil {
		t.Fatal(err)
	}
	wantRows(t, startPostgres(t, cfg), "1")
}

func TestPostgresRefusesOtherVersion(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first attempt must not keep the lock
		_, err := StartPostgres(t.Context(), PostgresConfig{Dir: dir})
		wantWords(t, err, data, "made by PostgreSQL 99", "install PostgreSQL 99", "--data-dir")
	}
}

func TestPostgresClearsRemainsOfInitdb(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "odd [name]*")
	remains := filepath.Join(dir, "data.tmp-1", "base")
	if err := os.MkdirAll(remains, 0o700); err != nil {
		t.Fatal(err)
	}
	c := cluster{dir: dir, data: filepath.Join(dir, "data"), programs: programs{dir: "/nowhere"}}
	wantWords(t, c.prepare(t.Context(), true), "/nowhere/initdb")
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("after a failed initdb: got %v, %v, want an empty directory", left, err)
	}
}

func TestDSNQuotes(t *testing.T) {
	t.Parallel()
	p := &Postgres{socketDir: "/tmp/a b"}
	for _, user := range []string{"reader", "o'neil", `back\slash`, "two words", ""} {
		cfg, err := pgx.ParseConfig(p.DSN(user, "db"))
		if err != nil {
			t.Fatal(err)
		}
		if cfg.Host != p.socketDir || cfg.Port != 5432 || cfg.Database != "db" || (cfg.User != user && user != "") {
			t.Errorf("user %q: got host %q, port %d, user %q, database %q", user, cfg.Host, cfg.Port, cfg.User, cfg.Database)
		}
	}
}

func TestServerEnv(t *testing.T) {
	t.Parallel()
	got := strings.Join(serverEnv([]string{"PATH=/bin", "PGPORT=1", "LANG=de_DE.UTF-8", "LC_MESSAGES=de", "LD_LIBRARY_PATH=/lib"}), " ")
	if want := "PATH=/bin LD_LIBRARY_PATH=/lib LC_ALL=C"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// PostgresConfig says where a private Postgres keeps its data. Only Dir is
// required.
type PostgresConfig struct {
	Dir    string // data, log and lock go there
	BinDir string // the directory of initdb and postgres; "" looks for them

	// Throwaway makes a server for tests: quick to make, quick to commit, and
	// with nothing left to trust after the machine has crashed.
	Throwaway bool

	Settings map[string]string // further settings of the server; they win
	Logger   *slog.Logger      // nil discards
}

// Postgres is a server of its own, reachable through a private socket only. It
// ends with this process.
type Postgres struct {
	cluster   cluster
	socketDir string
	lock      *fileLock
	log       *serverLog
	logger    *slog.Logger

	child    *child
	stopping atomic.Bool
	done     chan struct{}
	err      error // may be read when done is closed
	release  func() error
}

const (
	socketDirPrefix = "roomtrail-pg-"
	// The number names the socket. It is written down everywhere, because
	// PGPORT in the environment would choose another on either side.
	port = "5432"
	// After a crash the kernel may keep the old server's shared memory until
	// its last process has ended. A start before that fails.
	lingerPatience = 10 * time.Second
	lingerPause    = 200 * time.Millisecond
	// A start takes a tenth of a second, recovery may take a minute. Whoever
	// waits that long is told why.
	slowStart = 5 * time.Second
)

// StartPostgres starts a server on cfg.Dir and makes a cluster there if there
// is none. It returns when the server takes connections, which after a crash
// is when all that was committed is back. ctx limits the start alone.
//
// If another process runs a server there, the error is a *[LockedError]. A
// server whose process is gone is stopped first.
func StartPostgres(ctx context.Context, cfg PostgresConfig) (*Postgres, error) {
	began := time.Now()
	dir, err := makeDir(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	lock, err := takeLock(dir, "postgres.lock")
	if err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	p := &Postgres{lock: lock, done: make(chan struct{}), logger: orDiscard(cfg.Logger).With("server", "postgres")}
	p.release = sync.OnceValue(p.clear)
	if err := p.start(ctx, dir, cfg); err != nil {
		p.release()
		return nil, fmt.Errorf("start postgres in %s: %w", dir, err)
	}
	go p.watch()
	p.logger.Info("postgres started", "version", p.cluster.programs.major, "programs", p.cluster.programs.dir,
		"data", p.cluster.data, "run_as", p.cluster.account.name, "took_ms", time.Since(began).Milliseconds())
	return p, nil
}

func (p *Postgres) start(ctx context.Context, dir string, cfg PostgresConfig) error {
	var err error
	if p.cluster, err = findCluster(ctx, dir, cfg.BinDir, defaultPlaces()); err != nil {
		return err
	}
	// Before anything changes on the disk, nobody else may be at work there.
	if err := p.evict(ctx); err != nil {
		return err
	}
	p.clearSocketDir(p.lock.left)
	if err := p.cluster.prepare(ctx, cfg.Throwaway); err != nil {
		return err
	}
	if p.log, err = openServerLog(filepath.Join(dir, "postgres.log")); err != nil {
		return err
	}
	if p.socketDir, err = p.cluster.makeSocketDir(); err != nil {
		return err
	}
	if err := p.lock.write(p.socketDir + "\n"); err != nil {
		return err
	}
	if err := p.launch(ctx, p.cluster.arguments(ctx, p.socketDir, cfg)); err != nil {
		return err
	}
	if err := p.greet(ctx); err != nil {
		p.child.cut()
		return err
	}
	return nil
}

func (p *Postgres) evict(ctx context.Context) error {
	return p.cluster.evict(ctx, func(pid int) {
		p.logger.Warn("stopping the postgres an earlier owner left behind", "pid", pid)
	})
}

// launch starts the server and waits until it is ready, again and again while
// what keeps it from starting is its dead predecessor.
func (p *Postgres) launch(ctx context.Context, args []string) error {
	began := time.Now()
	for {
		from := p.log.size()
		err := p.attempt(ctx, args)
		if err == nil {
			return nil
		}
		words := p.log.since(from)
		if ctx.Err() != nil || !lingers(words) || time.Since(began) > lingerPatience {
			return fmt.Errorf("%w%s%s", err, p.cluster.adviceFor(words), lastLines(words))
		}
		p.logger.Debug("the server before has not quite ended, trying again", "error", err)
		if err := pause(ctx, lingerPause); err != nil {
			return err
		}
		if err := p.evict(ctx); err != nil {
			return err
		}
	}
}

// What the server says when another one is not quite gone.
const (
	memoryInUse = "pre-existing shared memory block"
	pidInUse    = `lock file "postmaster.pid" already exists`
)

func lingers(words string) bool {
	return strings.Contains(words, memoryInUse) || strings.Contains(words, pidInUse)
}

// adviceFor explains the one case the server sees wrong: after the machine has
// crashed, the process id in its file may be that of any program. The file is
// still not ours to delete, for it is also what guards the shared memory.
func (c cluster) adviceFor(words string) string {
	pid := firstNumber(c.pidFile())
	if !strings.Contains(words, pidInUse) || servesData(pid, c.data) {
		return ""
	}
	return fmt.Sprintf(": process %d seems to be another program that was given the number of the server before: if no postgres works in %s, remove %s",
		pid, c.data, filepath.Join(c.data, "postmaster.pid"))
}

// attempt starts the server once.
func (p *Postgres) attempt(ctx context.Context, args []string) error {
	cmd := exec.Command(p.cluster.programs.postgres(), args...)
	cmd.Stdout, cmd.Stderr = p.log.file, p.log.file
	p.cluster.account.prepare(cmd)
	c, err := startChild(cmd)
	if err != nil {
		return fmt.Errorf("run %s: %w", cmd.Path, err)
	}
	slow := time.After(slowStart)
	for !p.cluster.ready(c.process.Pid) {
		select {
		case <-c.done:
			if c.err == nil {
				return errors.New("it stopped before it was ready")
			}
			return fmt.Errorf("it ended before it was ready: %w", c.err)
		case <-ctx.Done():
			c.cut()
			return fmt.Errorf("wait until it is ready: %w", ctx.Err())
		case <-slow:
			p.logger.Info("postgres is not ready yet, it may be recovering from a crash", "server_log", p.log.file.Name())
		case <-time.After(pollPause):
		}
	}
	p.child = c
	return nil
}

// greet makes the first connection. It proves what a pid file cannot: that the
// way to the socket is open to us.
func (p *Postgres) greet(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, p.DSN(superuser, "postgres"))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if err := conn.Close(ctx); err != nil {
		return fmt.Errorf("close first connection: %w", err)
	}
	return nil
}

// watch closes done when the server has ended.
func (p *Postgres) watch() {
	from := p.log.size()
	<-p.child.done
	if !p.stopping.Load() {
		how := "exit status 0"
		if p.child.err != nil {
			how = p.child.err.Error()
		}
		p.err = fmt.Errorf("postgres in %s ended by itself: %s%s", p.cluster.dir, how, lastLines(p.log.since(from)))
	}
	close(p.done)
}

// arguments are those of the server, its settings included.
func (c cluster) arguments(ctx context.Context, socketDir string, cfg PostgresConfig) []string {
	settings := map[string]string{
		"listen_addresses":        "",
		"unix_socket_permissions": "0700",
		// A write-heavy read model on a small machine.
		"shared_buffers":               "256MB",
		"max_wal_size":                 "2GB",
		"checkpoint_completion_target": "0.9",
		"wal_compression":              c.walCompression(ctx),
		"jit":                          "off", // costs more than it saves in short statements
		"track_io_timing":              "off",
		"max_connections":              "60",
		"timezone":                     "UTC",
		"log_timezone":                 "UTC",
	}
	if cfg.Throwaway {
		maps.Copy(settings, map[string]string{
			"fsync":              "off",
			"synchronous_commit": "off",
			"full_page_writes":   "off",
			"shared_buffers":     "128MB",
			"max_wal_size":       "512MB",
			"min_wal_size":       "32MB",
		})
	}
	maps.Copy(settings, cfg.Settings)
	args := []string{"-D", c.data, "-k", socketDir, "-p", port}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}

// walCompression asks the server whether it was built with lz4, which costs far
// less than the method every server has.
func (c cluster) walCompression(ctx context.Context) string {
	cmd := exec.CommandContext(ctx, c.programs.postgres(), "-D", c.data, "-c", "wal_compression=lz4", "-C", "wal_compression")
	if _, err := c.account.run(cmd); err != nil {
		return "on"
	}
	return "lz4"
}

// DSN returns how to connect as user to database, in the keyword form that pgx,
// libpq and psql read.
func (p *Postgres) DSN(user, database string) string {
	return fmt.Sprintf("host=%s port=%s user=%s dbname=%s", quoteValue(p.socketDir), port, quoteValue(user), quoteValue(database))
}

// quoteValue quotes a value of a DSN unless it is a plain word.
func quoteValue(v string) string {
	if v != "" && !strings.ContainsAny(v, " \t\n\r\v\f'\\") {
		return v
	}
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v) + "'"
}

// Superuser returns the role that owns the cluster. Its database is postgres.
func (p *Postgres) Superuser() string { return superuser }

// Done is closed when the server has ended, asked to or not.
func (p *Postgres) Done() <-chan struct{} { return p.done }

// Err returns why the server ended if nobody asked it to, and nil while it runs.
func (p *Postgres) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Stop disconnects everybody, waits until the server has written everything
// and ended, and gives the directory free. When ctx ends first, the server ends
// at once and recovers at its next start; nothing committed is lost, and the
// error says so. For a server that had ended by itself it returns [Postgres.Err].
func (p *Postgres) Stop(ctx context.Context) error {
	p.stopping.Store(true)
	cut := p.child.stop(ctx)
	<-p.done
	if err := errors.Join(p.err, p.release()); err != nil {
		return fmt.Errorf("stop postgres: %w", err)
	}
	if cut != nil {
		return fmt.Errorf("stop postgres: %w: it was ended at once and recovers at its next start", cut)
	}
	return nil
}

// clear gives everything back that is not the server itself.
func (p *Postgres) clear() error {
	if p.log != nil {
		p.log.file.Close() // what the server wrote is the server's to flush
	}
	var err error
	if p.socketDir != "" {
		err = os.RemoveAll(p.socketDir)
	}
	return errors.Join(err, p.lock.release())
}

// clearSocketDir removes the directory that an owner who was killed could not.
// It stands below the process id in the lock file.
func (p *Postgres) clearSocketDir(left string) {
	_, rest, _ := strings.Cut(left, "\n")
	dir := strings.TrimSpace(rest)
	if !filepath.IsAbs(dir) || !strings.HasPrefix(filepath.Base(dir), socketDirPrefix) {
		return
	}
	if err := os.RemoveAll(dir); err != nil {
		p.logger.Warn("cannot remove the socket directory of an earlier owner", "path", dir, "error", err)
	}
}

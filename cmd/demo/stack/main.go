// Command stack is the demo itself: NATS, Postgres, intake, projector, query
// API and somebody who reports, in one process.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"roomtrail/embedded"
	"roomtrail/intake"
	"roomtrail/pipeline"
	"roomtrail/query"
	"roomtrail/readmodel"
)

// demo is the command line.
type demo struct {
	DataDir     string `env:"ROOMTRAIL_DATA_DIR" default:".roomtrail" placeholder:"DIR" help:"Where the data is kept; a second start goes on with it (default ${default})."`
	Listen      string `env:"ROOMTRAIL_LISTEN" placeholder:"HOST:PORT" help:"Where the intake listens (default 127.0.0.1:8080, or a free port where that is taken)."`
	QueryListen string `env:"ROOMTRAIL_QUERY_LISTEN" placeholder:"HOST:PORT" help:"Where the query API and its page listen (default 127.0.0.1:8081, or a free port)."`
	Quiet       bool   `env:"ROOMTRAIL_QUIET" help:"Report nothing: an empty stack to send to."`
}

const app = "demo"

func main() {
	var d demo
	exit := func(code int) { os.Exit(min(code, 2)) } // wrong usage is 2 here
	kong.Parse(&d, kong.Name("demo"), kong.Exit(exit), kong.Description("Roomtrail in one process: servers, intake, projector, query API, and and a simulated fleet of rooms that reports."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := d.run(ctx, os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(1)
	}
}

func (d *demo) run(ctx context.Context, stdout, stderr io.Writer) error {
	logger := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	key, err := writeKey(d.DataDir)
	if err != nil {
		return err
	}
	keys, err := intake.ParseKeys(key + "=" + app)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Starting NATS and a private Postgres in %s …\n", d.DataDir)
	start := time.Now()
	p, err := pipeline.Start(ctx, pipeline.Config{
		DataDir: d.DataDir, Intake: true, Project: true, Keys: keys, Logger: logger,
		Callbacks: intake.Callbacks{Secrets: map[string][]string{app: {key}}}, // the fleet's server signs with the same
		Listen:    free(d.Listen, "127.0.0.1:8080"), AllowedOrigins: []string{"http://localhost:8080", "http://127.0.0.1:8080"},
	})
	if err != nil {
		var locked *embedded.LockedError
		if errors.As(err, &locked) {
			return fmt.Errorf("%w (another demo or ingest is running there)", err)
		}
		return err
	}
	defer func() {
		fmt.Fprintln(stdout, "\nStopping …")
		stopping, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := p.Stop(stopping); err != nil {
			fmt.Fprintf(stderr, "demo: stop: %v\n", err)
			return
		}
		fmt.Fprintln(stdout, "Stopped; the next start goes on with the same data.")
	}()
	questions, begins, closeQuery, err := d.serveQuery(ctx, p, logger)
	if err != nil {
		return err
	}
	defer closeQuery()
	fmt.Fprintf(stdout, "Ready after %.1f s.\n\n", time.Since(start).Seconds())
	where := ""
	if d.DataDir != ".roomtrail" {
		where = " --data-dir " + d.DataDir
	}
	fmt.Fprintf(stdout, welcome, p.IntakeURL(), key, app, questions, d.DataDir, where)
	if !d.Quiet {
		fmt.Fprintf(stdout, "A simulated fleet of rooms begins; what it did before is told first.\n")
		ctx, stop := context.WithCancel(ctx)
		played := make(chan struct{})
		go func() {
			defer close(played)
			if err := playFleet(ctx, p, key, begins, stdout); err != nil {
				fmt.Fprintf(stderr, "demo: the fleet has stopped: %v\n", err)
			}
		}()
		defer func() { stop(); <-played }()
	}
	return p.Wait(ctx)
}

const welcome = `  Intake    %[1]s/v1/events   write key %[2]s, app %[3]s
  Queries   %[4]s
  Data      %[5]s

Try, in another terminal:
  go run ./cmd/query%[6]s health
  go run ./cmd/query%[6]s interruptions --since 15m
  go run ./cmd/query%[6]s sql 'SELECT kick_reason, count(*) FROM kicks GROUP BY 1 ORDER BY 2 DESC'

Ctrl-C stops it.

`

// serveQuery opens the query API beside the intake, and says since when the
// fleet has to be told.
func (d *demo) serveQuery(ctx context.Context, p *pipeline.Pipeline, logger *slog.Logger) (url string, begins time.Time, stop func(), err error) {
	asker, err := readmodel.OpenAsker(ctx, p.ReaderURL())
	if err != nil {
		return "", begins, nil, err
	}
	listener, err := net.Listen("tcp", free(d.QueryListen, "127.0.0.1:8081"))
	if err != nil {
		asker.Close()
		return "", begins, nil, fmt.Errorf("open the query API: %w", err)
	}
	server := intake.Server(query.NewHandler(source{asker}, time.Now, query.Config{Logger: logger}))
	go func() { _ = server.Serve(listener) }() // ends with Shutdown below
	url = "http://" + listener.Addr().String()
	stop = func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = server.Shutdown(ctx)
		asker.Close()
	}
	return url, since(ctx, asker), stop, p.PublishQuery(url)
}

// source answers questions from the read model.
type source struct{ asker *readmodel.Asker }

func (s source) Ask(ctx context.Context, sql string, args map[string]any, limit int) (query.Answer, error) {
	a, err := s.asker.Ask(ctx, sql, args, limit)
	answer := query.Answer{Rows: a.Rows, More: a.More}
	for _, c := range a.Columns {
		answer.Columns = append(answer.Columns, c.Name)
	}
	return answer, err
}

// free is the address that was asked for, or the usual one, or where that is
// taken any free port.
func free(asked, usual string) string {
	if asked != "" {
		return asked
	}
	l, err := net.Listen("tcp", usual)
	if err != nil {
		return "127.0.0.1:0"
	}
	_ = l.Close()
	return usual
}

// writeKey is made at the first start and kept with the data.
func writeKey(dataDir string) (string, error) {
	path := filepath.Join(dataDir, "demo-key")
	b, err := os.ReadFile(path)
	if err == nil && len(strings.TrimSpace(string(b))) >= 8 {
		return strings.TrimSpace(string(b)), nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read the demo's key: %w", err)
	}
	random := make([]byte, 8)
	_, _ = rand.Read(random) // never fails
	key := "demo-" + hex.EncodeToString(random)
	if err := os.MkdirAll(dataDir, 0o755); err != nil {
		return "", fmt.Errorf("make the data directory: %w", err)
	}
	if err := os.WriteFile(path, []byte(key+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep the demo's key: %w", err)
	}
	return key, nil
}

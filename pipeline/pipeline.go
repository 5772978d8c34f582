package pipeline

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"roomtrail/credentials"
	"roomtrail/embedded"
	"roomtrail/eventlog"
	"roomtrail/intake"
	"roomtrail/readmodel"
)

// Pipeline is what runs.
type Pipeline struct {
	config   Config
	dir      *embedded.Dir
	postgres *embedded.Postgres
	nats     *embedded.NATS
	conn     *nats.Conn
	log      *eventlog.Log
	model    *readmodel.ReadModel
	door     *http.Server
	listener net.Listener
	metrics  *metrics

	databaseURL, readerURL, importKey string

	keyring       *Keyring
	keys          atomic.Pointer[credentials.Set]
	stopKeys      context.CancelFunc
	stopFollowing context.CancelFunc // of what else the door is told
	following     sync.WaitGroup

	signs     *lastSigns
	published atomic.Uint64 // signs of life

	stopRunners context.CancelFunc
	runners     sync.WaitGroup
	failed      chan error
	started     time.Time
}

// Start starts the parts in the order of the drawing, from the servers to the
// door. What it started it stops again where a later part fails.
func Start(ctx context.Context, config Config) (_ *Pipeline, err error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	p := &Pipeline{config: config, failed: make(chan error, 4), started: time.Now(), metrics: newMetrics()}
	defer func() {
		if err != nil {
			stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
			defer cancel()
			err = errors.Join(err, p.Stop(stopping))
		}
	}()
	for _, step := range []func(context.Context) error{
		p.startNATS, p.openKeys, p.startPostgres, p.migrate, p.openLog, p.startRunners, p.openDoor, p.publish,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// startNATS takes the data directory, where anything is embedded, and brings up
// NATS unless a URL names it.
func (p *Pipeline) startNATS(context.Context) (err error) {
	c := &p.config
	if c.embedded() {
		if p.dir, err = embedded.OpenDir(c.DataDir); err != nil {
			return err
		}
	}
	options := []nats.Option{nats.Name("roomtrail"), nats.MaxReconnects(-1)}
	if c.NATSURL != "" {
		p.conn, err = nats.Connect(c.NATSURL, options...)
		if err != nil {
			return fmt.Errorf("connect to NATS_URL: %w", err)
		}
		return nil
	}
	p.nats, err = embedded.StartNATS(embedded.NATSConfig{Dir: filepath.Join(c.DataDir, "nats"), LazySync: c.Throwaway, Logger: c.Logger})
	if err != nil {
		return err
	}
	p.conn, err = p.nats.Connect(options...)
	return err
}

// startPostgres brings it up unless a URL names it.
func (p *Pipeline) startPostgres(ctx context.Context) (err error) {
	c := &p.config
	p.databaseURL = c.DatabaseURL
	if !c.ownPostgres() {
		return nil
	}
	c.Logger.Info("starting a private Postgres", "dir", filepath.Join(c.DataDir, "postgres"))
	p.postgres, err = embedded.StartPostgres(ctx, embedded.PostgresConfig{
		Dir: filepath.Join(c.DataDir, "postgres"), Throwaway: c.Throwaway, Logger: c.Logger,
	})
	if err != nil {
		return err
	}
	p.databaseURL = p.postgres.DSN(p.postgres.Superuser(), "postgres")
	p.readerURL = p.postgres.DSN(readmodel.ReaderRole, "postgres")
	go func() {
		<-p.postgres.Done()
		p.fail(fmt.Errorf("the private Postgres has ended: %w", p.postgres.Err()))
	}()
	return nil
}

// fail ends Wait; what is more than it holds is not of interest.
func (p *Pipeline) fail(err error) {
	select {
	case p.failed <- err:
	default:
	}
}

func (p *Pipeline) openLog(ctx context.Context) (err error) {
	fresh := p.config.Partitions
	switch {
	case fresh > 0:
	case p.nats != nil:
		fresh = 1
	default:
		fresh = 4
	}
	p.log, err = eventlog.Open(ctx, p.conn, eventlog.Config{
		Partitions: fresh, MaxBytes: p.partitionBytes(fresh), Replicas: p.config.Replicas,
	})
	if err == nil && p.config.Partitions > 0 && p.config.Partitions != p.log.Partitions() {
		p.config.Logger.Warn("the log keeps its own number of partitions; ingest partitions changes it",
			"asked", p.config.Partitions, "partitions", p.log.Partitions(), "generation", p.log.Generation())
	}
	return err
}

// startRunners applies the log. The owner's name is stable where a
// lock on the data directory proves that there is no other, so that a restart
// need not wait for its own lease.
func (p *Pipeline) startRunners(ctx context.Context) (err error) {
	if !p.config.Project {
		return nil
	}
	owner := "embedded"
	if p.dir == nil || p.config.DatabaseURL != "" {
		host, _ := os.Hostname()
		owner = fmt.Sprintf("%s/%d/%s", host, os.Getpid(), randomHex(4))
	}
	if p.model, err = readmodel.Open(ctx, p.databaseURL, readmodel.Config{Owner: owner, Lease: p.config.Lease}); err != nil {
		return err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	p.stopRunners = stop
	p.runners.Go(func() { p.project(running) })
	p.runners.Go(func() { p.settle(running) })
	return p.startSigns(running)
}

// settle runs the second stage whenever the first has left marks.
func (p *Pipeline) settle(ctx context.Context) {
	told := p.teller("second stage stands still")
	for ctx.Err() == nil {
		n, err := p.model.Settle(ctx)
		if told(ctx, err); n == 0 {
			_ = wait(ctx, settlePause)
		}
	}
}

// teller logs the errors of something that is tried again and again: one that
// repeats once a minute.
func (p *Pipeline) teller(what string) func(context.Context, error) {
	var said string
	var at time.Time
	return func(ctx context.Context, err error) {
		if err == nil || ctx.Err() != nil {
			said = ""
			return
		}
		if text := err.Error(); text != said || time.Since(at) > time.Minute {
			p.config.Logger.Error(what, "error", err)
			said, at = text, time.Now()
		}
	}
}

// settlePause is how long the second stage rests where nothing is marked.
const settlePause = 250 * time.Millisecond

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func (p *Pipeline) openDoor(ctx context.Context) (err error) {
	if !p.config.Intake || p.config.Listen == "" {
		return nil
	}
	callbacks := p.config.Callbacks
	if len(callbacks.Secrets) > 0 {
		if callbacks.Ledger, err = p.log.Ledger(ctx); err != nil {
			return err
		}
	}
	pace, err := p.follow(ctx)
	if err != nil {
		return err
	}
	p.importKey = randomHex(24)
	handler := intake.New(p.log, intake.Config{
		Credentials: p.Keys, Limits: p.config.Limits, AllowedOrigins: p.config.AllowedOrigins, TrustedProxies: p.config.TrustedProxies,
		ImportKey: p.importKey, Now: p.config.Now, Ready: p.ready, Logger: p.config.Logger,
		IsFull:  func(err error) bool { return errors.Is(err, eventlog.ErrFull) },
		Observe: intake.Observer{Request: p.metrics.request, Callback: p.metrics.calledBack}, Callbacks: callbacks,
		Signs:      p.publishSigns,
		AliveEvery: func(app, platform string) int64 { return pace.aliveEvery(app, platform, p.now()) },
	})
	handler.Handle("GET /metrics", p.metrics.handler(p))
	p.handleKeys(handler)
	p.handlePartitions(handler)
	p.door = intake.Server(handler)
	p.door.TLSConfig = p.config.TLS
	listener, err := net.Listen("tcp", p.config.Listen)
	if err != nil {
		return fmt.Errorf("open the intake: %w", err)
	}
	connections := p.config.Connections
	connections.Proxies, connections.Cut = p.config.TrustedProxies, p.metrics.hungUp
	p.listener = intake.Listen(listener, connections)
	go func() {
		serve := p.door.Serve
		if p.config.TLS != nil {
			serve = func(l net.Listener) error { return p.door.ServeTLS(l, "", "") }
		}
		if err := serve(p.listener); !errors.Is(err, http.ErrServerClosed) {
			p.fail(fmt.Errorf("the intake has ended: %w", err))
		}
	}()
	return nil
}

// publish tells other programs where the embedded parts are.
func (p *Pipeline) publish(context.Context) error {
	if p.dir == nil {
		return nil
	}
	return p.dir.Publish(p.endpoint(""))
}

// PublishQuery adds the address of a query API that runs in this process.
func (p *Pipeline) PublishQuery(url string) error {
	if p.dir == nil {
		return nil
	}
	return p.dir.Publish(p.endpoint(url))
}

func (p *Pipeline) endpoint(queryURL string) embedded.Endpoint {
	return embedded.Endpoint{
		StartedAt: p.started, IntakeURL: p.IntakeURL(), QueryURL: queryURL,
		DatabaseURL: p.databaseURL, ReaderURL: p.readerURL, ImportKey: p.importKey,
	}
}

// Stop stops in the opposite order: the door first, so that nobody is told
// "accepted" who is not; its keys, runners, log, read model, servers.
func (p *Pipeline) Stop(ctx context.Context) error {
	var errs []error
	if p.door != nil {
		errs = append(errs, p.door.Shutdown(ctx))
	}
	for _, stop := range []context.CancelFunc{p.stopKeys, p.stopFollowing} {
		if stop != nil {
			stop()
		}
	}
	p.following.Wait()
	if p.stopRunners != nil {
		p.stopRunners()
		p.runners.Wait()
	}
	if p.log != nil {
		p.log.Close()
	}
	if p.model != nil {
		_ = p.model.Release(ctx) // the lease runs out by itself
		p.model.Close()
	}
	if p.conn != nil {
		p.conn.Close()
	}
	if p.nats != nil {
		p.nats.Close()
	}
	if p.postgres != nil {
		errs = append(errs, p.postgres.Stop(ctx))
	}
	if p.dir != nil {
		errs = append(errs, p.dir.Close())
	}
	return errors.Join(errs...)
}

// Wait blocks until the context ends or a part has failed.
func (p *Pipeline) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-p.failed:
		return err
	}
}

// IntakeURL is where the door is, or empty.
func (p *Pipeline) IntakeURL() string {
	if p.listener == nil {
		return ""
	}
	scheme := "http://"
	if p.config.TLS != nil {
		scheme = "https://"
	}
	return scheme + p.listener.Addr().String()
}

// DatabaseURL is the owner's, ReaderURL that of the read-only role where this
// process knows it.
func (p *Pipeline) DatabaseURL() string { return p.databaseURL }
func (p *Pipeline) ReaderURL() string   { return p.readerURL }

// Log is the open log.
func (p *Pipeline) Log() *eventlog.Log { return p.log }

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

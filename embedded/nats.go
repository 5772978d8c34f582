package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// NATSConfig says where an embedded NATS keeps its streams and how. Only Dir is
// required.
type NATSConfig struct {
	Dir string

	// MaxStore is the room for all streams in bytes. 0 means 20 GiB, or what
	// the streams have already and the disk has free, if that is less. A
	// message beyond it is refused with code 503. A stream should not reserve
	// MaxBytes of it: on a disk that is fuller than last time there may be
	// less, and the stream would not open.
	MaxStore int64

	// LazySync acknowledges before the disk has been flushed. A message then
	// survives the process but not the machine: for tests that do not measure
	// durability.
	LazySync bool

	Logger *slog.Logger // nil discards
}

// NATS is a NATS server inside this process, with JetStream and without a port.
type NATS struct {
	server *server.Server
	lock   *fileLock
}

const (
	defaultMaxStore = 20 << 30
	// Streams are on the disk; memory serves the state of readers only.
	maxMemory = 256 << 20
	// The server is ready when Start returns. This is for its last steps.
	natsReadyIn = 10 * time.Second
)

// StartNATS starts a server on cfg.Dir and reads the streams that are there,
// which takes about a second for some hundred thousand messages.
func StartNATS(cfg NATSConfig) (*NATS, error) {
	dir, err := makeDir(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("start nats: %w", err)
	}
	// The server itself does not mind a second one on the same files.
	lock, err := takeLock(dir, "nats.lock")
	if err != nil {
		return nil, fmt.Errorf("start nats: %w", err)
	}
	s, err := startServer(dir, cfg)
	if err != nil {
		lock.release()
		return nil, fmt.Errorf("start nats in %s: %w", dir, err)
	}
	return &NATS{server: s, lock: lock}, nil
}

func startServer(dir string, cfg NATSConfig) (*server.Server, error) {
	store := cfg.MaxStore
	if store == 0 {
		store = roomFor(dir)
	}
	s, err := server.NewServer(&server.Options{
		ServerName:             "roomtrail",
		DontListen:             true,
		NoSigs:                 true, // else it installs handlers that exit our process
		JetStream:              true,
		DisableJetStreamBanner: true,
		StoreDir:               dir,
		JetStreamMaxMemory:     maxMemory,
		JetStreamMaxStore:      store,
		// The default flushes every two minutes, and a loss of power would
		// take acknowledged messages with it.
		SyncAlways: !cfg.LazySync,
	})
	if err != nil {
		return nil, err
	}
	log := &natsLog{logger: orDiscard(cfg.Logger).With("server", "nats")}
	s.SetLogger(log, false, false)
	s.Start()
	if err := log.failure(); err != nil {
		stopServer(s)
		return nil, err
	}
	if !s.ReadyForConnections(natsReadyIn) {
		stopServer(s)
		return nil, fmt.Errorf("not ready after %v", natsReadyIn)
	}
	return s, nil
}

// Connect opens a connection through memory. It outlives any disturbance but
// not the server: close it before the server is closed.
func (n *NATS) Connect(opts ...nats.Option) (*nats.Conn, error) {
	own := []nats.Option{nats.InProcessServer(n.server), nats.MaxReconnects(-1)}
	nc, err := nats.Connect("", append(own, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to embedded nats: %w", err)
	}
	return nc, nil
}

// Close stops the server and returns when all is on the disk. A second Close
// does nothing.
func (n *NATS) Close() {
	stopServer(n.server)
	n.lock.release() // the lock would end with the process anyway
}

func stopServer(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// roomFor returns how much the streams in dir may take in all.
func roomFor(dir string) int64 {
	free, ok := FreeBytes(dir)
	if !ok {
		return defaultMaxStore
	}
	// What is stored counts against the limit, so it adds to what is free.
	var used int64
	filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // what cannot be read is not counted
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			used += info.Size()
		}
		return nil
	})
	return min(defaultMaxStore, max(used+free, 1)) // 0 would mean: choose yourself
}

// natsLog carries the server's log to slog. The server has no error to return
// from Start: what keeps it from starting is only logged, as fatal.
type natsLog struct {
	logger *slog.Logger
	fatal  atomic.Pointer[string]
}

func (l *natsLog) failure() error {
	if text := l.fatal.Load(); text != nil {
		return errors.New(*text)
	}
	return nil
}

func (l *natsLog) Fatalf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	l.fatal.CompareAndSwap(nil, &text)
	l.logger.Error(text)
}

func (l *natsLog) Errorf(format string, args ...any) { l.log(slog.LevelError, format, args) }
func (l *natsLog) Warnf(format string, args ...any)  { l.log(slog.LevelWarn, format, args) }

// What the server notices is of interest only to who looks for a fault in it.
func (l *natsLog) Noticef(format string, args ...any) { l.log(slog.LevelDebug, format, args) }
func (l *natsLog) Debugf(format string, args ...any)  { l.log(slog.LevelDebug, format, args) }
func (l *natsLog) Tracef(format string, args ...any)  { l.log(slog.LevelDebug, format, args) }

func (l *natsLog) log(level slog.Level, format string, args []any) {
	if l.logger.Enabled(context.Background(), level) {
		l.logger.Log(context.Background(), level, fmt.Sprintf(format, args...))
	}
}

// orDiscard lets a missing logger be one that says nothing.
func orDiscard(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}

// MaxStore is how much the streams may take in all, in bytes.
func (n *NATS) MaxStore() int64 { return n.server.JetStreamConfig().MaxStore }

// Package eventlogtest gives tests a real log on an in-process server.
package eventlogtest

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go"

	"roomtrail/embedded"
	"roomtrail/eventlog"
)

// Server starts a JetStream server without a port that ends with the test.
// It does not flush to the disk: tests of durability start their own.
func Server(t testing.TB) *nats.Conn {
	t.Helper()
	server, err := embedded.StartNATS(embedded.NATSConfig{Dir: t.TempDir(), LazySync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	nc, err := server.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// Open opens a log on a server; it is closed before the server.
func Open(t testing.TB, nc *nats.Conn, config eventlog.Config) *eventlog.Log {
	t.Helper()
	if config.MaxBytes == 0 {
		config.MaxBytes = 256 << 20 // the server sets this much aside for each partition
	}
	l, err := eventlog.Open(context.Background(), nc, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"roomtrail/embedded"
	"roomtrail/eventlog"
	"roomtrail/events"
	"roomtrail/intake"
)

const doorLimit = "atomic batches of 1 000 of the same messages, made beforehand, published by one goroutine to an equal stream; flushed before the acknowledgement, as the door's are"

// rounds is how often the door and its limit take turns, so that what else the
// machine does meets both.
const rounds = 4

// door loads the door with clients that post perRequest events at a time.
func (b *bench) door(ctx context.Context, name string, perRequest, clients int) (row, error) {
	out := row{Name: name, What: "events over HTTP, in requests of " + plural(perRequest, "event"), Timed: "a request", Limit: doorLimit}
	s, err := openStand(ctx, b.dir)
	if err != nil {
		return out, err
	}
	defer s.close()
	for i := range clients {
		c, err := newClient(s.addr, writeKey, i, perRequest)
		if err != nil {
			return out, err
		}
		s.clients = append(s.clients, c)
	}
	b.say("%s: warming up", name)
	if err := load(ctx, s.clients, min(b.seconds()/8, time.Second)); err != nil {
		return out, err
	}
	b.say("%s: the door and its limit by turns, for %v each", name, b.seconds())
	stop, err := b.profile(name)
	if err != nil {
		return out, err
	}
	err = s.compare(ctx, b.seconds()/rounds, perRequest, &out)
	return out, errors.Join(err, stop())
}

// compare loads the door and publishes to the log by turns.
func (s *stand) compare(ctx context.Context, turn time.Duration, perRequest int, out *row) error {
	batches, err := limitBatches(time.Now())
	if err != nil {
		return err
	}
	for _, c := range s.clients {
		c.took = c.took[:0] // what it took to warm up
	}
	var door, limit clock
	published := 0
	for range rounds {
		err := limit.time(func() error {
			n, err := s.publish(ctx, batches, turn)
			published += n
			return err
		})
		if err != nil {
			return fmt.Errorf("publish batches: %w", err)
		}
		if err := door.time(func() error { return load(ctx, s.clients, turn) }); err != nil {
			return fmt.Errorf("post reports: %w", err)
		}
	}
	var took []time.Duration
	for _, c := range s.clients {
		took = append(took, c.took...)
	}
	out.measured(perRequest*len(took), &door, took)
	out.compare(float64(published) / limit.elapsed.Seconds())
	return nil
}

const writeKey = "bench-write-key"

// stand is a door that is open, and a second log on a server like the one
// behind it.
type stand struct {
	server, limit   *embedded.NATS
	conn, limitConn *nats.Conn
	log, limitLog   *eventlog.Log
	js              jetstream.JetStream
	http            *http.Server
	addr            string
	clients         []*client
}

func openStand(ctx context.Context, dir string) (_ *stand, err error) {
	s := &stand{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.server, err = embedded.StartNATS(embedded.NATSConfig{Dir: filepath.Join(dir, "door")}); err != nil {
		return nil, err
	}
	if s.limit, err = embedded.StartNATS(embedded.NATSConfig{Dir: filepath.Join(dir, "limit")}); err != nil {
		return nil, err
	}
	maxBytes := min(10<<30, s.server.MaxStore()*9/20)
	if s.conn, err = s.server.Connect(); err != nil {
		return nil, err
	}
	if s.log, err = eventlog.Open(ctx, s.conn, eventlog.Config{MaxBytes: maxBytes}); err != nil {
		return nil, err
	}
	if s.limitConn, err = s.limit.Connect(); err != nil {
		return nil, err
	}
	if s.limitLog, err = eventlog.Open(ctx, s.limitConn, eventlog.Config{MaxBytes: maxBytes}); err != nil {
		return nil, err
	}
	if s.js, err = jetstream.New(s.limitConn); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.addr = listener.Addr().String()
	s.http = intake.Server(intake.New(s.log, intake.Config{Keys: intake.Keys{sha256.Sum256([]byte(writeKey)): appID}}))
	go s.http.Serve(listener) // it ends when the stand is closed
	return s, nil
}

// close ends everything in the opposite order, also a stand that is half open.
func (s *stand) close() {
	for _, c := range s.clients {
		c.conn.Close()
	}
	if s.http != nil {
		s.http.Close()
	}
	for _, l := range []*eventlog.Log{s.log, s.limitLog} {
		if l != nil {
			l.Close()
		}
	}
	for _, c := range []*nats.Conn{s.conn, s.limitConn} {
		if c != nil {
			c.Close()
		}
	}
	for _, server := range []*embedded.NATS{s.server, s.limit} {
		if server != nil {
			server.Close()
		}
	}
}

const (
	limitBatch = 1000 // as many as the server takes at once
	// The log does not look into messages: a few batches serve for all.
	limitPool = 20
)

// limitBatches are the messages that the door would make of the clients'
// reports, ready to be published.
func limitBatches(now time.Time) ([][]*nats.Msg, error) {
	batches := make([][]*nats.Msg, limitPool)
	for i := range limitPool * limitBatch {
		report, _ := appendReport(nil, i)
		e, err := events.FromReport(now, report)
		if err != nil {
			return nil, err
		}
		e.Trust = events.TrustPublic
		e.SetSentAt(now)
		batches[i/limitBatch] = append(batches[i/limitBatch], &nats.Msg{
			Subject: eventlog.Subject(1, 0, &e),
			Header:  nats.Header{events.SchemaHeader: {events.SchemaVersion}},
			Data:    events.Encode(&e),
		})
	}
	return batches, nil
}

// publish is the limit: as many messages as the log takes.
func (s *stand) publish(ctx context.Context, batches [][]*nats.Msg, d time.Duration) (n int, err error) {
	began := time.Now()
	for i := 0; time.Since(began) < d; i++ {
		batch := batches[i%len(batches)]
		// Waiting for the first acknowledgement as well would only slow it down.
		_, err := jetstreamext.PublishMsgBatch(ctx, s.js, batch, jetstreamext.BatchFlowControl{AckTimeout: 5 * time.Second})
		if err != nil {
			return n, err
		}
		n += len(batch)
	}
	return n, nil
}

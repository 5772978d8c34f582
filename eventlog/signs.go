package eventlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"roomtrail/events"
)

// Signs of life travel beside the log and are not kept: the next one says the
// same again.
const (
	signsSubject = "room.alive"
	signsQueue   = "roomtrail-projector" // one of the projectors takes each
	maxSigns     = 5000                  // in a message
)

// PublishSigns hands signs of life to whoever projects. They may get lost.
func (l *Log) PublishSigns(signs []events.Sign) error {
	for len(signs) > 0 {
		n := min(len(signs), maxSigns)
		if err := l.js.Conn().Publish(signsSubject, events.AppendSigns(nil, signs[:n])); err != nil {
			return fmt.Errorf("publish signs of life: %w", err)
		}
		signs = signs[n:]
	}
	return nil
}

// Signs gives take what is published until stop is called. Take is called by
// one goroutine at a time.
func (l *Log) Signs(take func([]events.Sign)) (stop func(), err error) {
	sub, err := l.js.Conn().QueueSubscribe(signsSubject, signsQueue, func(m *nats.Msg) {
		if signs, err := events.ReadSigns(m.Data); err == nil {
			take(signs)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("listen for signs of life: %w", err)
	}
	return func() { _ = sub.Unsubscribe() }, nil
}

// Settings are what the projector knows and every intake needs: a bucket beside
// the streams, so that an intake needs no database.
type Settings struct{ bucket jetstream.KeyValue }

// Settings opens them.
func (l *Log) Settings(ctx context.Context) (*Settings, error) {
	bucket, err := l.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: "ROOM_SETTINGS", Description: "Roomtrail: what intakes are told by the projector",
		Storage: jetstream.FileStorage, Replicas: l.config.Replicas,
	})
	if err != nil {
		return nil, fmt.Errorf("open settings: %w", err)
	}
	return &Settings{bucket}, nil
}

// Put writes a setting.
func (s *Settings) Put(ctx context.Context, name string, value []byte) error {
	_, err := s.bucket.Put(ctx, name, value)
	return err
}

// Get reads a setting; nil where there is none.
func (s *Settings) Get(ctx context.Context, name string) ([]byte, error) {
	entry, err := s.bucket.Get(ctx, name)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read setting %s: %w", name, err)
	}
	return entry.Value(), nil
}

package eventlog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"roomtrail/events"
)

// Config is how the log is opened. The zero value is the embedded default:
// generation 1 with one partition of one replica.
type Config struct {
	Generation int // 0 means 1
	Partitions int // 0 means as many as the log has, or NewPartitions
	// NewPartitions is how many a new log gets; 0 means 1.
	NewPartitions int
	MaxBytes      int64 // of each partition; 0 means 10 GiB
	Replicas      int   // 0 means 1
	// Linger is how long a writer gathers events before it sends; 0 means 2 ms.
	Linger time.Duration
	// Timeout is how long an acknowledgement may take; 0 means 5 s.
	Timeout time.Duration
}

func (c Config) withDefaults() Config {
	c.Generation = max(c.Generation, 1)
	c.NewPartitions = max(c.NewPartitions, 1)
	c.Replicas = max(c.Replicas, 1)
	if c.MaxBytes == 0 {
		c.MaxBytes = 10 << 30
	}
	if c.Linger == 0 {
		c.Linger = 2 * time.Millisecond
	}
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	return c
}

// Log is one generation of partitions.
type Log struct {
	js      jetstream.JetStream
	config  Config
	writers []*writer
}

// StreamName is the stream of a partition (contract 3).
func StreamName(generation, partition int) string {
	return fmt.Sprintf("ROOM_EVENTS_%d_%d", generation, partition)
}

const partitionsKey = "roomtrail-partitions"

// Open makes the streams where they are missing and checks those that exist:
// their settings are part of what is promised.
func Open(ctx context.Context, nc *nats.Conn, config Config) (*Log, error) {
	config = config.withDefaults()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncTimeout(config.Timeout))
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	if config.Partitions == 0 {
		if config.Partitions, err = existing(ctx, js, config); err != nil {
			return nil, fmt.Errorf("open log: %w", err)
		}
	}
	if config.Partitions < 1 || config.Partitions > events.Buckets {
		return nil, fmt.Errorf("open log: %d partitions; want 1 to %d", config.Partitions, events.Buckets)
	}
	l := &Log{js: js, config: config}
	for p := range config.Partitions {
		if err := l.openStream(ctx, p); err != nil {
			return nil, fmt.Errorf("open log: stream %s: %w", StreamName(config.Generation, p), err)
		}
	}
	if _, err := js.Stream(ctx, StreamName(config.Generation, config.Partitions)); err == nil {
		return nil, fmt.Errorf("open log: generation %d has more than %d partitions; their number is fixed within a generation", config.Generation, config.Partitions)
	}
	for range config.Partitions {
		l.writers = append(l.writers, startWriter(js, config))
	}
	return l, nil
}

// existing is the number of partitions that the log was made for.
func existing(ctx context.Context, js jetstream.JetStream, config Config) (int, error) {
	stream, err := js.Stream(ctx, StreamName(config.Generation, 0))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return config.NewPartitions, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(stream.CachedInfo().Config.Metadata[partitionsKey])
	if err != nil {
		return 0, fmt.Errorf("stream %s says nothing of its partitions: it was not made by this program", StreamName(config.Generation, 0))
	}
	return n, nil
}

func (l *Log) openStream(ctx context.Context, p int) error {
	want := l.streamConfig(p)
	stream, err := l.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = l.js.CreateStream(ctx, want)
		return err
	}
	if err != nil {
		return err
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return err
	}
	return check(info.Config, want)
}

func (l *Log) streamConfig(p int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        StreamName(l.config.Generation, p),
		Description: "Roomtrail: every room event, append-only",
		Subjects:    []string{fmt.Sprintf("room.events.%d.%d.>", l.config.Generation, p)},
		Storage:     jetstream.FileStorage,
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardNew, // full means refused, not silently eaten
		MaxBytes:    l.config.MaxBytes,
		MaxAge:      0,
		MaxMsgSize:  256 << 10,
		Replicas:    l.config.Replicas,
		// Events count once by their identity, for ever; the broker's window
		// is no guarantee, and one duplicate in it would refuse a whole batch.
		Duplicates:         100 * time.Millisecond,
		AllowAtomicPublish: true,
		Metadata:           map[string]string{partitionsKey: strconv.Itoa(l.config.Partitions)},
	}
}

// check compares what the promises rest on; sizes and copies are the
// operator's.
func check(got, want jetstream.StreamConfig) error {
	switch {
	case got.Storage != jetstream.FileStorage:
		return fmt.Errorf("storage is %s; want file", got.Storage)
	case got.Retention != jetstream.LimitsPolicy:
		return fmt.Errorf("retention is %s; want limits", got.Retention)
	case got.Discard != jetstream.DiscardNew:
		return fmt.Errorf("discard is %s; want new, else the oldest events vanish when it is full", got.Discard)
	case got.MaxAge != 0:
		return fmt.Errorf("max_age is %s; want none, else events vanish unread", got.MaxAge)
	case !got.AllowAtomicPublish:
		return errors.New("atomic publishing is off; want it on")
	case got.Metadata[partitionsKey] != want.Metadata[partitionsKey]:
		return fmt.Errorf("it was made for %s partitions, not %s; their number is fixed within a generation",
			got.Metadata[partitionsKey], want.Metadata[partitionsKey])
	}
	return nil
}

// Partitions is how many there are.
func (l *Log) Partitions() int { return l.config.Partitions }

// Generation is the one that is written to.
func (l *Log) Generation() int { return l.config.Generation }

// Close waits for what was handed to Append and stops the writers. Nothing
// may be appended afterwards.
func (l *Log) Close() {
	for _, w := range l.writers {
		close(w.in)
		<-w.done
	}
}

// PartitionInfo is the state of one stream.
type PartitionInfo struct {
	Partition       int
	Messages, Bytes uint64
	MaxBytes        int64
	First, Last     uint64
	Created         time.Time
}

// Info asks the server for the state of every partition.
func (l *Log) Info(ctx context.Context) ([]PartitionInfo, error) {
	var out []PartitionInfo
	for p := range l.config.Partitions {
		name := StreamName(l.config.Generation, p)
		stream, err := l.js.Stream(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("ask stream %s: %w", name, err)
		}
		i := stream.CachedInfo()
		out = append(out, PartitionInfo{
			Partition: p, Messages: i.State.Msgs, Bytes: i.State.Bytes, MaxBytes: i.Config.MaxBytes,
			First: i.State.FirstSeq, Last: i.State.LastSeq, Created: i.Created,
		})
	}
	return out, nil
}

// Subject is where an event is published (contract 3), so that any NATS
// client of a real server can follow, say, every ReconnectFailed.
func Subject(generation, partition int, e *events.Event) string {
	reason := e.Reason.String()
	if reason == "" {
		reason = "-"
	}
	var b strings.Builder
	b.Grow(64)
	b.WriteString("room.events.")
	b.WriteString(strconv.Itoa(generation))
	b.WriteByte('.')
	b.WriteString(strconv.Itoa(partition))
	b.WriteByte('.')
	safeToken(&b, e.AppID)
	b.WriteByte('.')
	safeToken(&b, string(e.Kind))
	b.WriteByte('.')
	b.WriteString(reason)
	return b.String()
}

// safeToken writes letters, digits, - and _ as they are and any other byte as
// =XX, so that different ids stay different and none can forge a subject.
func safeToken(b *strings.Builder, s string) {
	const hex = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
			b.WriteByte(c)
		default:
			b.WriteByte('=')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
}

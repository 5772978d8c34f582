package eventlog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"roomtrail/events"
)

// Config is how the log is opened. The zero value is the embedded default: one
// partition of one replica.
type Config struct {
	// Partitions is how many a new log gets; 0 means 1. One that exists has
	// its own number, which Repartition changes.
	Partitions int
	MaxBytes   int64 // of each partition; 0 means 10 GiB
	Replicas   int   // 0 means 1
	// Linger is how long a writer gathers events before it sends; 0 means 2 ms.
	Linger time.Duration
	// Timeout is how long an acknowledgement may take; 0 means 5 s.
	Timeout time.Duration
}

func (c Config) withDefaults() Config {
	c.Partitions = max(c.Partitions, 1)
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

// Log is all generations of partitions; events go to the newest.
type Log struct {
	js     jetstream.JetStream
	config Config
	now    atomic.Pointer[written]

	mu     sync.Mutex // of who changes now
	before []*written // that were written to; callers may still wait for them
	looked time.Time  // when a newer generation was last looked for
}

// written is a generation with its writers, one for each partition.
type written struct {
	generation, partitions int
	writers                []*writer
}

// StreamName is the stream of a partition (contract 3).
func StreamName(generation, partition int) string {
	return fmt.Sprintf("ROOM_EVENTS_%d_%d", generation, partition)
}

// subjects are what a partition takes until it is retired.
func subjects(generation, partition int) string {
	return fmt.Sprintf("room.events.%d.%d.>", generation, partition)
}

const partitionsKey = "roomtrail-partitions"

// Open makes a new log where there is none and checks one that exists: the
// settings of its streams are part of what is promised.
func Open(ctx context.Context, nc *nats.Conn, config Config) (*Log, error) {
	config = config.withDefaults()
	if config.Partitions > events.Buckets {
		return nil, fmt.Errorf("open log: %d partitions; want 1 to %d", config.Partitions, events.Buckets)
	}
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncTimeout(config.Timeout))
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	l := &Log{js: js, config: config}
	streams, err := l.finish(ctx)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	l.write(newestOf(streams))
	return l, nil
}

// write goes over to the generation of a stream, if it is a newer one.
func (l *Log) write(newest stream) {
	was := l.now.Load()
	if was != nil {
		if was.generation >= newest.generation {
			return
		}
		l.before = append(l.before, was)
	}
	w := &written{generation: newest.generation, partitions: newest.partitions}
	for range w.partitions {
		w.writers = append(w.writers, startWriter(l.js, l.config))
	}
	l.now.Store(w)
}

func (l *Log) streamConfig(generation, partition, partitions int, maxBytes int64) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        StreamName(generation, partition),
		Description: "Roomtrail: every room event, append-only",
		Subjects:    []string{subjects(generation, partition)},
		Storage:     jetstream.FileStorage,
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardNew, // full means refused, not silently eaten
		MaxBytes:    maxBytes,
		MaxAge:      0,
		MaxMsgSize:  256 << 10,
		Replicas:    l.config.Replicas,
		// Events count once by their identity, for ever; the broker's window
		// is no guarantee, and one duplicate in it would refuse a whole batch.
		Duplicates:         100 * time.Millisecond,
		AllowAtomicPublish: true,
		Metadata:           map[string]string{partitionsKey: strconv.Itoa(partitions)},
	}
}

// check looks at what the promises rest on; sizes and copies are the
// operator's.
func check(got jetstream.StreamConfig) error {
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
	}
	return nil
}

// Partitions is how many the generation has that is written to.
func (l *Log) Partitions() int { return l.now.Load().partitions }

// Generation is the one that is written to.
func (l *Log) Generation() int { return l.now.Load().generation }

// Close waits for what was handed to Append and stops the writers. Nothing
// may be appended afterwards.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range append(l.before, l.now.Load()) {
		for _, w := range g.writers {
			close(w.in)
			<-w.done
		}
	}
}

// PartitionInfo is the state of one stream.
type PartitionInfo struct {
	Generation, Partition int
	Partitions            int  // of its generation
	IsRetired             bool // nothing is appended to it any more
	Messages, Bytes       uint64
	MaxBytes              int64 // 0 where it is retired
	First, Last           uint64
	Created               time.Time
}

// Info asks the server for the state of every partition of every generation,
// in order.
func (l *Log) Info(ctx context.Context) ([]PartitionInfo, error) {
	streams, err := l.list(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for the log: %w", err)
	}
	return infos(streams), nil
}

func infos(streams []stream) []PartitionInfo {
	out := make([]PartitionInfo, 0, len(streams))
	for _, s := range streams {
		i := PartitionInfo{
			Generation: s.generation, Partition: s.partition, Partitions: s.partitions, IsRetired: s.isRetired,
			Messages: s.info.State.Msgs, Bytes: s.info.State.Bytes, MaxBytes: s.info.Config.MaxBytes,
			First: s.info.State.FirstSeq, Last: s.info.State.LastSeq, Created: s.info.Created,
		}
		if i.IsRetired {
			i.MaxBytes = 0
		}
		out = append(out, i)
	}
	return out
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

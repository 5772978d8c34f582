package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"roomtrail/events"
)

// recheckEvery is how often a reader makes sure that the log is still the one
// it knew.
const recheckEvery = 10 * time.Second

// gather is how long a reader that has reached the end waits for company for
// what it has read: many small batches cost the projector more.
const gather = 25 * time.Millisecond

// Reader reads one partition in order. It is not safe for concurrent use.
type Reader struct {
	log                   *Log
	generation, partition int
	wait                  time.Duration // for the first message of a batch
	messages              jetstream.MessagesContext
	next                  uint64 // sequence the iterator will give next
	created               time.Time
	checked               time.Time
	last                  uint64 // last sequence known in the stream
}

// Reader returns a reader of a partition of a generation. A Read waits at most
// wait for the first message.
func (l *Log) Reader(generation, partition int, wait time.Duration) *Reader {
	return &Reader{log: l, generation: generation, partition: partition, wait: wait}
}

// Read returns up to limit facts that follow the position. It halts where the
// log is not the one the position was taken from, or has a hole. A message
// that cannot be read is returned with its error, for quarantine.
func (r *Reader) Read(ctx context.Context, after events.Position, limit int) (events.Batch, error) {
	if r.messages == nil || r.next != after.Seq+1 || time.Since(r.checked) > recheckEvery {
		if err := r.recognise(ctx, after); err != nil {
			return events.Batch{}, err
		}
	}
	if r.messages == nil || r.next != after.Seq+1 {
		if err := r.open(ctx, after.Seq+1); err != nil {
			return events.Batch{}, err
		}
	}
	batch := events.Batch{LogCreated: r.created}
	start, more := time.Now(), false
	var last jetstream.Msg
	for len(batch.Facts) < limit {
		wait := r.wait
		switch {
		case more:
			wait = time.Second // the server has told so
		case len(batch.Facts) > 0:
			wait = 2 * time.Millisecond
		}
		m, err := r.messages.Next(jetstream.NextMaxWait(wait))
		if errors.Is(err, nats.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) {
			break
		}
		if err != nil {
			r.Close()
			return events.Batch{}, fmt.Errorf("read stream %s: %w", r.name(), err)
		}
		fact, pending, err := r.fact(m)
		last = m
		if err != nil {
			r.Close()
			return events.Batch{}, err
		}
		if len(batch.Facts) == 0 {
			start = time.Now()
			batch.Facts = make([]events.Stored, 0, min(uint64(limit), pending+16))
		}
		batch.Facts = append(batch.Facts, fact)
		r.next++
		r.last = max(r.last, fact.Ref.Seq+pending)
		if ctx.Err() != nil {
			break
		}
		// The server counted what was pending when it sent this message: more
		// may be on its way, which is worth a moment.
		more = pending > 0
		if !more && time.Since(start) > gather {
			break
		}
	}
	if last != nil { // by the last one the log is recognised
		batch.Facts[len(batch.Facts)-1].Digest = events.Digest(last.Data())
	}
	batch.LogLast = r.last
	return batch, nil
}

func (r *Reader) name() string { return StreamName(r.generation, r.partition) }

// fact reads one message; its place must be the next one.
func (r *Reader) fact(m jetstream.Msg) (f events.Stored, pending uint64, err error) {
	meta, err := m.Metadata()
	if err != nil {
		return f, 0, fmt.Errorf("read stream %s: %w", r.name(), err)
	}
	seq := meta.Sequence.Stream
	if seq != r.next {
		return f, 0, &events.HaltError{Why: fmt.Sprintf("stream %s has a hole: messages %d to %d are missing", r.name(), r.next, seq-1)}
	}
	data := m.Data()
	version := m.Headers().Get(events.SchemaHeader)
	f.Event, f.Err = events.Decode(version, data)
	if f.Err != nil {
		f.Raw, f.Version = data, version
	}
	f.Ref = events.Ref{Generation: r.generation, Partition: r.partition, Seq: seq}
	f.StoredAt = meta.Timestamp.UTC().Truncate(time.Microsecond)
	return f, meta.NumPending, nil
}

// recognise makes sure that the log is the one the position was taken from:
// made at the same time, at least as long, with the same message at its place.
func (r *Reader) recognise(ctx context.Context, after events.Position) error {
	stream, err := r.log.js.Stream(ctx, r.name())
	if err != nil {
		return fmt.Errorf("ask stream %s: %w", r.name(), err)
	}
	info := stream.CachedInfo()
	created := info.Created.UTC().Truncate(time.Microsecond)
	halt := func(format string, args ...any) error {
		r.Close()
		return &events.HaltError{Why: fmt.Sprintf("stream %s "+format, append([]any{r.name()}, args...)...)}
	}
	if after.Seq > 0 {
		switch {
		case !created.Equal(after.LogCreated):
			return halt("was made at %s, the one that was applied at %s: it is another log", created.Format(time.RFC3339Nano), after.LogCreated.Format(time.RFC3339Nano))
		case info.State.LastSeq < after.Seq:
			return halt("ends at %d, but %d was applied: it was rolled back", info.State.LastSeq, after.Seq)
		case info.State.FirstSeq <= after.Seq:
			m, err := stream.GetMsg(ctx, after.Seq)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				break // removed since: erased, or lost, which the reading of what follows would not tell
			}
			if err != nil {
				return fmt.Errorf("get message %d of stream %s: %w", after.Seq, r.name(), err)
			}
			if events.Digest(m.Data) != after.Digest {
				return halt("has another message at %d than was applied: it was rolled back and written again", after.Seq)
			}
		}
	}
	if first := info.State.FirstSeq; first > after.Seq+1 && info.State.LastSeq > after.Seq {
		return halt("begins at %d: messages %d to %d are gone and were not applied", first, after.Seq+1, first-1)
	}
	r.created, r.checked, r.last = created, time.Now(), info.State.LastSeq
	return nil
}

// open starts the iterator at seq.
func (r *Reader) open(ctx context.Context, seq uint64) error {
	r.Close()
	consumer, err := r.log.js.OrderedConsumer(ctx, r.name(), jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:   seq,
	})
	if err != nil {
		return fmt.Errorf("read stream %s from %d: %w", r.name(), seq, err)
	}
	r.messages, err = consumer.Messages(jetstream.PullMaxMessages(10_000))
	if err != nil {
		return fmt.Errorf("read stream %s from %d: %w", r.name(), seq, err)
	}
	r.next = seq
	return nil
}

// Close stops the iterator; a later Read opens another.
func (r *Reader) Close() {
	if r.messages != nil {
		r.messages.Stop()
		r.messages = nil
	}
}

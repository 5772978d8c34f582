package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"roomtrail/events"
)

// Limits of the group commit. The server takes 1 000 messages in a batch; an
// atomic batch has a fixed cost, below batchFrom plain publishes are faster.
const (
	maxBatch  = 1000
	batchFrom = 12
)

// ErrFull says that a partition has reached its size; nothing was stored.
var ErrFull = errors.New("the log is full")

// ErrUnknown says that the log did not answer: the events may be stored or
// not. Sending them again is harmless.
var ErrUnknown = errors.New("the log did not answer")

// Append makes events durable: nil means that the server has acknowledged all
// of them. After any error some may be stored; they may all be sent again.
// What a generation does not take goes to the next one, if there is one by now.
func (l *Log) Append(ctx context.Context, list []events.Event) error {
	n := len(list)
	for len(list) > 0 {
		to := l.now.Load()
		failed, err := to.append(ctx, list)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("append %d events: %w", n, err)
		}
		moved, lookErr := l.follow(ctx, to, err)
		if lookErr != nil {
			return fmt.Errorf("append %d events: %w", n, errors.Join(err, lookErr))
		}
		if !moved {
			return fmt.Errorf("append %d events: %w", n, err)
		}
		list = failed
	}
	return nil
}

// append hands events to the writers and waits for all of them. With an error
// it returns the events of the partitions that failed.
func (g *written) append(ctx context.Context, list []events.Event) (failed []events.Event, first error) {
	requests := make([]*request, g.partitions)
	for i := range list {
		e := &list[i]
		p := events.Partition(e.Bucket(), g.partitions)
		if requests[p] == nil {
			requests[p] = &request{done: make(chan error, 1)}
		}
		requests[p].messages = append(requests[p].messages, &nats.Msg{
			Subject: Subject(g.generation, p, e),
			Header:  nats.Header{events.SchemaHeader: {events.SchemaVersion}},
			Data:    events.Encode(e),
		})
	}
	for p, r := range requests {
		if r == nil {
			continue
		}
		r.left = len(r.messages)
		select {
		case g.writers[p].in <- r:
		case <-ctx.Done():
			r.done <- fmt.Errorf("%w: %w", ErrUnknown, ctx.Err())
		}
	}
	hasFailed := make([]bool, g.partitions)
	for p, r := range requests {
		if r == nil {
			continue
		}
		select {
		case err := <-r.done:
			hasFailed[p] = err != nil
			if first == nil {
				first = err
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrUnknown, ctx.Err())
		}
	}
	if first == nil {
		return nil, nil
	}
	for i := range list {
		if hasFailed[events.Partition(list[i].Bucket(), g.partitions)] {
			failed = append(failed, list[i])
		}
	}
	return failed, first
}

// request is one caller's events for one partition.
type request struct {
	messages []*nats.Msg
	left     int // messages without an answer
	failed   error
	done     chan error
}

// answer tells the request what became of n of its messages.
func (r *request) answer(n int, err error) {
	r.left -= n
	if r.failed == nil {
		r.failed = err
	}
	if r.left == 0 {
		r.done <- r.failed
	}
}

// writer is the group commit of one partition: what arrives while it waits
// for the disk goes out together.
type writer struct {
	js      jetstream.JetStream
	config  Config
	in      chan *request
	done    chan struct{}
	pending []*request // in order; the first may be sent in part
	count   int        // messages pending
}

func startWriter(js jetstream.JetStream, config Config) *writer {
	w := &writer{js: js, config: config, in: make(chan *request, 256), done: make(chan struct{})}
	go w.run()
	return w
}

// run ends when in is closed and everything has been answered.
func (w *writer) run() {
	defer close(w.done)
	for {
		if w.count == 0 {
			r, ok := <-w.in
			if !ok {
				return
			}
			w.take(r)
		}
		w.gather()
		w.flush()
	}
}

func (w *writer) take(r *request) {
	w.pending = append(w.pending, r)
	w.count += len(r.messages)
}

// gather waits a little for company, so that many share one flush of the disk.
func (w *writer) gather() {
	linger := time.NewTimer(w.config.Linger)
	defer linger.Stop()
	for w.count < maxBatch {
		select {
		case r, ok := <-w.in:
			if !ok {
				return
			}
			w.take(r)
		case <-linger.C:
			return
		}
	}
}

// flush sends up to one batch and answers those it belongs to.
func (w *writer) flush() {
	n := min(w.count, maxBatch)
	batch := make([]*nats.Msg, 0, n)
	type share struct {
		r *request
		n int
	}
	var shares []share
	for len(batch) < n {
		r := w.pending[0]
		k := min(len(r.messages), n-len(batch))
		batch = append(batch, r.messages[:k]...)
		shares = append(shares, share{r, k})
		if r.messages = r.messages[k:]; len(r.messages) == 0 {
			w.pending = w.pending[1:]
		}
	}
	w.count -= n
	err := w.send(batch)
	for _, s := range shares {
		s.r.answer(s.n, err)
	}
}

// send publishes the messages and waits for the acknowledgement.
func (w *writer) send(batch []*nats.Msg) error {
	ctx, cancel := context.WithTimeout(context.Background(), w.config.Timeout)
	defer cancel()
	if len(batch) >= batchFrom {
		_, err := jetstreamext.PublishMsgBatch(ctx, w.js, batch, jetstreamext.BatchFlowControl{AckTimeout: w.config.Timeout})
		return explain(err)
	}
	futures := make([]jetstream.PubAckFuture, 0, len(batch))
	for _, m := range batch {
		f, err := w.js.PublishMsgAsync(m)
		if err != nil {
			return explain(err)
		}
		futures = append(futures, f)
	}
	for _, f := range futures {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			return explain(err)
		case <-ctx.Done():
			return explain(ctx.Err())
		}
	}
	return nil
}

// Codes of the server.
const (
	codeStreamFull = jetstream.ErrorCode(10077) // the stream's limit
	codeNoStorage  = jetstream.ErrorCode(10047) // the server's storage is used up
)

// explain tells a full log from one whose answer is unknown.
func explain(err error) error {
	if err == nil {
		return nil
	}
	var api *jetstream.APIError
	if errors.As(err, &api) && (api.ErrorCode == codeStreamFull || api.ErrorCode == codeNoStorage) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return fmt.Errorf("%w: %w", ErrUnknown, err)
}

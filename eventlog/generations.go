package eventlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"roomtrail/events"
)

// The number of partitions is fixed within a generation; another number is
// another generation.
//
//	make g+1/0 ──> make g+1/1 … g+1/n-1 ──> retire g/0 … g/m-1
//	whoever makes    events still go           from here each event
//	it decides n     to g alone                goes to g+1
//
// A stream is retired in two steps: its subject is taken away, and when what
// had come by then is stored, its size is set to nothing, so that whatever
// reaches it still is refused when it is to be stored. Its messages stay, can be
// read, and can be removed when a person is erased, which a sealed stream would
// not allow. No other change is ever made to a stream, and what is missing
// follows from the streams that are there: any number of processes may do any
// step, at any time, again.

// stream is one partition as the server knows it.
type stream struct {
	generation, partition int
	partitions            int // of its generation
	isRetired             bool
	info                  *jetstream.StreamInfo
}

// newestOf is the generation that is written to, or about to be.
func newestOf(streams []stream) stream { return streams[len(streams)-1] }

// step is one thing to do to a stream.
type step struct {
	retire                bool // else make it
	generation, partition int
}

// next says what is to be done until the newest generation alone is written
// to; false where nothing is. All of it must be there before another is retired.
func next(streams []stream) (step, bool) {
	newest := newestOf(streams)
	for p := range newest.partitions {
		if !slices.ContainsFunc(streams, func(s stream) bool { return s.generation == newest.generation && s.partition == p }) {
			return step{generation: newest.generation, partition: p}, true
		}
	}
	for _, s := range streams {
		if s.generation < newest.generation && !s.isRetired {
			return step{true, s.generation, s.partition}, true
		}
	}
	return step{}, false
}

// list asks the server for the streams of all generations, in order. Names
// come from what was assigned, so that none is missing for being out of reach.
func (l *Log) list(ctx context.Context) ([]stream, error) {
	var out []stream
	names := l.js.StreamNames(ctx)
	for name := range names.Name() {
		var s stream
		if _, err := fmt.Sscanf(name, "ROOM_EVENTS_%d_%d", &s.generation, &s.partition); err == nil && StreamName(s.generation, s.partition) == name {
			out = append(out, s)
		}
	}
	if err := names.Err(); err != nil {
		return nil, fmt.Errorf("list streams: %w", err)
	}
	slices.SortFunc(out, func(a, b stream) int {
		return cmp.Or(cmp.Compare(a.generation, b.generation), cmp.Compare(a.partition, b.partition))
	})
	for i := range out {
		if err := l.look(ctx, &out[i]); err != nil {
			return nil, fmt.Errorf("stream %s: %w", StreamName(out[i].generation, out[i].partition), err)
		}
		if i > 0 && out[i].generation == out[i-1].generation && out[i].partitions != out[i-1].partitions {
			return nil, fmt.Errorf("stream %s was made for %d partitions, the one before it for %d; their number is fixed within a generation",
				StreamName(out[i].generation, out[i].partition), out[i].partitions, out[i-1].partitions)
		}
	}
	return out, nil
}

// look fills in what the server says of a stream, and checks it.
func (l *Log) look(ctx context.Context, s *stream) error {
	found, err := l.js.Stream(ctx, StreamName(s.generation, s.partition))
	if err != nil {
		return err
	}
	s.info = found.CachedInfo()
	s.isRetired = !slices.Contains(s.info.Config.Subjects, subjects(s.generation, s.partition)) && s.info.Config.MaxBytes == retiredBytes
	if s.partitions, err = strconv.Atoi(s.info.Config.Metadata[partitionsKey]); err != nil {
		return errors.New("it says nothing of its partitions: it was not made by this program")
	}
	if s.partition >= s.partitions {
		return fmt.Errorf("generation %d was made for %d partitions; their number is fixed within a generation", s.generation, s.partitions)
	}
	return check(s.info.Config)
}

// finish makes a log where there is none, does what is left of an opening that
// was broken off, and returns the streams.
func (l *Log) finish(ctx context.Context) ([]stream, error) {
	for {
		streams, err := l.list(ctx)
		if err != nil {
			return nil, err
		}
		if len(streams) == 0 {
			if err := l.create(ctx, 1, 0, l.config.Partitions, l.config.MaxBytes); err != nil {
				return nil, err
			}
			continue
		}
		todo, more := next(streams)
		if !more {
			return streams, nil
		}
		if err := l.do(ctx, todo, streams); err != nil {
			return nil, err
		}
	}
}

func (l *Log) do(ctx context.Context, todo step, streams []stream) error {
	if todo.retire {
		i := slices.IndexFunc(streams, func(s stream) bool { return s.generation == todo.generation && s.partition == todo.partition })
		return l.retire(ctx, streams[i])
	}
	newest := newestOf(streams)
	return l.create(ctx, todo.generation, todo.partition, newest.partitions, newest.info.Config.MaxBytes)
}

// leastBytes is below what a new stream is not made.
const leastBytes = 1 << 20

// create makes a stream. Where another was faster, that one counts. The
// generation before still holds its space: where there is too little beside
// it, the stream gets less.
func (l *Log) create(ctx context.Context, generation, partition, partitions int, maxBytes int64) error {
	for {
		_, err := l.js.CreateStream(ctx, l.streamConfig(generation, partition, partitions, maxBytes))
		var api *jetstream.APIError
		switch {
		case errors.Is(err, jetstream.ErrStreamNameAlreadyInUse):
			return nil
		case generation > 1 && errors.As(err, &api) && api.ErrorCode == codeNoStorage && maxBytes/2 >= leastBytes:
			maxBytes /= 2
		case err != nil:
			return fmt.Errorf("make stream %s: %w", StreamName(generation, partition), err)
		default:
			return nil
		}
	}
}

// retiredBytes is the size of a stream that has been retired: no message fits.
const retiredBytes = 1

// retire takes care that nothing is stored in a stream any more. A size that
// changes amid an atomic batch would leave a part of it, without an answer: the
// stream is asked to store something impossible, which it refuses when it has
// come to it, after all that was there before.
func (l *Log) retire(ctx context.Context, s stream) error {
	config := s.info.Config
	closed := fmt.Sprintf("room.closed.%d.%d", s.generation, s.partition)
	config.Subjects = []string{closed}
	_, err := l.js.UpdateStream(ctx, config)
	if err == nil {
		if _, err = l.js.Publish(ctx, closed, nil, jetstream.WithExpectLastSequence(math.MaxInt64)); isAnswer(err) {
			config.MaxBytes = retiredBytes
			_, err = l.js.UpdateStream(ctx, config)
		}
	}
	if err != nil {
		return fmt.Errorf("retire stream %s: %w", config.Name, err)
	}
	return nil
}

// isAnswer says that it is the stream's own refusal, not the want of one.
func isAnswer(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api)
}

// Repartition opens a generation of n partitions of at most maxBytes each (0:
// as configured) unless the newest has as many, and writes to it from then on.
// Other processes go over to it when the one before refuses them. After an
// error it may be called again, here or elsewhere.
func (l *Log) Repartition(ctx context.Context, n int, maxBytes int64) error {
	if n < 1 || n > events.Buckets {
		return fmt.Errorf("open generation: %d partitions; want 1 to %d", n, events.Buckets)
	}
	if maxBytes == 0 {
		maxBytes = l.config.MaxBytes
	}
	streams, err := l.finish(ctx)
	if err != nil {
		return fmt.Errorf("open generation: %w", err)
	}
	if before := newestOf(streams); before.partitions != n {
		if err := l.create(ctx, before.generation+1, 0, n, maxBytes); err != nil {
			return fmt.Errorf("open generation: %w", err)
		}
		if streams, err = l.finish(ctx); err != nil {
			return fmt.Errorf("open generation: %w", err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.write(newestOf(streams))
	if got := l.now.Load(); got.partitions != n {
		return fmt.Errorf("open generation: somebody else has opened generation %d with %d partitions meanwhile", got.generation, got.partitions)
	}
	return nil
}

// Finish does what is left of an opening that was broken off, and returns the
// partitions of all generations.
func (l *Log) Finish(ctx context.Context) ([]PartitionInfo, error) {
	streams, err := l.finish(ctx)
	if err != nil {
		return nil, fmt.Errorf("look at the log: %w", err)
	}
	return infos(streams), nil
}

// lookAgain is how long nothing new is expected where the last look found
// nothing, or found no answer.
const lookAgain = time.Second

// follow goes over to a newer generation than the one that has refused
// something or said nothing. It returns false where there is none. Where the
// subject is gone it always looks.
func (l *Log) follow(ctx context.Context, from *written, refusal error) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now.Load() != from {
		return true, nil
	}
	isGone := errors.Is(refusal, nats.ErrNoResponders) || errors.Is(refusal, jetstream.ErrNoStreamResponse)
	if !isGone && time.Since(l.looked) < lookAgain {
		return false, nil
	}
	defer func() { l.looked = time.Now() }()
	ctx, cancel := context.WithTimeout(ctx, l.config.Timeout)
	defer cancel()
	streams, err := l.list(ctx)
	if err != nil || len(streams) == 0 {
		return false, err
	}
	// One that is not whole has not retired another yet: the one before it takes
	// events.
	if todo, more := next(streams); more && !todo.retire {
		streams = slices.DeleteFunc(streams, func(s stream) bool { return s.generation == todo.generation })
		if len(streams) == 0 {
			return false, nil
		}
	}
	l.write(newestOf(streams))
	return l.now.Load() != from, nil
}

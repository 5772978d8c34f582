package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"roomtrail/embedded"
	"roomtrail/eventlog"
	"roomtrail/events"
	"roomtrail/intake"
	"roomtrail/pipeline"
)

// sink is where an import goes. take returns when the lines are durable, with
// those that were rejected.
type sink interface {
	take(ctx context.Context, lines [][]byte) ([]rejection, error)
	log(ctx context.Context) (created time.Time, err error) // which log it is
	close(ctx context.Context) error
}

type rejection struct {
	index  int
	reason error
}

// open chooses: a running stack is asked through its door, since its log has
// no port; otherwise the log is opened here, with what else is embedded.
func (f *importFiles) open(t *terminal) (sink, error) {
	if f.NATSURL == "" {
		running, err := embedded.Find(f.DataDir)
		if err == nil && running.IntakeURL != "" {
			door := &doorSink{url: running.IntakeURL, key: running.ImportKey}
			if f.Format == "zego-callbacks" {
				door.read = f.read
			}
			return door, nil
		}
		if err != nil && !errors.Is(err, embedded.ErrNotRunning) {
			return nil, err
		}
	}
	// With real servers the projector that runs there applies the events;
	// without, this process does.
	p, err := pipeline.Start(t.ctx, pipeline.Config{
		DatabaseURL: f.DatabaseURL, NATSURL: f.NATSURL, DataDir: f.DataDir,
		Project: f.NATSURL == "", Logger: t.logger(),
	})
	if err != nil {
		return nil, err
	}
	return &logSink{pipeline: p, read: f.read, drain: f.NATSURL == ""}, nil
}

// logSink appends to the log itself.
type logSink struct {
	pipeline *pipeline.Pipeline
	read     reader
	drain    bool
}

func (s *logSink) take(ctx context.Context, lines [][]byte) (rejected []rejection, err error) {
	list, rejected := readAll(s.read, lines)
	return rejected, again(ctx, func() error {
		err := s.pipeline.Log().Append(ctx, list)
		if errors.Is(err, eventlog.ErrFull) {
			return &finalError{err}
		}
		return err
	})
}

func (s *logSink) log(ctx context.Context) (created time.Time, err error) {
	info, err := s.pipeline.Log().Info(ctx)
	if err != nil {
		return created, err
	}
	return info[0].Created, nil
}

func (s *logSink) close(ctx context.Context) error {
	var err error
	if s.drain {
		err = s.pipeline.Drain(ctx)
	}
	return errors.Join(err, s.pipeline.Stop(ctx))
}

// readAll reads lines into events that can be appended.
func readAll(read reader, lines [][]byte) (list []events.Event, rejected []rejection) {
	now := time.Now()
	list = make([]events.Event, 0, len(lines))
	for i, line := range lines {
		e, err := read(now, line)
		if err != nil {
			rejected = append(rejected, rejection{i, err})
			continue
		}
		_, _ = rand.Read(e.Salt[:]) // never fails
		list = append(list, e)
	}
	return list, rejected
}

// doorSink posts to the door of a running stack: events as they are, which it
// reads itself; anything else as messages of the log.
type doorSink struct {
	url, key string
	read     reader // nil: the door reads
}

func (s *doorSink) take(ctx context.Context, lines [][]byte) (rejected []rejection, err error) {
	if s.read != nil {
		list, rejected := readAll(s.read, lines)
		messages := make([][]byte, 0, len(list))
		for i := range list {
			messages = append(messages, events.Encode(&list[i]))
		}
		return rejected, again(ctx, func() error { _, err := s.post(ctx, "/v1/messages", messages); return err })
	}
	// A body holds at most 8 MiB, which a batch of large lines would pass.
	for start := 0; start < len(lines); {
		end, size := start, 0
		for end < len(lines) && (end == start || size+len(lines[end]) < 4<<20) {
			size += len(lines[end]) + 1
			end++
		}
		part := lines[start:end]
		err := again(ctx, func() error {
			verdicts, err := s.post(ctx, "/v1/events", part)
			for i := range verdicts {
				verdicts[i].index += start
			}
			rejected = append(rejected, verdicts...)
			return err
		})
		if err != nil {
			return rejected, err
		}
		start = end
	}
	return rejected, nil
}

func (s *doorSink) post(ctx context.Context, path string, lines [][]byte) ([]rejection, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+path, bytes.NewReader(bytes.Join(lines, []byte("\n"))))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Authorization", "Bearer "+s.key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusServiceUnavailable {
		return nil, fmt.Errorf("the intake answers %s: %s", res.Status, body)
	}
	if res.StatusCode != http.StatusOK {
		return nil, &finalError{fmt.Errorf("the intake answers %s: %s", res.Status, body)}
	}
	var answer struct {
		Results []struct {
			Index        int
			Error, Field string
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, err
	}
	var rejected []rejection
	for _, r := range answer.Results {
		rejected = append(rejected, rejection{r.Index, &events.Refused{Field: r.Field, Reason: r.Error}})
	}
	return rejected, nil
}

func (s *doorSink) log(ctx context.Context) (created time.Time, err error) {
	var r intake.Readiness
	if err := getJSON(ctx, s.url+"/readyz", &r); err != nil || len(r.Partitions) == 0 {
		return created, fmt.Errorf("ask the intake for its log: %w", err)
	}
	return r.Partitions[0].Created, nil
}

func (s *doorSink) close(context.Context) error { return nil }

// finalError is one that trying again does not mend.
type finalError struct{ err error }

func (e *finalError) Error() string { return e.err.Error() }
func (e *finalError) Unwrap() error { return e.err }

// again tries until it works, the context ends or a minute has passed: no
// answer means unknown, and copies are harmless.
func again(ctx context.Context, try func() error) error {
	deadline := time.Now().Add(time.Minute)
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := try()
		var final *finalError
		if err == nil || errors.As(err, &final) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("stopped: %w", err)
		case <-time.After(pause):
		}
	}
}

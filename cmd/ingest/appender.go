package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"roomtrail/embedded"
	"roomtrail/events"
	"roomtrail/pipeline"
)

// appender brings an event into the log as it is, with trust and times.
type appender struct {
	databaseURL string // of the owner, beside that log
	append      func(context.Context, events.Event) error
	close       func(context.Context) error
}

// openAppender chooses as an import does: the door of a running stack, whose
// log has no port, else the log itself, with what else is embedded.
func openAppender(t *terminal, s *servers) (appender, error) {
	var running embedded.Endpoint
	if s.DatabaseURL == "" || s.NATSURL == "" {
		var err error
		if running, err = embedded.Find(s.DataDir); err != nil && !errors.Is(err, embedded.ErrNotRunning) {
			return appender{}, err
		}
	}
	database := s.DatabaseURL
	if database == "" {
		database = running.DatabaseURL
	}
	if s.NATSURL == "" && running.IntakeURL != "" {
		return appender{
			databaseURL: database,
			append:      func(ctx context.Context, e events.Event) error { return postMessage(ctx, running, &e) },
			close:       func(context.Context) error { return nil },
		}, nil
	}
	// With real servers the projector that runs there applies what is appended;
	// without, this process does.
	project := s.NATSURL == "" || database == ""
	p, err := pipeline.Start(t.ctx, pipeline.Config{
		DatabaseURL: database, NATSURL: s.NATSURL, DataDir: s.DataDir, Project: project, Logger: t.logger(),
	})
	if err != nil {
		return appender{}, err
	}
	if project {
		database = p.DatabaseURL()
	}
	return appender{
		databaseURL: database,
		append:      func(ctx context.Context, e events.Event) error { return p.Log().Append(ctx, []events.Event{e}) },
		close: func(ctx context.Context) error {
			var err error
			if project {
				err = p.Drain(ctx)
			}
			return errors.Join(err, p.Stop(ctx))
		},
	}, nil
}

// postMessage hands one message to the door, which answers when it is durable.
func postMessage(ctx context.Context, running embedded.Endpoint, e *events.Event) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, running.IntakeURL+"/v1/messages", bytes.NewReader(events.Encode(e)))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+running.ImportKey)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10)) // the status says enough
		return fmt.Errorf("the intake answers %s: %s", res.Status, bytes.TrimSpace(body))
	}
	return nil
}

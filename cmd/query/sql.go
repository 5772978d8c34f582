package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"roomtrail/commandline"
	"roomtrail/query"
)

// sqlCommand runs a query that somebody typed.
type sqlCommand struct {
	Query string `arg:"" help:"One SELECT, VALUES, TABLE or WITH; - reads it from standard input."`
}

func (c *sqlCommand) Help() string {
	return `The query runs in a transaction that cannot write, as a role that sees the public views alone, for 30 s at most.
Takes --limit.

Views: room_events, sessions, interruptions, kicks, heartbeat_timeouts, anomalies, error_codes, pipeline_status.`
}

// typed stands for the question that somebody types, which is in no table: of
// the parameters it takes the limit alone.
var typed = query.Question{Name: "sql", Params: []query.Param{{Name: "limit"}}}

// maxQuery bounds what is read from standard input.
const maxQuery = 1 << 20

func (c *sqlCommand) Run(p *program) error {
	request, err := typed.Request(p.now(), p.given())
	if err != nil {
		return err
	}
	text, err := c.text(p)
	if err != nil {
		return err
	}
	source, err := p.open()
	if err != nil {
		return err
	}
	defer source.Close()
	answer, err := source.SQL(p.ctx, text, request.Limit)
	if err != nil {
		return err
	}
	return p.show(query.Result{Request: request, Answer: answer})
}

func (c *sqlCommand) text(p *program) (string, error) {
	text := c.Query
	if text == "-" {
		b, err := readAll(p.ctx, io.LimitReader(p.stdin, maxQuery+1))
		if err != nil {
			return "", fmt.Errorf("read query: %w", err)
		}
		if len(b) > maxQuery {
			return "", fmt.Errorf("read query: standard input is over %d bytes", maxQuery)
		}
		text = string(b)
	}
	if strings.TrimSpace(text) == "" {
		return "", &commandline.UsageError{Err: fmt.Errorf("read query: it is empty; want one SELECT")}
	}
	return text, nil
}

// readAll ends with the context too: a read of a terminal does not.
func readAll(ctx context.Context, r io.Reader) ([]byte, error) {
	out, in := io.Pipe()
	defer context.AfterFunc(ctx, func() { in.CloseWithError(ctx.Err()) })()
	go func() {
		_, err := io.Copy(in, r)
		in.CloseWithError(err)
	}()
	return io.ReadAll(out)
}

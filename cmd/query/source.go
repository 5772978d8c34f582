package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"roomtrail/query"
	"roomtrail/readmodel"
)

// howToStart follows every sentence about a read model that is not there.
const howToStart = "start one with go run ./cmd/demo or go run ./cmd/ingest serve, or set DATABASE_URL"

// source answers questions from Postgres.
type source struct {
	*readmodel.Asker
	where string // what the URL came from, and what to do when nobody answers there
	hint  string
}

// open prepares to ask DATABASE_URL, or the stack that runs on the data
// directory.
func (p *program) open() (*source, error) {
	url, where, hint := p.DatabaseURL, "DATABASE_URL", "check DATABASE_URL"
	if url == "" {
		var err error
		if url, err = readerURL(p.DataDir); err != nil {
			return nil, err
		}
		where, hint = "the stack of "+p.DataDir, howToStart
	}
	asker, err := readmodel.OpenAsker(p.ctx, url)
	if err != nil {
		return nil, err
	}
	return &source{asker, where, hint}, nil
}

// readerURL reads where the stack that owns a data directory can be asked. A
// file that outlived its stack is noticed when nobody answers.
func readerURL(dataDir string) (string, error) {
	path := filepath.Join(dataDir, "endpoint.json")
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("find a running stack: no %s; %s", path, howToStart)
	}
	if err != nil {
		return "", fmt.Errorf("find a running stack: %w", err)
	}
	var endpoint struct {
		ReaderURL string `json:"reader_url"`
	}
	if err := json.Unmarshal(b, &endpoint); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	if endpoint.ReaderURL == "" {
		return "", fmt.Errorf("read %s: reader_url is empty; %s", path, howToStart)
	}
	return endpoint.ReaderURL, nil
}

// Ask implements query.Source.
func (s *source) Ask(ctx context.Context, sql string, args map[string]any, limit int) (query.Answer, error) {
	a, err := s.Asker.Ask(ctx, sql, args, limit)
	if pgErr := (*pgconn.PgError)(nil); errors.As(err, &pgErr) && slices.Contains(undefined, pgErr.Code) {
		err = fmt.Errorf("%w; the schema does not fit this program: go run ./cmd/ingest migrate up", err)
	}
	return s.adapt(a, err)
}

// undefined are Postgres' codes for a view, column or function that is not there.
var undefined = []string{"42P01", "42703", "42883"}

// SQL runs a query that somebody typed.
func (s *source) SQL(ctx context.Context, text string, limit int) (query.Answer, error) {
	return s.adapt(s.Asker.SQL(ctx, text, limit))
}

func (s *source) adapt(a readmodel.Answer, err error) (query.Answer, error) {
	if err != nil {
		return query.Answer{}, s.explain(err)
	}
	answer := query.Answer{Rows: a.Rows, More: a.More}
	for _, c := range a.Columns {
		answer.Columns = append(answer.Columns, c.Name)
	}
	return answer, nil
}

// explain sorts what Postgres says into what can be done about it.
func (s *source) explain(err error) error {
	var connect *pgconn.ConnectError
	var pgErr *pgconn.PgError
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &connect):
		return fmt.Errorf("%w: reach %s: %w; %s", query.ErrUnavailable, s.where, err, s.hint)
	case errors.Is(err, context.DeadlineExceeded):
		return err
	case !errors.As(err, &pgErr):
		return fmt.Errorf("%w: %w", query.ErrUnavailable, err) // the connection broke
	case pgErr.Code == "57014": // query_canceled, by statement_timeout
		return fmt.Errorf("%w: %w; ask for a shorter time or set a filter", query.ErrTimeout, err)
	case strings.HasPrefix(pgErr.Code, "53"), strings.HasPrefix(pgErr.Code, "57P"), pgErr.Code == "55P03":
		return fmt.Errorf("%w: %w", query.ErrUnavailable, err)
	}
	return err
}

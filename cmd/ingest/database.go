package main

import (
	"context"
	"errors"

	"roomtrail/embedded"
)

// withDatabase finds the database: the one that is named, that of the running stack,
// or the private one, which is started for as long as it takes.
func (s *servers) withDatabase(t *terminal, do func(url string) error) error {
	if s.DatabaseURL != "" {
		return do(s.DatabaseURL)
	}
	running, err := embedded.Find(s.DataDir)
	if err == nil {
		return do(running.DatabaseURL)
	}
	if !errors.Is(err, embedded.ErrNotRunning) {
		return err
	}
	dir, err := embedded.OpenDir(s.DataDir)
	if err != nil {
		return err
	}
	defer dir.Close()
	pg, err := embedded.StartPostgres(t.ctx, embedded.PostgresConfig{Dir: dir.Path() + "/postgres", Logger: t.logger()})
	if err != nil {
		return err
	}
	defer func() { _ = pg.Stop(context.WithoutCancel(t.ctx)) }()
	return do(pg.DSN(pg.Superuser(), "postgres"))
}

package main

import (
	"fmt"

	"roomtrail/projections"
	"roomtrail/readmodel"
)

type migrate struct {
	servers
	ReaderPassword string `env:"ROOMTRAIL_READER_PASSWORD" placeholder:"PASSWORD" help:"Password to set for the role roomtrail_reader."`

	Up     migrateUp     `cmd:"" help:"Bring the schema up to what this program wants."`
	Status migrateStatus `cmd:"" help:"Show where the schema stands."`
	Repair migrateRepair `cmd:"" help:"After a migration failed half way: take the mark back and run it again."`
}

type (
	migrateUp     struct{}
	migrateStatus struct{}
	migrateRepair struct{}
)

func (migrateUp) Run(t *terminal, p *program) error {
	return p.Migrate.withDatabase(t, func(url string) error {
		if err := readmodel.Migrate(t.ctx, url, p.Migrate.ReaderPassword); err != nil {
			return err
		}
		return p.Migrate.show(t, url)
	})
}

func (migrateStatus) Run(t *terminal, p *program) error {
	return p.Migrate.withDatabase(t, func(url string) error { return p.Migrate.show(t, url) })
}

func (migrateRepair) Run(t *terminal, p *program) error {
	return p.Migrate.withDatabase(t, func(url string) error {
		if err := readmodel.Repair(t.ctx, url, p.Migrate.ReaderPassword); err != nil {
			return err
		}
		return p.Migrate.show(t, url)
	})
}

func (m *migrate) show(t *terminal, url string) error {
	s, err := readmodel.SchemaStatus(t.ctx, url)
	if err != nil {
		return err
	}
	note := "up to date"
	switch {
	case s.Dirty:
		note = "FAILED half way; mend the cause and run: ingest migrate repair"
	case s.Version < s.Latest:
		note = "behind; run: ingest migrate up"
	case s.Version > s.Latest:
		note = "newer than this program"
	}
	fmt.Fprintf(t.stdout, "facts       version %d of %d, %s\nread model  version %d live, this program's is %d\n",
		s.Version, s.Latest, note, s.Live, projections.Version)
	return nil
}

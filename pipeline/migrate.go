package pipeline

import (
	"context"
	"errors"
	"time"

	"roomtrail/readmodel"
)

// migrate brings the schema up. Where an older version of the read model is live
// it is filled anew, if the database is this process's own: else others write to
// it, and a person decides when.
func (p *Pipeline) migrate(ctx context.Context) error {
	if !p.config.Project {
		return nil
	}
	if !p.config.NoMigrate {
		err := readmodel.Migrate(ctx, p.databaseURL, p.config.ReaderPassword)
		if errors.Is(err, readmodel.ErrNeedsRebuild) && p.config.ownPostgres() {
			if err = p.rebuild(ctx); err == nil { // what the views need beside the tables is made by Migrate
				err = readmodel.Migrate(ctx, p.databaseURL, p.config.ReaderPassword)
			}
		}
		if err != nil {
			return err
		}
	}
	return readmodel.CheckSchema(ctx, p.databaseURL)
}

// rebuildSaidEvery is how often a rebuild that runs before the door opens says
// how far it is.
const rebuildSaidEvery = 5 * time.Second

// rebuild fills this program's version of the read model where an older one is
// live. Nobody else writes: this process owns the database and runs nothing yet.
func (p *Pipeline) rebuild(ctx context.Context) error {
	logger := p.config.Logger
	logger.Info("filling the read model of this version from the facts; it was written by an older program")
	var said time.Time
	report, err := readmodel.Rebuild(ctx, p.databaseURL, readmodel.RebuildConfig{Progress: func(r readmodel.RebuildProgress) {
		if time.Since(said) >= rebuildSaidEvery {
			said = time.Now()
			logger.Info("rebuilding", "step", r.Step, "done", r.Done, "of", r.Of)
		}
	}})
	if err != nil {
		return err
	}
	logger.Info("rebuilt", "from", report.From, "to", report.To, "facts", report.Facts, "took", report.Took.Round(time.Millisecond))
	return nil
}

package readmodel

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"roomtrail/events"
	"roomtrail/projections"
)

// OpenThrough is Open over connections that dial makes.
func OpenThrough(ctx context.Context, url, owner string, dial pgconn.DialFunc) (*ReadModel, error) {
	pc, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	pc.ConnConfig.DialFunc = dial
	return open(ctx, pc, Config{Owner: owner, Lease: time.Minute}, ofVersion(projections.Version))
}

// Break gives the fold a fault: it panics half way, over events that say so.
func (m *ReadModel) Break(over func(events.Stored) bool) {
	m.Bend(func(rows *projections.Rows, fresh []events.Stored) {
		for _, f := range fresh {
			if over(f) {
				panic("there is no such state")
			}
		}
	})
}

// Bend gives the fold a fault: what it finds is changed before it is written, of
// one set at a time.
func (m *ReadModel) Bend(change func(found *projections.Rows, fresh []events.Stored)) {
	var one sync.Mutex
	m.advance = func(profiles projections.Profiles, saved *projections.Session, old, fresh []events.Stored) (*projections.Session, projections.Rows, projections.Gone) {
		state, rows, gone := projections.Advance(profiles, saved, old, fresh)
		one.Lock()
		defer one.Unlock()
		change(&rows, fresh)
		return state, rows, gone
	}
}

// WithTracer lets a test see, and stop, every statement of a rebuild.
func (c RebuildConfig) WithTracer(tracer pgx.QueryTracer) RebuildConfig {
	c.tracer = tracer
	return c
}

// WithBreak gives the fold of a rebuild a fault, as Break does.
func (c RebuildConfig) WithBreak(over func(events.Stored) bool) RebuildConfig {
	var m ReadModel
	m.Break(over)
	c.advance = m.advance
	return c
}

// OpenVersion opens the read model as a program of an older version would.
func OpenVersion(ctx context.Context, url, owner string, version int) (*ReadModel, error) {
	pc, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	return open(ctx, pc, Config{Owner: owner}, ofVersion(version))
}

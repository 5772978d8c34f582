package readmodel

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"roomtrail/events"
	"roomtrail/projections"
)

// Config is how the read model is opened. The zero value of all but Owner works.
type Config struct {
	// Owner tells this process from others in the position rows. A process
	// that restarts under the same name takes its own claims back at once.
	Owner string
	// Lease is how long a claim holds without a sign of its owner; 0 means 15 s.
	Lease time.Duration
}

// ReadModel writes the facts and rows. It is safe for concurrent use by the
// runners of several partitions.
type ReadModel struct {
	pool    *pgxpool.Pool
	config  Config
	rm      *schema
	advance advance
	taken   func(shard) uint64 // in a rebuild: up to where the facts of a partition have been folded; nil: all that are stored

	mu           sync.Mutex
	identities   map[events.SetKey]identity
	sessions     map[int64]*projections.Session // states of sets that were folded lately
	recent       recent
	months       map[string]bool   // partitions of the facts known to exist
	combinations map[[16]byte]bool // known to be in their table
	pruned       time.Time         // when old freshness was removed last
	staged       sync.Map          // *pgx.Conn: its staging tables exist
}

// advance is projections.Advance, or in a test one that has a fault.
type advance func(profiles projections.Profiles, saved *projections.Session, old, fresh []events.Stored) (*projections.Session, projections.Rows, projections.Gone)

// identity is what a set is called in the tables.
type identity struct {
	id          int64
	firstStored time.Time
}

// Bounds of what is remembered: about 40 MB of identities, and as much as
// twice that of states, which spare folding live sessions anew.
const (
	maxIdentities = 200_000
	maxSessions   = 50_000
)

// Open connects to a migrated database.
func Open(ctx context.Context, url string, config Config) (*ReadModel, error) {
	if config.Owner == "" {
		return nil, fmt.Errorf("open read model: no owner is named; want a name of this process")
	}
	pc, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("open read model: %w", err)
	}
	return open(ctx, pc, config, ofVersion(projections.Version))
}

// open connects to the derived tables of a schema.
func open(ctx context.Context, pc *pgxpool.Config, config Config, rm *schema) (*ReadModel, error) {
	if config.Lease == 0 {
		config.Lease = 15 * time.Second
	}
	setParams(pc.ConnConfig, "roomtrail-ingest")
	// A commit that a crash of the server loses, it loses with its position:
	// the facts are read again. Waiting for the disk would buy nothing.
	pc.ConnConfig.RuntimeParams["synchronous_commit"] = "off"
	// A process that freezes within a transaction holds its locks; whoever takes
	// over need not wait for it longer than for its lease.
	pc.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = strconv.FormatInt(config.Lease.Milliseconds(), 10)
	// Plans made while the tables were empty cost a factor of three and more.
	pc.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_custom_plan"
	m := &ReadModel{
		config: config, rm: rm, advance: projections.Advance, identities: make(map[events.SetKey]identity), sessions: make(map[int64]*projections.Session),
		recent: recent{facts: map[int64][]events.Stored{}}, months: make(map[string]bool), combinations: make(map[[16]byte]bool),
	}
	pc.BeforeClose = func(c *pgx.Conn) { m.staged.Delete(c) }
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("open read model: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("open read model: %w", err)
	}
	m.pool = pool
	return m, nil
}

// setParams makes sessions alike whatever the server's defaults are.
func setParams(c *pgx.ConnConfig, application string) {
	c.RuntimeParams["application_name"] = application
	c.RuntimeParams["timezone"] = "UTC"
}

// Close ends the connections.
func (m *ReadModel) Close() { m.pool.Close() }

// Ping says whether the database answers.
func (m *ReadModel) Ping(ctx context.Context) error { return m.pool.Ping(ctx) }

// Profiles are the dated limits.
func (m *ReadModel) Profiles(ctx context.Context) (projections.Profiles, error) {
	return loadProfiles(ctx, m.pool)
}

// loadProfiles loads the dated limits.
func loadProfiles(ctx context.Context, q querier) (projections.Profiles, error) {
	rows, err := q.Query(ctx, `
SELECT coalesce(app_id, ''), coalesce(family, ''), coalesce(platform, ''), valid_from,
       heartbeat_timeout_ms, retry_window_ms, login_timeout_ms, onset_delay_ms, alive_every_ms
FROM roomtrail.profiles`)
	if err != nil {
		return nil, fmt.Errorf("load profiles: %w", err)
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (p projections.Profile, err error) {
		var family string
		err = r.Scan(&p.AppID, &family, &p.Platform, &p.ValidFrom,
			&p.HeartbeatTimeoutMS, &p.RetryWindowMS, &p.LoginTimeoutMS, &p.OnsetDelayMS, &p.AliveEveryMS)
		p.Family = events.Family(family)
		return p, err
	})
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

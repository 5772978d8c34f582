package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/embedded"
	"roomtrail/projections"
	"roomtrail/readmodel"
)

const (
	overviews     = 20
	overviewLimit = "all sums over the counters that these figures need, as one statement for the whole range, without what is decided against now"
)

// overviewFigures are the dozen of a first look.
var overviewFigures = strings.Fields(`login_success service_login_success login_within_5s reconnect_success fast_recovery give_up_rate
	heartbeat_timeout_rate interruption_rate kick_rate lost_sessions clean_exits session_availability`)

// overview asks for a dozen figures of 30 days over 150 combinations of platform,
// version, network, carrier and region, from now back to the second.
func (b *bench) overview(ctx context.Context, r *report) (_ row, err error) {
	out := row{Name: "overview", Unit: "overviews", What: "twelve figures of 30 days over 150 combinations, by function metric", Timed: "an overview", Limit: overviewLimit}
	server, err := embedded.StartPostgres(ctx, embedded.PostgresConfig{Dir: filepath.Join(b.dir, "postgres")})
	if err != nil {
		return out, err
	}
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
		defer cancel()
		err = errors.Join(err, server.Stop(stopping))
	}()
	url := server.DSN(server.Superuser(), "postgres")
	if err := readmodel.Migrate(ctx, url, ""); err != nil {
		return out, err
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return out, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	r.Machine.Postgres = conn.PgConn().ParameterStatus("server_version")
	b.say("overview: filling counters of 30 days")
	if _, err := conn.Exec(ctx, fillCounters()); err != nil {
		return out, fmt.Errorf("fill counters: %w", err)
	}
	asked, limit := clock{postmaster: parentOf(int(conn.PgConn().PID()))}, clock{}
	var took []time.Duration
	for range overviews {
		until := time.Now()
		since := until.AddDate(0, 0, -30)
		began := time.Now()
		err := asked.time(func() error {
			for _, figure := range overviewFigures {
				var denominator float64
				if err := conn.QueryRow(ctx, "SELECT denominator FROM metric($1, $2, $3)", figure, since, until).Scan(&denominator); err != nil || denominator == 0 {
					return errors.Join(err, fmt.Errorf("%s of %v members", figure, denominator))
				}
			}
			return nil
		})
		if err != nil {
			return out, err
		}
		took = append(took, time.Since(began))
		if err := limit.time(func() error { return sumCounters(ctx, conn, since, until) }); err != nil {
			return out, fmt.Errorf("sum counters: %w", err)
		}
	}
	out.measured(overviews, &asked, took)
	out.compare(overviews / limit.elapsed.Seconds())
	return out, nil
}

// fillCounters makes days, hours, and the minutes of the hours at both ends.
func fillCounters() string {
	n := make([]string, len(projections.MeasureColumns))
	for i := range n {
		n[i] = fmt.Sprintf("g.n / %d", 1+i%9)
	}
	return projections.InSchema(projections.Schema(), fmt.Sprintf(`
SET synchronous_commit = off;
INSERT INTO rm.combinations
SELECT md5(n::text)::uuid, 'app', (ARRAY['web', 'android', 'ios'])[1 + n %% 3], 'native', '3.' || n %% 5, (ARRAY['wifi', 'cellular'])[1 + n %% 2], 'carrier ' || n %% 5, 'region ' || n / 30, false
FROM generate_series(0, 149) n;
INSERT INTO rm.counters (grain, at, combination, partition, %s)
SELECT g.grain, at, c.combination, 0, %s
FROM (VALUES (3, interval '24 hours', 14400, interval '0', interval '31 days'), (2, '1 hour', 600, '0', '31 days'),
             (1, '1 minute', 10, '0', '61 minutes'), (1, '1 minute', 10, '30 days', '30 days 61 minutes')) g(grain, width, n, youngest, oldest)
CROSS JOIN LATERAL generate_series(date_bin(width, now() - oldest, '2000-01-03 00:00:00+00'), now() - youngest, width) at
CROSS JOIN rm.combinations c
ON CONFLICT DO NOTHING;
ANALYZE`, strings.Join(projections.MeasureColumns[:], ", "), strings.Join(n, ", ")))
}

// sumCounters is the limit.
func sumCounters(ctx context.Context, conn *pgx.Conn, since, until time.Time) error {
	var sums []string
	for _, d := range projections.Definitions {
		for _, figure := range overviewFigures {
			if d.Name != figure {
				continue
			}
			for _, c := range d.Columns() {
				for _, m := range projections.MeasureColumns {
					if c == m {
						sums = append(sums, "sum("+c+")")
					}
				}
			}
		}
	}
	_, err := conn.Exec(ctx, projections.InSchema(projections.Schema(), `
SELECT `+strings.Join(sums, ", ")+`
FROM rm.stretches($1, $2, NULL) s
JOIN rm.counters c ON c.grain = s.grain AND c.at >= s.starts AND c.at < s.ends`), since, until)
	return err
}

package readmodel_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/projections"
	"roomtrail/readmodel/readmodeltest"
)

// With half of the interruptions still open, the product-limit estimate finds
// the time after which 95 % are back, which finished ones alone miss by far.
func TestRecoveryCurveFindsTheTruthWhileHalfAreOpen(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	owner, url := readmodeltest.Database(t)
	// Weibull times to come back: the share that is back after t is 1 - exp(-(t / 60 s)^0.8).
	// Most have been watched for a minute at most, one in twelve for up to 15.
	const scale, shape, n = 60_000.0, 0.8, 20_000
	now := midday.Add(time.Hour)
	exec(t, owner, fmt.Sprintf(projections.InSchema(projections.Schema(), `
INSERT INTO rm.interruptions (set_id, login_no, interruption_no, platform, family, started_at, ended_at, start_received_at, outcome, duration_ms,
                              error_code, is_import, heartbeat_timeout_ms, retry_window_ms, times_out_at)
SELECT i, 1, 1, 'ios', 'native', started, CASE WHEN ms <= age THEN started + ms * interval '1 ms' END, started, CASE WHEN ms <= age THEN 'reconnected' END,
       CASE WHEN ms <= age THEN ms END, 0, false, 90000, 1200000, started + interval '90 s'
FROM (SELECT i, floor(%f * power(-ln((i + 0.5::float8) / %d), 1 / %f::float8))::bigint AS ms, age, '%s'::timestamptz - age * interval '1 ms' AS started
      FROM generate_series(0, %[2]d - 1) i
      CROSS JOIN LATERAL (SELECT floor((i * 0.6180339887 %% 1) * CASE WHEN i %% 12 = 0 THEN 900000 ELSE 60000 END)::bigint AS age) a) x`),
		scale, n, shape, now.Format(time.RFC3339)))
	if open := count(t, owner, projections.InSchema(projections.Schema(), "SELECT count(*) FROM rm.interruptions WHERE outcome IS NULL")); open < n*4/10 || open > n*7/10 {
		t.Fatalf("%d of %d are open; want about half", open, n)
	}
	conn := at(t, url, now)
	rows, err := conn.Query(ctx, "SELECT * FROM recovery_curve($1, $2, '{platform}')", now.Add(-time.Hour), now)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := pgx.CollectRows(rows, pgx.RowToMap)
	if err != nil {
		t.Fatal(err, where(err))
	}
	truth := scale * math.Pow(-math.Log(0.05), 1/shape)
	point := func(column string) float64 {
		for _, r := range curve {
			if share, _ := r[column].(float64); share >= 0.95 {
				return float64(r["t_ms"].(int64))
			}
		}
		return math.Inf(1)
	}
	if got := point("share"); math.Abs(got-truth) > 0.05*truth {
		t.Errorf("95 %% are back after %.0f ms; want %.0f", got, truth)
	}
	if got := point("naive"); got > truth/2 {
		t.Errorf("the naive estimate is %.0f ms, truth is %.0f: this world does not show its fault", got, truth)
	}
	for _, r := range curve {
		at := float64(r["t_ms"].(int64))
		if at != 10_000 && at != 90_000 && at != 300_000 {
			continue
		}
		want := 1 - math.Exp(-math.Pow(at/scale, shape))
		if low, high := r["low"].(float64), r["high"].(float64); want < low-0.01 || want > high+0.01 || low > r["share"].(float64) || high < r["share"].(float64) {
			t.Errorf("after %.0f ms %v to %v are back; want %.4f", at, low, high, want)
		}
	}
	var p95 float64
	if err := conn.QueryRow(ctx, "SELECT value FROM metric('reconnect_duration_all_p95', $1, $2)", now.Add(-time.Hour), now).Scan(&p95); err != nil {
		t.Fatal(err, where(err))
	}
	if math.Abs(p95-truth) > 0.05*truth {
		t.Errorf("the figure's 95 %% point is %.0f ms; want %.0f", p95, truth)
	}
}

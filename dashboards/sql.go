package dashboards

import "strconv"

// Below these a share says more about chance than about the service: panels
// then show the counts alone, in no colour.
const (
	minAttempts      = 30
	minInterruptions = 20
)

var (
	enoughAttempts      = strconv.Itoa(minAttempts)
	enoughInterruptions = strconv.Itoa(minInterruptions)
)

// Names of the dashboard's variables, as they are used in SQL below.
const (
	varApp      = "app"
	varPlatform = "platform"
	varRoom     = "room"
	varInterval = "interval"
)

// anyValue is what "All" of a variable is sent as. Neither an app nor a
// platform can be the empty string, so it is free to mean "no filter"; and
// nothing chosen arrives as the same empty string, not as the broken IN ().
// Grafana inserts this value unformatted, hence the quotes.
const anyValue = `''`

// chosenApps and chosen narrow a query to what is picked above the panels.
// The format sqlstring quotes each value, so that any id is safe in SQL.
const (
	chosenApps = `('' IN (${app:sqlstring}) OR app_id IN (${app:sqlstring}))`
	chosen     = chosenApps + `
  AND ('' IN (${platform:sqlstring}) OR platform IN (${platform:sqlstring}))`
)

// Which attempts and interruptions have an outcome that counts. Cancelled
// logins, and interruptions that ended by Logout, KickOut or a new login, are
// shown elsewhere and stand in no denominator.
const (
	attemptSettled      = `login_outcome IN ('logged_in', 'failed', 'presumed_failed')`
	interruptionSettled = `outcome IN ('reconnected', 'reconnect_failed', 'presumed_lost')`
	interruptionLost    = `outcome IN ('reconnect_failed', 'presumed_lost')`
)

// longestH is the age from which on every interruption has either passed H or
// can no longer do so. H may differ by app, so the longest one counts.
const longestH = `
limits AS (
  SELECT max(heartbeat_timeout_ms) * interval '1 millisecond' AS h
  FROM profiles
)`

// quantiles of a column of milliseconds, the count beside them.
func quantiles(column, count string) string {
	return `
  percentile_cont(0.50) WITHIN GROUP (ORDER BY ` + column + `) AS "p50",
  percentile_cont(0.95) WITHIN GROUP (ORDER BY ` + column + `) AS "p95",
  percentile_cont(0.99) WITHIN GROUP (ORDER BY ` + column + `) AS "p99",
  count(*) AS "` + count + `"`
}

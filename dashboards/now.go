package dashboards

import "github.com/grafana/grafana-foundation-sdk/go/units"

// nowPanels is the first line: six figures, each with the counts behind it.
func nowPanels() []panel {
	return []panel{
		figure(about{
			id: panelLoginsStarted, title: "Logins started", unit: units.Short, width: 4, height: 5,
			says: "Logins whose Logining lies in the time range, and how many people and rooms they came from. " +
				"A login whose Logining was never reported has no start and is not counted.",
		}, loginsStartedSQL),
		share(about{
			id: panelLoginSuccess, title: "Login success", unit: units.PercentUnit, width: 4, height: 5,
			says: "Logins that reached Logined, of all that were decided: Logined, LoginFailed, or no outcome within the login timeout (inferred). " +
				"Logins cancelled by the user are left out. Below 30 decided logins only the counts are shown.",
		}, loginSuccessSQL,
			otherwise(colourBad), from(0.90, colourWarn), from(0.97, colourText)),
		share(about{
			id: panelReconnectSuccess, title: "Reconnect success", unit: units.PercentUnit, width: 4, height: 5,
			says: "Interruptions that ended in Reconnected, of all that ended in Reconnected, in ReconnectFailed, or were presumed lost " +
				"(no end reported within W + 60 s, inferred). Those ended by Logout, KickOut or a new login are not counted. " +
				"Still open ones are named beside: until they end the share is provisional. Below 20 decided interruptions only the counts are shown.",
		}, reconnectSuccessSQL,
			otherwise(colourBad), from(0.90, colourWarn), from(0.97, colourText)),
		share(about{
			id: panelHeartbeats, title: "Heartbeat timeouts (inferred)", unit: units.PercentUnit, width: 4, height: 5,
			says: "Interruptions that lasted H (90 s) or longer, of all that started at least H ago, whether closed or not. " +
				"Settled: each of them has passed H or can no longer do so; younger ones are left out and counted beside. " +
				"Inferred from the client's clock: the server counts H from the last heartbeat it received, so 85 to 100 s is uncertain, " +
				"and on web the client notices up to 8 s late.",
		}, heartbeatsSQL,
			otherwise(colourText), from(0.10, colourWarn), from(0.25, colourBad)),
		figure(about{
			id: panelKicks, title: "Kicks", unit: units.Short, width: 4, height: 5,
			says: "Logins ended by KickOut in the time range, by the time of the kick, and how many people they hit.",
		}, kicksSQL),
		figure(about{
			id: panelOpenNow, title: "Open interruptions now", unit: units.Short, width: 4, height: 5,
			says: "People who are reconnecting at this moment, whatever the time range: interruptions without an outcome that are " +
				"not yet presumed lost (W + 60 s). Past H (90 s) the others in the room have seen them leave.",
		}, openNowSQL),
	}
}

const loginsStartedSQL = `
SELECT
  count(*) AS "logins",
  format('%s people, %s rooms',
    count(DISTINCT (app_id, user_id)), count(DISTINCT (app_id, room_id))) AS "counts"
FROM sessions
WHERE $__timeFilter(login_started_at)
  AND ` + chosen

var loginSuccessSQL = `
WITH tally AS (
  SELECT
    count(*) FILTER (WHERE login_outcome = 'logged_in') AS good,
    count(*) FILTER (WHERE ` + attemptSettled + `) AS settled,
    count(*) FILTER (WHERE login_outcome = 'pending') AS open
  FROM sessions
  WHERE $__timeFilter(login_started_at)
  AND ` + chosen + `
)
SELECT
  CASE WHEN settled >= ` + enoughAttempts + ` THEN good::float8 / settled END AS "success",
  format('%s of %s', good, settled)
    || CASE WHEN open > 0 THEN format(', %s open', open) ELSE '' END AS "counts"
FROM tally`

var reconnectSuccessSQL = `
WITH tally AS (
  SELECT
    count(*) FILTER (WHERE outcome = 'reconnected') AS good,
    count(*) FILTER (WHERE ` + interruptionSettled + `) AS settled,
    count(*) FILTER (WHERE outcome IS NULL) AS open
  FROM interruptions
  WHERE $__timeFilter(started_at)
  AND ` + chosen + `
)
SELECT
  CASE WHEN settled >= ` + enoughInterruptions + ` THEN good::float8 / settled END AS "success",
  format('%s of %s', good, settled)
    || CASE WHEN open > 0 THEN format(', %s open', open) ELSE '' END AS "counts"
FROM tally`

var heartbeatsSQL = `
WITH ` + longestH + `,
cohort AS (
  SELECT heartbeat_timed_out, started_at <= roomtrail_now() - h AS settled
  FROM interruptions CROSS JOIN limits
  WHERE $__timeFilter(started_at)
  AND ` + chosen + `
),
tally AS (
  SELECT
    count(*) FILTER (WHERE settled AND heartbeat_timed_out) AS timed_out,
    count(*) FILTER (WHERE settled) AS settled,
    count(*) FILTER (WHERE NOT settled) AS young
  FROM cohort
)
SELECT
  CASE WHEN settled >= ` + enoughInterruptions + ` THEN timed_out::float8 / settled END AS "timed out",
  format('%s of %s', timed_out, settled)
    || CASE WHEN young > 0 THEN format(', %s younger than H', young) ELSE '' END AS "counts"
FROM tally`

const kicksSQL = `
SELECT
  count(*) AS "kicks",
  format('%s people, %s rooms',
    count(DISTINCT (app_id, user_id)), count(DISTINCT (app_id, room_id))) AS "counts"
FROM kicks
WHERE $__timeFilter(kicked_at)
  AND ` + chosen

// The start is bounded because nothing open can be older than a day: W + 60 s
// later it is presumed lost. It spares the view all older interruptions.
const openNowSQL = `
SELECT
  count(*) AS "open",
  format('%s past H, %s people',
    count(*) FILTER (WHERE heartbeat_timed_out), count(DISTINCT (app_id, user_id))) AS "counts"
FROM interruptions
WHERE is_open
  AND outcome IS NULL
  AND started_at > roomtrail_now() - interval '1 day'
  AND ` + chosen

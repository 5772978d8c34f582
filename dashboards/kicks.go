package dashboards

import "github.com/grafana/grafana-foundation-sdk/go/units"

// kickPanels shows who was thrown out and why, and whose heartbeat ran out.
func kickPanels() []panel {
	return []panel{
		bars(about{
			id: panelKickReasons, title: "Kick reasons", unit: units.Short, width: 8, height: 9,
			says: "Logins ended by KickOut in the time range, by reason, and how many people they hit: two devices that displace " +
				"each other make many kicks of one person. duplicate_login is split by what displaced the user: self_ghost is the user's own " +
				"lost connection, other_tab and other_device a second login, ping_pong two devices in turn.",
		}, kickReasonsSQL, "reason"),
		stacked(about{
			id: panelKicksOverTime, title: "Kicks by reason", unit: units.Short, width: 8, height: 9,
			says: "Logins ended by KickOut, by the time of the kick. backend: thrown out through the server API. token_expired: the token ran " +
				"out while connected. duplicate_login: the same user logged in elsewhere.",
		}, kicksOverTimeSQL,
			series{"duplicate_login", colourKick},
			series{"backend", colourCalm},
			series{"token_expired", colourWarn},
			series{"session_exception", colourBad},
			series{"unknown", colourFaint}),
		lines(overTime(about{
			id: panelHeartbeatOverTime, title: "Heartbeat timeouts over time (inferred, settled)", unit: units.PercentUnit, width: 8, height: 9,
			says: "Share of interruptions that lasted H (90 s) or longer, by the time they started; only those that started at least H ago, so each is decided. " +
				"uncertain: between 85 and 100 s, where the server, which counts H from the last heartbeat it received, may have decided otherwise. " +
				"On web the client notices up to 8 s late. The bars count the interruptions; a share of fewer than 20 says little.",
		}, TimeSeries("A", heartbeatOverTimeSQL)).Min(0), "interruptions",
			series{"timed out", colourBad}, series{"uncertain", colourWarn}),
	}
}

const kickReasonsSQL = `
SELECT
  concat_ws(': ', kick_reason, attribution) AS "reason",
  count(*) AS "kicks",
  count(DISTINCT (app_id, user_id)) AS "people"
FROM kicks
WHERE $__timeFilter(kicked_at)
  AND ` + chosen + `
GROUP BY 1
ORDER BY 2 DESC, 1
LIMIT 12`

const kicksOverTimeSQL = `
SELECT
  $__timeGroupAlias(kicked_at, $interval),
  kick_reason AS metric,
  count(*) AS "kicks"
FROM kicks
WHERE $__timeFilter(kicked_at)
  AND ` + chosen + `
GROUP BY 1, 2
ORDER BY 1, 2`

const heartbeatOverTimeSQL = `
WITH ` + longestH + `
SELECT
  $__timeGroupAlias(started_at, $interval),
  count(*) FILTER (WHERE heartbeat_timed_out)::float8 / count(*) AS "timed out",
  count(*) FILTER (WHERE heartbeat_ambiguous)::float8 / count(*) AS "uncertain",
  count(*) AS "interruptions"
FROM interruptions CROSS JOIN limits
WHERE $__timeFilter(started_at)
  AND started_at <= roomtrail_now() - h
  AND ` + chosen + `
GROUP BY 1
ORDER BY 1`

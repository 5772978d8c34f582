package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// loginPanels shows whether people get in, how long it takes, and what stops them.
func loginPanels() []panel {
	return []panel{
		lines(overTime(about{
			id: panelLoginOverTime, title: "Login success over time", unit: units.PercentUnit, width: 12, height: 9,
			says: "Logins that reached Logined, of all decided ones, by the time they started. service view leaves out failures that are the caller's " +
				"fault (token, parameters, wrong use): it is the one to judge the service by. Logins cancelled by the user are in neither. " +
				"The bars count decided logins; a share of fewer than 30 says little.",
		}, TimeSeries("A", loginOverTimeSQL)).AxisSoftMax(1), "decided",
			series{"all", colourCalm}, series{"service view", colourGood}),
		lines(logarithmic(overTime(about{
			id: panelTimeToLogin, title: "Time to login", unit: units.Milliseconds, width: 12, height: 9,
			says: "From Logining to Logined, successful logins only, by the time they started. switchRoom is apart, since it keeps a connection that " +
				"loginRoom has to make; a login that does not say counts as loginRoom. The bars count the logins behind p50 to p99; " +
				"of fewer than 30 a p95 or p99 says little.",
		}, TimeSeries("A", timeToLoginSQL), TimeSeries("B", timeToSwitchSQL))), "logins",
			append([]series{{"switchRoom p50", colourFaint}, {"switchRoom p95", colourKick}}, quantileColours...)...),
		grid(about{
			id: panelLoginFailures, title: "Login failures by code", unit: units.Short, width: 24, height: 9,
			says: "Logins that failed, by family and error code: the same number can mean different things on native and web. Per 1000 counts against all " +
				"decided logins of that family, so a rising code shows even while the total falls. The row without a code: no outcome within the login " +
				"timeout (inferred). By the time the login started.",
		}, loginFailuresSQL).
			OverrideByName("code", []dashboard.DynamicConfigValue{{Id: "unit", Value: units.NoUnit}}).
			OverrideByName("per 1000", []dashboard.DynamicConfigValue{{Id: "decimals", Value: 1}}).
			OverrideByName("meaning", []dashboard.DynamicConfigValue{{Id: "custom.minWidth", Value: 300}}).
			OverrideByName("what to do", []dashboard.DynamicConfigValue{
				{Id: "custom.minWidth", Value: 300},
				{Id: "custom.cellOptions", Value: map[string]any{"type": "auto", "wrapText": true}},
			}),
	}
}

var loginOverTimeSQL = `
WITH attempts AS (
  SELECT login_started_at, login_outcome, caller_fault IS TRUE AS theirs
  FROM sessions
  WHERE $__timeFilter(login_started_at)
    AND ` + attemptSettled + `
  AND ` + chosen + `
)
SELECT
  $__timeGroupAlias(login_started_at, $interval),
  count(*) FILTER (WHERE login_outcome = 'logged_in')::float8 / count(*) AS "all",
  count(*) FILTER (WHERE login_outcome = 'logged_in')::float8
    / NULLIF(count(*) FILTER (WHERE NOT theirs), 0) AS "service view",
  count(*) AS "decided"
FROM attempts
GROUP BY 1
ORDER BY 1`

var timeToLoginSQL = `
SELECT
  $__timeGroupAlias(login_started_at, $interval),` + quantiles("time_to_login_ms", "logins") + `
FROM sessions
WHERE $__timeFilter(login_started_at)
  AND login_outcome = 'logged_in'
  AND via IS DISTINCT FROM 'switch'
  AND ` + chosen + `
GROUP BY 1
ORDER BY 1`

var timeToSwitchSQL = `
SELECT
  $__timeGroupAlias(login_started_at, $interval),
  percentile_cont(0.50) WITHIN GROUP (ORDER BY time_to_login_ms) AS "switchRoom p50",
  percentile_cont(0.95) WITHIN GROUP (ORDER BY time_to_login_ms) AS "switchRoom p95"
FROM sessions
WHERE $__timeFilter(login_started_at)
  AND login_outcome = 'logged_in'
  AND via = 'switch'
  AND ` + chosen + `
GROUP BY 1
ORDER BY 1`

var loginFailuresSQL = `
WITH attempts AS (
  SELECT app_id, user_id, family, login_outcome, login_error_code
  FROM sessions
  WHERE $__timeFilter(login_started_at)
    AND ` + attemptSettled + `
  AND ` + chosen + `
),
totals AS (
  SELECT family, count(*) AS decided
  FROM attempts
  GROUP BY family
),
failures AS (
  SELECT
    family, login_error_code AS error_code,
    count(*) AS failures,
    count(DISTINCT (app_id, user_id)) AS people
  FROM attempts
  WHERE login_outcome <> 'logged_in'
  GROUP BY 1, 2
)
SELECT
  f.error_code AS "code",
  f.family AS "family",
  CASE WHEN f.error_code IS NULL THEN 'no outcome within the login timeout (inferred)'
    ELSE COALESCE(c.meaning, 'not in the list of codes') END AS "meaning",
  c.category AS "category",
  f.failures AS "failures",
  f.people AS "people",
  f.failures * 1000.0 / t.decided AS "per 1000",
  c.advice AS "what to do"
FROM failures AS f
JOIN totals AS t ON t.family = f.family
LEFT JOIN error_codes AS c ON c.family = f.family AND c.error_code = f.error_code
ORDER BY f.failures DESC, f.error_code
LIMIT 50`

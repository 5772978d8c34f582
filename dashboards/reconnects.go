package dashboards

import "github.com/grafana/grafana-foundation-sdk/go/units"

const finishedOnly = "Finished reconnects only: from Reconnecting to Reconnected, by the time the interruption started. " +
	"Interruptions still open and those given up are not in it, so during an outage it looks better than it is: read it beside the outcomes. " +
	"The bars count the finished ones; of fewer than 20 a p95 or p99 says little. "

// reconnectPanels shows how interruptions end and how long people wait. Native
// and web stand apart: their retry windows differ fourfold.
func reconnectPanels() []panel {
	return []panel{
		lines(logarithmic(overTime(about{
			id: panelReconnectNative, title: "Time to reconnect, native (finished only)", unit: units.Milliseconds, width: 12, height: 9,
			says: finishedOnly + "Native clients try for W = 20 min.",
		}, TimeSeries("A", reconnectTimeSQL("native")))), "finished", quantileColours...),
		lines(logarithmic(overTime(about{
			id: panelReconnectWeb, title: "Time to reconnect, web (finished only)", unit: units.Milliseconds, width: 12, height: 9,
			says: finishedOnly + "Web clients try for W = 5 min. The web SDK says Reconnecting up to 8 s late, so these times are short by up to that.",
		}, TimeSeries("A", reconnectTimeSQL("web")))), "finished", quantileColours...),
		stacked(about{
			id: panelOutcomes, title: "Interruptions by outcome", unit: units.Short, width: 12, height: 9,
			says: "Interruptions by the time they started and how they ended. presumed_lost: no end was reported within W + 60 s (inferred; the real outcome, " +
				"should it still arrive, takes its place). open: not decided yet. On the right edge bars are incomplete for up to W (5 min web, 20 min native).",
		}, outcomesSQL,
			series{"reconnected", colourGood},
			series{"open", colourPale},
			series{"logged_out", colourFaint},
			series{"superseded", colourCalm},
			series{"kicked", colourKick},
			series{"login_failed", colourWarn},
			series{"presumed_lost", colourBad},
			series{"reconnect_failed", colourGrave}),
		stacked(about{
			id: panelRecoveryCases, title: "Recovery cases", unit: units.Short, width: 12, height: 9,
			says: "The three documented courses of an interruption. 1: back before H (90 s), nobody else noticed. " +
				"2: back at or after H, the others saw a leave and a return. 3: given up (ReconnectFailed) or presumed lost. " +
				"By start time; interruptions that are open or ended another way belong to none.",
		}, recoveryCasesSQL,
			series{caseUnseen, colourGood},
			series{caseSeen, colourWarn},
			series{caseLost, colourGrave}),
	}
}

var quantileColours = []series{{"p50", colourCalm}, {"p95", colourWarn}, {"p99", colourBad}}

// Names of the three cases as the legend shows them.
const (
	caseUnseen = "1 back before H, unseen"
	caseSeen   = "2 back after H, seen as a leave"
	caseLost   = "3 lost"
)

func reconnectTimeSQL(family string) string {
	return `
SELECT
  $__timeGroupAlias(started_at, $interval),` + quantiles("duration_ms", "finished") + `
FROM interruptions
WHERE $__timeFilter(started_at)
  AND family = '` + family + `'
  AND outcome = 'reconnected'
  AND ` + chosen + `
GROUP BY 1
ORDER BY 1`
}

const outcomesSQL = `
SELECT
  $__timeGroupAlias(started_at, $interval),
  COALESCE(outcome, 'open') AS metric,
  count(*) AS "interruptions"
FROM interruptions
WHERE $__timeFilter(started_at)
  AND ` + chosen + `
GROUP BY 1, 2
ORDER BY 1, 2`

const recoveryCasesSQL = `
SELECT
  $__timeGroupAlias(started_at, $interval),
  CASE recovery_case
    WHEN 1 THEN '` + caseUnseen + `'
    WHEN 2 THEN '` + caseSeen + `'
    ELSE '` + caseLost + `'
  END AS metric,
  count(*) AS "interruptions"
FROM interruptions
WHERE $__timeFilter(started_at)
  AND recovery_case IS NOT NULL
  AND ` + chosen + `
GROUP BY 1, 2
ORDER BY 1, 2`

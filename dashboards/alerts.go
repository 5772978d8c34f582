package dashboards

import (
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/alerting"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/expr"
)

// When ReconnectFailed counts as a spike. All must hold at once.
const (
	// spikeWindow is how far back, in seconds, an end may have become known.
	// Known time, because people who are offline report late: by the time the
	// interruption started they would be spread over the past.
	spikeWindow = 300
	// spikeEnded is the smallest sample: interruptions that ended, either way.
	spikeEnded = 20
	// spikeGaveUp and spikeUsers keep one flapping phone from paging anyone.
	spikeGaveUp = 5
	spikeUsers  = 3
	// spikeRate is the share that gave up from which on somebody is woken.
	spikeRate = 0.20
)

// lagLimit is how many seconds the figures may lag behind before they, and
// with them the rule above, cannot be believed.
const lagLimit = 120

const (
	alertFolder   = "Roomtrail"
	alertInterval = "1m"
	alertReceiver = "roomtrail-webhook"
	// exprUID is Grafana's own name for what it computes from other queries.
	exprUID = "__expr__"
)

// rule is one alert rule in the shape of Grafana's provisioning files. The SDK
// knows only that of the HTTP API, which has no panel and other durations.
//
// Its texts must hold no dollar sign: some Grafana versions replace $name in
// them by an environment variable, so templates say .Values, not $values.
type rule struct {
	UID           string            `json:"uid"`
	Title         string            `json:"title"`
	Condition     string            `json:"condition"`
	Data          []alerting.Query  `json:"data"`
	DashboardUID  string            `json:"dashboardUid"`
	PanelID       uint32            `json:"panelId"`
	NoDataState   string            `json:"noDataState"`
	ExecErrState  string            `json:"execErrState"`
	For           string            `json:"for"`
	KeepFiringFor string            `json:"keepFiringFor"`
	Annotations   map[string]string `json:"annotations"`
	Labels        map[string]string `json:"labels"`
}

// rules are all alert rules, each evaluated every alertInterval.
func rules() ([]rule, error) {
	spike, err := reconnectFailedSpike()
	if err != nil {
		return nil, err
	}
	stale, err := figuresStale()
	if err != nil {
		return nil, err
	}
	unproven, err := callbacksUnproven()
	if err != nil {
		return nil, err
	}
	return []rule{spike, stale, unproven}, nil
}

// reconnectFailedSpike pages when many clients give up at once.
func reconnectFailedSpike() (rule, error) {
	data, err := aboveZero(spikeWindow, Table("A", spikeSQL("rate")), Table("B", spikeSQL("users")))
	return rule{
		UID:          "roomtrail-reconnect-failed-spike",
		Title:        "ReconnectFailed spike",
		Condition:    "C",
		Data:         data,
		DashboardUID: RoomsUID,
		PanelID:      panelOutcomes,
		// The SQL always answers one row, so no data means a broken query. It
		// is reported under its own name: to call it a spike would be a guess.
		NoDataState: string(alerting.RuleNoDataStateNoData),
		// An error replaces neither a firing spike nor a quiet rule; that the
		// database does not answer is the other rule's to say.
		ExecErrState:  string(alerting.RuleExecErrStateKeepLast),
		For:           "1m",
		KeepFiringFor: "5m",
		Labels:        map[string]string{"severity": "page"},
		Annotations: map[string]string{
			"summary": "{{ humanizePercentage .Values.A.Value }} of interruptions end in ReconnectFailed; " +
				"{{ printf \"%.0f\" .Values.B.Value }} people lost their room in the last 5 minutes",
			"description": fmt.Sprintf("Of the interruptions whose end became known in the last %d minutes (imports excluded), at least %.0f %% gave up: "+
				"ReconnectFailed against Reconnected and ReconnectFailed together, at least %d ended, %d given up, %d people. "+
				"Native clients try for 20 minutes and web clients for 5, so what broke may lie that far back: see when the interruptions started in the linked panel, "+
				"then the worst rooms.", spikeWindow/60, 100*spikeRate, spikeEnded, spikeGaveUp, spikeUsers),
		},
	}, err
}

// figuresStale pages when the figures are too old to be believed, or when the
// database they come from does not answer: then a spike could not be seen.
func figuresStale() (rule, error) {
	data, err := aboveZero(spikeWindow, Table("A", staleSQL))
	return rule{
		UID:          "roomtrail-figures-stale",
		Title:        "Figures are stale",
		Condition:    "C",
		Data:         data,
		DashboardUID: RoomsUID,
		PanelID:      panelLag,
		// For a rule about freshness, silence is the alarm itself.
		NoDataState:   string(alerting.RuleNoDataStateAlerting),
		ExecErrState:  string(alerting.RuleExecErrStateAlerting),
		For:           "2m",
		KeepFiringFor: "5m",
		Labels:        map[string]string{"severity": "page"},
		Annotations: map[string]string{
			"summary": "Room figures lag behind, or their database does not answer",
			"description": fmt.Sprintf("Stored events have been waiting for more than %d s to be counted, a partition has no runner or stands still, or the query failed. "+
				"Until this is over, the dashboards show the past and no spike can be noticed. `ingest status` and `ingest doctor` say what is wrong.", lagLimit),
		},
	}, err
}

// callbacksUnproven tells when somebody uses the vendor's signatures again: they
// do not cover what a callback says, so one who has seen a request can forge.
func callbacksUnproven() (rule, error) {
	data, err := aboveZero(unprovenWindow, Table("A", unprovenSQL))
	return rule{
		UID:          "roomtrail-callbacks-unproven",
		Title:        "Unproven server callbacks",
		Condition:    "C",
		Data:         data,
		DashboardUID: RoomsUID,
		PanelID:      panelLag,
		NoDataState:  string(alerting.RuleNoDataStateNoData),
		ExecErrState: string(alerting.RuleExecErrStateKeepLast),
		For:          "0s",
		// One is enough to know; it stays for long enough to be read.
		KeepFiringFor: "15m",
		Labels:        map[string]string{"severity": "ticket"},
		Annotations: map[string]string{
			"summary": "{{ printf \"%.0f\" .Values.A.Value }} server callbacks came under a signature that had been used with another body",
			"description": "They are kept, marked unproven, and count for nothing. Either somebody who has seen a callback sends forged ones, or the vendor uses " +
				"a timestamp and nonce twice: compare them in room_events, where trust is unproven. With --zego-strict-nonce they are refused.",
		},
	}, err
}

// unprovenWindow is how far back, in seconds, an unproven callback is looked for.
const unprovenWindow = 900

// unprovenSQL counts them by when they came. What they say of when it happened
// only keeps the search short.
const unprovenSQL = `
SELECT count(*)::float8 AS unproven
FROM room_events
WHERE $__timeFilter(received_at)
  AND happened_at >= $__timeFrom()::timestamptz - interval '1 day'
  AND source = 'server'
  AND trust = 'unproven'
  AND is_import IS NOT TRUE`

// aboveZero is the data of a rule whose first query answers 0 while all is
// well: the limits live in its SQL, where they are tested, not in Grafana.
func aboveZero(window alerting.Duration, queries ...QueryBuilder) ([]alerting.Query, error) {
	var data []alerting.Query
	for _, q := range queries {
		built, err := alerting.NewQueryBuilder(q.query.RefID).
			DatasourceUid(DatasourceUID).
			Model(q).
			RelativeTimeRange(window, 0).
			Build()
		if err != nil {
			return nil, err
		}
		data = append(data, built)
	}
	condition, err := alerting.NewQueryBuilder("C").
		DatasourceUid(exprUID).
		Model(expr.NewExprBuilder().TypeThreshold(expr.NewTypeThresholdBuilder().
			RefId("C").
			Datasource(common.DataSourceRef{Type: cog.ToPtr(exprUID), Uid: cog.ToPtr(exprUID)}).
			Expression(queries[0].query.RefID).
			Conditions([]cog.Builder[expr.ExprTypeThresholdConditions]{
				expr.NewExprTypeThresholdConditionsBuilder().
					Evaluator(expr.NewExprTypeThresholdConditionsEvaluatorBuilder().
						Type(expr.ExprTypeThresholdConditionsEvaluatorTypeGt).
						Params([]float64{0})),
			}))).
		Build()
	return append(data, condition), err
}

// spikeSQL answers one row with one number, always: a rule that goes without a
// row while nothing ends would resolve itself in the middle of an outage. The
// share is 0 as long as one of the minimums is not reached.
func spikeSQL(column string) string {
	return fmt.Sprintf(`
WITH ended AS (
  SELECT app_id, user_id, outcome = 'reconnect_failed' AS gave_up
  FROM interruptions
  WHERE $__timeFilter(end_received_at)
    AND outcome IN ('reconnected', 'reconnect_failed')
    AND is_import IS NOT TRUE
),
tally AS (
  SELECT
    count(*) AS ended,
    count(*) FILTER (WHERE gave_up) AS gave_up,
    count(DISTINCT (app_id, user_id)) FILTER (WHERE gave_up) AS users
  FROM ended
),
verdict AS (
  SELECT
    users,
    CASE
      WHEN ended >= %d AND gave_up >= %d AND users >= %d AND gave_up >= %g * ended
      THEN gave_up::float8 / ended
      ELSE 0
    END AS rate
  FROM tally
)
SELECT %s
FROM verdict`, spikeEnded, spikeGaveUp, spikeUsers, spikeRate, column)
}

// staleSQL answers the lag in seconds of a partition that is over the limit or
// that nobody applies, else 0. A partition without a runner may look level,
// since nobody is there to see that its log grew. No live partition at all is
// the longest lag there is.
var staleSQL = fmt.Sprintf(`
WITH behind AS (
  SELECT max(CASE
    WHEN lag_seconds > %d OR state IN ('stopped', 'halted') THEN GREATEST(lag_seconds, 1)
    ELSE 0
  END) AS seconds
  FROM pipeline_status
  WHERE live
)
SELECT COALESCE(seconds, 86400)::float8 AS lag
FROM behind`, lagLimit)

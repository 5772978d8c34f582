package projections

import (
	_ "embed"
	"fmt"
	"regexp"
	"strings"
)

//go:embed sessions.sql
var sessionsSQL string

//go:embed visits.sql
var visitsSQL string

//go:embed returns.sql
var returnsSQL string

//go:embed storms.sql
var stormsSQL string

//go:embed impact.sql
var impactSQL string

//go:embed health.sql
var healthSQL string

//go:embed views.sql
var viewsSQL string

//go:embed status_views.sql
var statusViewsSQL string

//go:embed storms_views.sql
var stormsViewsSQL string

//go:embed health_views.sql
var healthViewSQL string

// healthViewsSQL are the three views of the counters.
var healthViewsSQL = healthView("health_minutes", "1") + healthView("health_hours", "2") + healthView("health_days", "3")

func healthView(name, grain string) string {
	return strings.NewReplacer("{view}", name, "{grain}", grain).Replace(healthViewSQL)
}

//go:embed recount.sql
var recountSQL string

//go:embed waits.sql
var waitsSQL string

//go:embed members.sql
var membersSQL string

//go:embed recovery.sql
var recoverySQL string

//go:embed metrics.sql
var metricsSQL string

// Schema is the name of the schema that holds this version's derived tables.
func Schema() string { return SchemaOf(Version) }

// SchemaOf is the same of any version.
func SchemaOf(version int) string { return fmt.Sprintf("rm_%d", version) }

// Tables returns the statements that make the derived tables, to be run with
// Schema first on the search path.
func Tables() string { return sessionsSQL + visitsSQL + returnsSQL + stormsSQL + impactSQL + healthSQL }

var rmPrefix = regexp.MustCompile(`\brm\.`)

// Views returns the statements that point the public views and functions at
// the derived tables of that schema.
func Views(schema string) string {
	return InSchema(schema, viewsSQL+statusViewsSQL+stormsViewsSQL+healthViewsSQL+recountSQL+waitsSQL+membersSQL+metricsSQL+recoverySQL)
}

// InSchema replaces the prefix rm. by the schema.
func InSchema(schema, sql string) string { return rmPrefix.ReplaceAllString(sql, schema+".") }

// View is a public view: its query, with the prefix rm. in it.
type View struct{ Name, SQL string }

var viewStatement = regexp.MustCompile(`(?s)CREATE OR REPLACE VIEW public\.(\w+) AS\n(.*?);\n`)

// DerivedViews are the public views that rest on derived tables, in the order of
// their making.
func DerivedViews() []View {
	var views []View
	isDerived := regexp.MustCompile(`\brm\.`)
	for _, m := range viewStatement.FindAllStringSubmatch(viewsSQL+stormsViewsSQL+healthViewsSQL, -1) {
		if isDerived.MatchString(m[2]) {
			views = append(views, View{m[1], m[2]})
			isDerived = regexp.MustCompile(isDerived.String() + `|\bpublic\.` + m[1] + `\b`)
		}
	}
	return views
}

// PublicViews are what the reader may read (contract 5).
var PublicViews = []string{
	"anomalies", "audit_ledger", "dark_sessions", "error_codes", "health_days", "health_hours", "health_minutes",
	"heartbeat_timeouts", "interruption_impact", "interruptions", "kicks", "metric_definitions",
	"pipeline_status", "profiles", "quarantine", "room_events", "room_impact", "server_visits", "sessions", "storms",
}

// PublicFunctions are what the reader may call, and nobody else. Beside them
// everybody may call roomtrail_now, without which no view can be read.
var PublicFunctions = []string{
	"heartbeat_timeout_rate", "kick_rate", "login_success", "metric", "reconnect_success", "recovery_curve",
}

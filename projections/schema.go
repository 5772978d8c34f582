package projections

import (
	_ "embed"
	"fmt"
	"regexp"
)

//go:embed sessions.sql
var sessionsSQL string

//go:embed views.sql
var viewsSQL string

// Schema is the name of the schema that holds this version's derived tables.
func Schema() string { return fmt.Sprintf("rm_%d", Version) }

// Tables returns the statements that make the derived tables, to be run with
// Schema first on the search path.
func Tables() string { return sessionsSQL }

var rmPrefix = regexp.MustCompile(`\brm\.`)

// Views returns the statements that point the public views at this version.
func Views() string { return rmPrefix.ReplaceAllString(viewsSQL, Schema()+".") }

// PublicViews are what the reader may read (contract 5).
var PublicViews = []string{
	"anomalies", "audit_ledger", "error_codes", "heartbeat_timeouts", "interruptions", "kicks",
	"pipeline_status", "profiles", "quarantine", "room_events", "sessions",
}

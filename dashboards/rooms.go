package dashboards

//lint:file-ignore SA1019 Files are provisioned in the classic form, which every Grafana since 12 reads; the SDK prefers v2.

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// RoomsUID is the address of the dashboard; alerts and links name it.
const RoomsUID = "roomtrail-rooms"

// Panels keep their ids for good: alerts and people's links name them. The
// tens are the row, so that a new panel finds a free number among its own.
const (
	panelLoginsStarted    uint32 = 11
	panelLoginSuccess     uint32 = 12
	panelReconnectSuccess uint32 = 13
	panelHeartbeats       uint32 = 14
	panelKicks            uint32 = 15
	panelOpenNow          uint32 = 16

	panelReconnectNative uint32 = 21
	panelReconnectWeb    uint32 = 22
	panelOutcomes        uint32 = 23
	panelRecoveryCases   uint32 = 24

	panelKickReasons       uint32 = 31
	panelKicksOverTime     uint32 = 32
	panelHeartbeatOverTime uint32 = 33

	panelLoginOverTime uint32 = 41
	panelTimeToLogin   uint32 = 42
	panelLoginFailures uint32 = 43

	panelWorstRooms    uint32 = 51
	panelStateTimeline uint32 = 52

	panelLag        uint32 = 61
	panelPartitions uint32 = 62

	panelDefinitions uint32 = 63
)

const roomsSays = `How people's connections to their rooms fare. ` +
	`Figures are cohorts by start time: what stands at 10:00 started at 10:00, however late its end became known. ` +
	`H is the heartbeat timeout (90 s), W how long a client keeps trying (5 min on web, 20 min on native). ` +
	`The web SDK says Reconnecting up to 8 s late, so web durations are short by up to that. ` +
	`Shares of fewer than 30 logins or 20 interruptions are not shown, only their counts. Imported events are included.`

// row is a heading that can be folded, and the panels below it.
type row struct {
	id     uint32
	title  string
	panels []panel
}

// Rooms builds the dashboard "Rooms: connection health".
func Rooms() (dashboard.Dashboard, error) {
	builder := dashboard.NewDashboardBuilder("Rooms: connection health").
		Uid(RoomsUID).
		Description(roomsSays).
		Tags([]string{"roomtrail"}).
		Time("now-3h", "now").
		Refresh("30s").
		Timezone("browser").
		Tooltip(dashboard.DashboardCursorSyncCrosshair).
		Readonly()
	for _, variable := range variables() {
		builder.WithVariable(variable)
	}
	for _, r := range rows() {
		builder.WithRow(dashboard.NewRowBuilder(r.title).Id(r.id))
		for _, p := range r.panels {
			builder.WithPanel(p)
		}
	}
	return builder.Build()
}

// rows is the order in which someone on call reads: is it bad, what broke,
// whom did it hit, and can the figures be believed.
func rows() []row {
	return []row{
		{10, "Now", nowPanels()},
		{20, "Reconnects", reconnectPanels()},
		{30, "Kicks and heartbeat timeouts", kickPanels()},
		{40, "Logins", loginPanels()},
		{50, "One room", roomPanels()},
		{60, "Pipeline", pipelinePanels()},
	}
}

// recent is who may have been in a room in the time range: logins last longer
// than a range of minutes. It goes by the start, since the variables are asked
// again at every refresh and only times that never change are cheap to search.
const recent = `login_started_at >= $__timeFrom()::timestamptz - interval '1 day'
  AND login_started_at <= $__timeTo()`

func variables() []cog.Builder[dashboard.VariableModel] {
	return []cog.Builder[dashboard.VariableModel]{
		several(varApp, "App", `
SELECT DISTINCT app_id
FROM sessions
WHERE `+recent+`
ORDER BY 1`),
		several(varPlatform, "Platform", `
SELECT DISTINCT platform
FROM sessions
WHERE `+recent+`
ORDER BY 1`),
		query(varRoom, "Room (for its timeline)", `
SELECT room_id
FROM sessions
WHERE `+recent+`
  AND `+chosenApps+`
GROUP BY room_id
ORDER BY max(last_event_at) DESC
LIMIT 500`),
		dashboard.NewIntervalVariableBuilder(varInterval).
			Label("Interval").
			Values(dashboard.StringOrMap{String: cog.ToPtr("1m,5m,15m,1h,6h,1d")}).
			Auto(true).
			StepCount(60).
			MinInterval("1m").
			Current(option("auto", "$__auto_interval_"+varInterval)),
	}
}

// query is a variable whose values come from the rows of one column. They are
// asked again when the time range changes, since the SQL depends on it.
func query(name, label, sql string) *dashboard.QueryVariableBuilder {
	text := newQuery("A", sql, FormatTable).query.RawSQL
	return dashboard.NewQueryVariableBuilder(name).
		Label(label).
		Datasource(datasource()).
		Query(dashboard.StringOrMap{String: &text}).
		Definition(text).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).
		Sort(dashboard.VariableSortDisabled) // the SQL has its own order
}

func several(name, label, sql string) cog.Builder[dashboard.VariableModel] {
	return query(name, label, sql).
		Multi(true).
		IncludeAll(true).
		AllValue(anyValue).
		Current(option("All", "$__all"))
}

func option(text, value string) dashboard.VariableOption {
	return dashboard.VariableOption{
		Selected: cog.ToPtr(true),
		Text:     dashboard.StringOrArrayOfString{String: &text},
		Value:    dashboard.StringOrArrayOfString{String: &value},
	}
}

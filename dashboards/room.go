package dashboards

import (
	"strconv"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// state is one of the nine states of a connection, its number the vendor's own.
type state struct{ name, colour string }

// states stand in the order of their numbers, 0 to 8.
var states = []state{
	{"Logining", colourPale},
	{"Logined", colourGood},
	{"LoginFailed", colourBad},
	{"Reconnecting", colourWarn},
	{"Reconnected", "#8DB9A3"},
	{"ReconnectFailed", colourGrave},
	{"KickOut", colourKick},
	{"Logout", "#5B616B"},
	{"LogoutFailed", "#A9825A"},
}

// roomPanels leads from the worst rooms to the course of one.
func roomPanels() []panel {
	return []panel{
		worstRooms(),
		timeline(),
	}
}

func worstRooms() panel {
	return grid(about{
		id: panelWorstRooms, title: "Worst rooms", unit: units.Short, width: 24, height: 9,
		says: "The 20 rooms where most interruptions were lost (ReconnectFailed, or presumed lost: inferred), then where most happened. By start time; kicks by " +
			"the time of the kick. A share is shown from 20 decided interruptions on. Click a room to see its timeline below.",
	}, worstRoomsSQL).
		OverrideByName("room", []dashboard.DynamicConfigValue{
			{Id: "unit", Value: units.NoUnit},
			{Id: "links", Value: []map[string]any{{
				"title": "Timeline of this room",
				"url": "/d/" + RoomsUID + "?${__url_time_range}" +
					"&var-app=${__data.fields.app:percentencode}&var-room=${__data.fields.room:percentencode}",
			}}},
		}).
		OverrideByName("success", []dashboard.DynamicConfigValue{
			{Id: "unit", Value: units.PercentUnit},
			{Id: "decimals", Value: 1},
			{Id: "mappings", Value: []dashboard.ValueMapping{tooFew()}},
		})
}

func timeline() panel {
	return describe(statetimeline.NewPanelBuilder(), about{
		id: panelStateTimeline, title: "Connection states in room $room", unit: units.NoUnit, width: 24, height: 12,
		says: "What each client in the room said of itself, one line a person, over the chosen apps: every state lasts until the next one was reported. " +
			"At the left edge stands the last state of the day before. Someone who vanished keeps their last state. " +
			"At most the 100 people with most events, 20 a page.",
	}, TimeSeries("A", timelineSQL())).
		Mappings([]dashboard.ValueMapping{stateMapping()}).
		ColorScheme(dashboard.NewFieldColorBuilder().
			Mode(dashboard.FieldColorModeIdFixed).
			FixedColor(colourFaint)).
		// All people share one time column, so a person's cell is null wherever
		// somebody else changed state; without this each null would end the bar.
		AlwaysSpanNulls().
		MergeValues(true).
		ShowValue(common.VisibilityModeNever).
		RowHeight(0.8).
		LineWidth(0).
		FillOpacity(85).
		PerPage(20).
		Legend(common.NewVizLegendOptionsBuilder().
			ShowLegend(true).
			DisplayMode(common.LegendDisplayModeList).
			Placement(common.LegendPlacementBottom).
			Calcs([]string{})).
		Tooltip(common.NewVizTooltipOptionsBuilder().
			Mode(common.TooltipDisplayModeSingle).
			Sort(common.SortOrderNone))
}

func stateMapping() dashboard.ValueMapping {
	options := map[string]dashboard.ValueMappingResult{}
	for i, s := range states {
		options[strconv.Itoa(i)] = dashboard.ValueMappingResult{
			Text:  cog.ToPtr(s.name),
			Color: cog.ToPtr(s.colour),
			Index: cog.ToPtr(int32(i)),
		}
	}
	return dashboard.ValueMapping{ValueMap: &dashboard.ValueMap{
		Type:    dashboard.MappingTypeValueToText,
		Options: options,
	}}
}

var worstRoomsSQL = `
WITH broken AS (
  SELECT
    app_id, room_id,
    count(*) AS interruptions,
    count(*) FILTER (WHERE ` + interruptionLost + `) AS lost,
    count(*) FILTER (WHERE outcome = 'reconnected') AS good,
    count(*) FILTER (WHERE ` + interruptionSettled + `) AS settled,
    count(DISTINCT user_id) AS people
  FROM interruptions
  WHERE $__timeFilter(started_at)
  AND ` + chosen + `
  GROUP BY app_id, room_id
),
kicked AS (
  SELECT app_id, room_id, count(*) AS kicks
  FROM kicks
  WHERE $__timeFilter(kicked_at)
  AND ` + chosen + `
  GROUP BY app_id, room_id
)
SELECT
  room_id AS "room",
  app_id AS "app",
  lost AS "lost",
  interruptions AS "interruptions",
  CASE WHEN settled >= ` + enoughInterruptions + ` THEN good::float8 / settled END AS "success",
  people AS "people interrupted",
  COALESCE(kicks, 0) AS "kicks"
FROM broken
LEFT JOIN kicked USING (app_id, room_id)
ORDER BY lost DESC, interruptions DESC, room_id
LIMIT 20`

// timelineSQL answers states as numbers, because Grafana's time series format
// takes text for the name of a series; stateMapping turns them back.
func timelineSQL() string {
	names := make([]string, len(states))
	for i, s := range states {
		names[i] = "'" + s.name + "'"
	}
	return `
WITH said AS (
  SELECT user_id, happened_at, seq, reason
  FROM room_events
  WHERE ` + chosenApps + `
    AND room_id = ${room:sqlstring}
    AND source = 'client'
    AND kind = 'state'
    AND is_copy IS NOT TRUE
    AND happened_at >= $__timeFrom()::timestamptz - interval '1 day'
    AND happened_at <= $__timeTo()
),
people AS (
  SELECT user_id
  FROM said
  GROUP BY user_id
  ORDER BY count(*) DESC, user_id
  LIMIT 100
),
before AS (
  SELECT DISTINCT ON (user_id) user_id, seq, reason
  FROM said
  WHERE happened_at < $__timeFrom()
  ORDER BY user_id, happened_at DESC, seq DESC
),
shown AS (
  SELECT happened_at AS at, user_id, seq, reason
  FROM said
  WHERE happened_at >= $__timeFrom()
  UNION ALL
  SELECT $__timeFrom()::timestamptz, user_id, seq, reason
  FROM before
  WHERE reason NOT IN ('LoginFailed', 'ReconnectFailed', 'KickOut', 'Logout')
)
SELECT
  at AS "time",
  user_id AS metric,
  array_position(ARRAY[` + strings.Join(names, ", ") + `], reason) - 1 AS "state"
FROM shown
JOIN people USING (user_id)
ORDER BY at, user_id, seq`
}

package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// pipelinePanels says how far the figures above may lag behind what arrived.
func pipelinePanels() []panel {
	return []panel{
		figure(about{
			id: panelLag, title: "Figures lag behind by", unit: units.Seconds, width: 6, height: 7,
			says: "How long the oldest event that is stored but not yet counted has been waiting, over all partitions of the read model in use, and how many such " +
				"events there are. While this is high, or a partition is not running, every panel above shows the past.",
		}, lagSQL,
			otherwise(colourText), from(30, colourWarn), from(lagLimit, colourBad)).
			NoValue("no partition"),
		grid(about{
			id: panelPartitions, title: "Partitions of the log", unit: units.Short, width: 18, height: 7,
			says: "For each partition how far it has been applied. lag: events stored but not applied, and how long the oldest of them waits. More than one version " +
				"means that a rebuild is under way; live is the one the panels read.",
		}, partitionsSQL).
			OverrideByName("lag", []dashboard.DynamicConfigValue{
				{Id: "unit", Value: units.Seconds},
				{Id: "custom.cellOptions", Value: map[string]string{"type": "color-text"}},
				{Id: "thresholds", Value: dashboard.ThresholdsConfig{
					Mode:  dashboard.ThresholdsModeAbsolute,
					Steps: []dashboard.Threshold{otherwise(colourText), from(30, colourWarn), from(lagLimit, colourBad)},
				}},
			}).
			OverrideByName("state", []dashboard.DynamicConfigValue{
				{Id: "custom.cellOptions", Value: map[string]string{"type": "color-text"}},
				{Id: "mappings", Value: []dashboard.ValueMapping{runnerStates()}},
			}).
			OverrideByName("position", []dashboard.DynamicConfigValue{{Id: "unit", Value: units.NoUnit}}).
			OverrideByName("last stored", []dashboard.DynamicConfigValue{{Id: "unit", Value: units.NoUnit}}),
		grid(about{
			id: panelDefinitions, title: "What the figures mean", unit: units.Short, width: 24, height: 9,
			says: "The one definition of each figure, as SELECT * FROM metric('name', since, until) works it out. Below the minimum of its denominator a figure " +
				"says little.",
		}, definitionsSQL).
			OverrideByName("formula", []dashboard.DynamicConfigValue{
				{Id: "custom.minWidth", Value: 500},
				{Id: "custom.cellOptions", Value: map[string]any{"type": "auto", "wrapText": true}},
			}),
	}
}

func runnerStates() dashboard.ValueMapping {
	options := map[string]dashboard.ValueMappingResult{}
	for name, colour := range map[string]string{
		"running": colourText, "waiting": colourText, "done": colourText, "rebuilding": colourText, "superseded": colourText,
		"stopped": colourWarn, "halted": colourBad,
	} {
		options[name] = dashboard.ValueMappingResult{Text: &name, Color: &colour}
	}
	return dashboard.ValueMapping{ValueMap: &dashboard.ValueMap{
		Type:    dashboard.MappingTypeValueToText,
		Options: options,
	}}
}

const lagSQL = `
SELECT
  max(lag_seconds) AS "lag",
  format('%s events, %s of %s partitions running',
    COALESCE(sum(lag_events), 0), count(*) FILTER (WHERE state = 'running'), count(*) FILTER (WHERE state <> 'done')) AS "counts"
FROM pipeline_status
WHERE live`

const partitionsSQL = `
SELECT
  version AS "version",
  generation AS "generation",
  partition AS "partition",
  live AS "live",
  state AS "state",
  lag_events AS "events behind",
  lag_seconds AS "lag",
  position AS "position",
  stream_last_seq AS "last stored",
  updated_at AS "updated"
FROM pipeline_status
ORDER BY live DESC, version DESC, generation, partition`

const definitionsSQL = `
SELECT metric AS "metric", title AS "title", unit AS "unit", formula AS "formula", minimum AS "minimum"
FROM metric_definitions`

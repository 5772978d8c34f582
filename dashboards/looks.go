package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/barchart"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
	"github.com/grafana/grafana-foundation-sdk/go/units"
)

// The palette is quiet: what is as it should be recedes, and only what cost
// somebody a connection is allowed to be loud.
const (
	colourText  = "text" // the theme's own text colour
	colourFaint = "#8A8F98"
	colourCalm  = "#6E8CA8"
	colourPale  = "#9DB9D6"
	colourGood  = "#6FA287"
	colourWarn  = "#D9A441"
	colourBad   = "#C4514D"
	colourGrave = "#8E3B46"
	colourKick  = "#8C7BB5"
)

type panel = cog.Builder[dashboard.Panel]

// about is what every panel says of itself, and the room it takes.
type about struct {
	id            uint32
	title, unit   string
	says          string // the definition, shown behind the panel's "i"
	width, height uint32
}

// fluent is what the panel builders of the SDK have in common.
type fluent[B any] interface {
	Id(uint32) B
	Title(string) B
	Description(string) B
	Unit(string) B
	Span(uint32) B
	Height(uint32) B
	Datasource(common.DataSourceRef) B
	WithTarget(cog.Builder[variants.Dataquery]) B
}

func describe[B fluent[B]](builder B, a about, queries ...QueryBuilder) B {
	builder.Id(a.id).Title(a.title).Description(a.says).Unit(a.unit).
		Span(a.width).Height(a.height).Datasource(datasource())
	for _, query := range queries {
		builder.WithTarget(query)
	}
	return builder
}

// figure is one number with the counts behind it in the line below. The SQL
// answers one row: the number, then a text column "counts".
func figure(a about, sql string, steps ...dashboard.Threshold) *stat.PanelBuilder {
	if len(steps) == 0 {
		steps = []dashboard.Threshold{otherwise(colourText)}
	}
	return describe(stat.NewPanelBuilder(), a, Table("A", sql)).
		ColorMode(common.BigValueColorModeValue).
		GraphMode(common.BigValueGraphModeNone).
		TextMode(common.BigValueTextModeValue).
		Orientation(common.VizOrientationHorizontal).
		ReduceOptions(common.NewReduceDataOptionsBuilder().
			Calcs([]string{"lastNotNull"}).
			Fields("/.*/")). // the default shows numbers only, and "counts" is text
		Thresholds(thresholds(steps)).
		OverrideByName("counts", []dashboard.DynamicConfigValue{fixed(colourFaint)})
}

// share is a figure that its SQL leaves null where the sample is too small.
func share(a about, sql string, steps ...dashboard.Threshold) panel {
	return figure(a, sql, steps...).Mappings([]dashboard.ValueMapping{tooFew()})
}

// thresholds wants its steps upwards; the first one has no value and holds
// from minus infinity.
func thresholds(steps []dashboard.Threshold) cog.Builder[dashboard.ThresholdsConfig] {
	return dashboard.NewThresholdsConfigBuilder().
		Mode(dashboard.ThresholdsModeAbsolute).
		Steps(steps)
}

func otherwise(colour string) dashboard.Threshold {
	return dashboard.Threshold{Color: colour}
}

func from(value float64, colour string) dashboard.Threshold {
	return dashboard.Threshold{Value: &value, Color: colour}
}

// tooFew keeps a null from taking the colour of the lowest step.
func tooFew() dashboard.ValueMapping {
	return dashboard.ValueMapping{SpecialValueMap: &dashboard.SpecialValueMap{
		Type: dashboard.MappingTypeSpecialValue,
		Options: dashboard.DashboardSpecialValueMapOptions{
			Match: dashboard.SpecialValueMatchNull,
			Result: dashboard.ValueMappingResult{
				Text:  cog.ToPtr("too few"),
				Color: cog.ToPtr(colourFaint),
			},
		},
	}}
}

// series is the fixed colour of one named series.
type series struct{ name, colour string }

func overTime(a about, queries ...QueryBuilder) *timeseries.PanelBuilder {
	return describe(timeseries.NewPanelBuilder(), a, queries...).
		LineWidth(2).
		FillOpacity(0).
		PointSize(4).
		ShowPoints(common.VisibilityModeAuto).
		BarAlignment(common.BarAlignmentAfter). // a bucket is named by its start
		Tooltip(common.NewVizTooltipOptionsBuilder().
			Mode(common.TooltipDisplayModeMulti).
			Sort(common.SortOrderDescending)).
		Legend(common.NewVizLegendOptionsBuilder().
			ShowLegend(true).
			DisplayMode(common.LegendDisplayModeList).
			Placement(common.LegendPlacementBottom).
			Calcs([]string{}))
}

// stacked draws counts as bars on top of each other, the totals of the whole
// range in the legend. The SQL answers time, metric and count.
func stacked(a about, sql string, colours ...series) panel {
	builder := overTime(a, TimeSeries("A", sql)).
		Min(0).
		Decimals(0).
		DrawStyle(common.GraphDrawStyleBars).
		LineWidth(0).
		FillOpacity(85).
		Stacking(common.NewStackingConfigBuilder().
			Mode(common.StackingModeNormal).
			Group("A")).
		Legend(common.NewVizLegendOptionsBuilder().
			ShowLegend(true).
			DisplayMode(common.LegendDisplayModeTable).
			Placement(common.LegendPlacementRight).
			Calcs([]string{"sum"}))
	return paint(builder, colours)
}

// lines draws values as lines, and the sample they rest on as faint bars
// against a scale of their own.
func lines(builder *timeseries.PanelBuilder, sample string, colours ...series) panel {
	return paint(builder, colours).OverrideByName(sample, []dashboard.DynamicConfigValue{
		{Id: "unit", Value: units.Short},
		{Id: "decimals", Value: 0},
		{Id: "min", Value: 0},
		{Id: "custom.drawStyle", Value: common.GraphDrawStyleBars},
		{Id: "custom.lineWidth", Value: 0},
		{Id: "custom.fillOpacity", Value: 15},
		{Id: "custom.axisPlacement", Value: common.AxisPlacementRight},
		{Id: "custom.axisGridShow", Value: false},
		{Id: "custom.scaleDistribution", Value: map[string]string{"type": string(common.ScaleDistributionLinear)}},
		fixed(colourFaint),
	})
}

// logarithmic keeps a median of a second readable beside a p99 of minutes.
func logarithmic(builder *timeseries.PanelBuilder) *timeseries.PanelBuilder {
	return builder.ScaleDistribution(common.NewScaleDistributionConfigBuilder().
		Type(common.ScaleDistributionLog).
		Log(10))
}

func paint(builder *timeseries.PanelBuilder, colours []series) *timeseries.PanelBuilder {
	for _, s := range colours {
		builder.OverrideByName(s.name, []dashboard.DynamicConfigValue{fixed(s.colour)})
	}
	return builder
}

func fixed(colour string) dashboard.DynamicConfigValue {
	return dashboard.DynamicConfigValue{
		Id:    "color",
		Value: map[string]string{"mode": string(dashboard.FieldColorModeIdFixed), "fixedColor": colour},
	}
}

// bars compares a few named counts. The first column of the SQL names them.
func bars(a about, sql, name string) panel {
	return describe(barchart.NewPanelBuilder(), a, Table("A", sql)).
		XField(name).
		Orientation(common.VizOrientationHorizontal).
		Stacking(common.StackingModeNone).
		ShowValue(common.VisibilityModeAlways).
		Decimals(0).
		FillOpacity(75).
		LineWidth(0).
		XTickLabelMaxLength(32).
		Legend(common.NewVizLegendOptionsBuilder().
			ShowLegend(true).
			DisplayMode(common.LegendDisplayModeList).
			Placement(common.LegendPlacementBottom).
			Calcs([]string{})).
		Tooltip(common.NewVizTooltipOptionsBuilder().
			Mode(common.TooltipDisplayModeMulti).
			Sort(common.SortOrderNone)).
		OverrideByName("kicks", []dashboard.DynamicConfigValue{fixed(colourKick)}).
		OverrideByName("people", []dashboard.DynamicConfigValue{fixed(colourFaint)})
}

// grid shows rows as they come, in the order of the SQL.
func grid(a about, sql string) *table.PanelBuilder {
	return describe(table.NewPanelBuilder(), a, Table("A", sql)).
		ShowHeader(true).
		CellHeight(common.TableCellHeightSm).
		Thresholds(thresholds([]dashboard.Threshold{otherwise(colourText)})).
		// Without a reducer the SDK writes null where Grafana wants a list.
		Footer(common.NewTableFooterOptionsBuilder().
			Show(false).
			CountRows(false).
			Reducer([]string{"sum"}))
}

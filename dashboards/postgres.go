package dashboards

import (
	"errors"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
)

const (
	// DatasourceType is the plugin that Grafana ships for Postgres.
	DatasourceType = "grafana-postgresql-datasource"
	// DatasourceUID names the one data source; provisioning/datasources gives it this uid.
	DatasourceUID = "roomtrail-postgres"
)

// Format tells Grafana how to read the rows of a query.
type Format string

const (
	// FormatTable hands the rows over as they are.
	FormatTable Format = "table"
	// FormatTimeSeries wants a column "time" in ascending order; a text column
	// "metric" names the series, each numeric column is a value.
	FormatTimeSeries Format = "time_series"
)

// Query is one SQL query in the shape of Grafana's Postgres data source. The
// SDK has no such type; it accepts any that implements variants.Dataquery.
type Query struct {
	RefID      string               `json:"refId"`
	Datasource common.DataSourceRef `json:"datasource"`
	Format     Format               `json:"format"`
	EditorMode string               `json:"editorMode"`
	RawQuery   bool                 `json:"rawQuery"`
	RawSQL     string               `json:"rawSql"`
}

var _ variants.Dataquery = Query{}

// ImplementsDataqueryVariant marks Query for the SDK.
func (Query) ImplementsDataqueryVariant() {}

// DataqueryType is the plugin id of the data source.
func (Query) DataqueryType() string { return DatasourceType }

// Equals compares all fields; the data source is the same for every Query.
func (q Query) Equals(other variants.Dataquery) bool {
	o, ok := other.(Query)
	return ok && q.RefID == o.RefID && q.Format == o.Format && q.RawSQL == o.RawSQL
}

// Validate refuses what Grafana would only complain about when the panel is drawn.
func (q Query) Validate() error {
	switch {
	case q.RefID == "":
		return errors.New("query without refId")
	case strings.TrimSpace(q.RawSQL) == "":
		return errors.New("query without SQL")
	case q.Format != FormatTable && q.Format != FormatTimeSeries:
		return errors.New("query with unknown format " + string(q.Format))
	}
	return nil
}

// QueryBuilder lets a Query be used wherever the SDK takes a builder: in
// panels and in alert rules alike.
type QueryBuilder struct{ query Query }

var _ cog.Builder[variants.Dataquery] = QueryBuilder{}

// Table asks for rows.
func Table(refID, sql string) QueryBuilder { return newQuery(refID, sql, FormatTable) }

// TimeSeries asks for values over time.
func TimeSeries(refID, sql string) QueryBuilder { return newQuery(refID, sql, FormatTimeSeries) }

func newQuery(refID, sql string, format Format) QueryBuilder {
	return QueryBuilder{Query{
		RefID:      refID,
		Datasource: datasource(),
		Format:     format,
		EditorMode: "code",
		RawQuery:   true,
		RawSQL:     strings.TrimSpace(sql),
	}}
}

// Build returns the query, or cog.BuildErrors: the SDK's callers panic on any
// other kind of error.
func (b QueryBuilder) Build() (variants.Dataquery, error) {
	if err := b.query.Validate(); err != nil {
		return nil, cog.MakeBuildErrors("query", err)
	}
	return b.query, nil
}

func datasource() common.DataSourceRef {
	return common.DataSourceRef{
		Type: cog.ToPtr(DatasourceType),
		Uid:  cog.ToPtr(DatasourceUID),
	}
}

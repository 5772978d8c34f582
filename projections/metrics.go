package projections

import (
	"regexp"
	"slices"
	"strings"
)

// Definition is what a figure means: the row of roomtrail.metric_definitions
// from which the function metric works it out. Its expressions are arithmetic
// over sums of columns of its sources.
type Definition struct {
	Name    string
	No      string // in the list of definitions
	Title   string
	Unit    string
	Formula string // in words
	Minimum int    // of the denominator, below which a figure has no colour

	// Sources hold the members: "login", "interruption", "event" and "duration"
	// are counters with what the counters cannot tell; any other name is that of
	// a relation of rows.
	Sources     []string
	Numerator   string
	Denominator string
	All         string // all members that may come to be counted
	Open        string // of those: not decided yet
	Inferred    string // told by silence alone
	InferredOf  string // of these; empty is the denominator

	Scale    float64  // the value is numerator by denominator times this
	IsShare  bool     // the numerator counts among the denominator: it has a Wilson interval
	Quantile float64  // of durations; 0 where it is a ratio
	Spans    []Span   // of durations: which
	By       []string // what it can be broken down by
	IsNow    bool     // it is about now alone: since, until and step say nothing
}

// Columns are what the expressions name.
func (d *Definition) Columns() []string {
	var out []string
	for _, expression := range []string{d.Numerator, d.Denominator, d.All, d.Open, d.Inferred, d.InferredOf} {
		out = append(out, identifier.FindAllString(expression, -1)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

var identifier = regexp.MustCompile(`\b[a-z_][a-z_0-9]*\b`)

// What members can be broken down by: what counters are kept for; beside it the
// room and more, for which rows are read. The last ones tell how something went
// and split the numerator alone.
var (
	byCounted      = words("app_id platform family sdk_version network carrier region is_import")
	byRoom         = append(slices.Clone(byCounted), "room_id")
	byLogin        = append(slices.Clone(byRoom), "length")
	byLoginCode    = append(slices.Clone(byLogin), "error_code")
	byKick         = append(slices.Clone(byLogin), "kick_reason", "attribution")
	byEnd          = append(slices.Clone(byLogin), "end_provenance")
	byInterruption = append(slices.Clone(byRoom), "provenance")
	byEventCode    = append(slices.Clone(byRoom), "error_code")
)

func words(s string) []string { return strings.Fields(s) }

package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"roomtrail/query"
)

// lookFor dresses text for where it goes: colours only on a terminal, and not
// where NO_COLOR says so (no-color.org).
func lookFor(stdout io.Writer, env func(string) string, utc bool) query.Look {
	look := query.Look{Zone: time.Local}
	if utc {
		look.Zone = time.UTC
	}
	if f, ok := stdout.(*os.File); ok && env("NO_COLOR") == "" && env("TERM") != "dumb" {
		info, err := f.Stat()
		look.Color = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return look
}

// tones are words of the read model that mean trouble, and the columns that
// hold such words; elsewhere they may be anybody's room or name.
var (
	tones = map[string]query.Tone{
		"failed": query.Bad, "presumed_failed": query.Bad, "reconnect_failed": query.Bad, "presumed_lost": query.Bad,
		"LoginFailed": query.Bad, "ReconnectFailed": query.Bad, "KickOut": query.Bad, "kicked": query.Bad, "gone": query.Bad,
		"pending": query.Doubt, "Reconnecting": query.Doubt, "LogoutFailed": query.Doubt, "silent": query.Doubt,
		"dark": query.Doubt, "superseded": query.Doubt, "unknown": query.Doubt,
		"warning": query.Bad, "note": query.Doubt,
		query.Nil: query.Faint,
	}
	toned = []string{"login_outcome", "outcome", "state", "presence", "reason", "ended_by", "verdict"}
)

// Prose wraps at this width; ids never do, for they are there to be copied.
const proseWidth = 44

var prose = []string{"meaning", "advice", "detail", "message"}

// writeTable writes a result for people. A column without any value is left
// out.
func writeTable(w io.Writer, r query.Result, look query.Look) error {
	if !r.Range.Until.IsZero() {
		fmt.Fprintln(w, look.Paint(query.Faint, r.Question.Name+", "+r.Range.Span(look.Zone)))
	}
	t := table.NewWriter()
	t.SetStyle(plainStyle)
	t.SuppressTrailingSpaces()
	if r.Question.Upright {
		fillUpright(t, r, look)
	} else {
		fill(t, r, look)
	}
	_, err := fmt.Fprintln(w, t.Render())
	return err
}

var plainStyle = table.Style{
	Name:   "plain",
	Box:    table.BoxStyle{MiddleHorizontal: "─", MiddleSeparator: "─", PaddingRight: "  "},
	Format: table.FormatOptions{Header: text.FormatDefault},
	Options: table.Options{
		SeparateHeader: true,
	},
}

// fill writes a row as a line.
func fill(t table.Writer, r query.Result, look query.Look) {
	var header table.Row
	var configs []table.ColumnConfig
	columns := shown(r)
	for n, i := range columns {
		name := r.Columns[i]
		header = append(header, look.Paint(query.Bold, query.Clean(query.Heading(name))))
		config := table.ColumnConfig{Number: n + 1}
		if isNumber(r, i) {
			config.Align, config.AlignHeader = text.AlignRight, text.AlignRight
		}
		if slices.Contains(prose, name) {
			config.WidthMax, config.WidthMaxEnforcer = proseWidth, text.WrapSoft
		}
		configs = append(configs, config)
	}
	t.AppendHeader(header)
	t.SetColumnConfigs(configs)
	for _, row := range r.Rows {
		var cells table.Row
		for _, i := range columns {
			cells = append(cells, cell(r.Columns[i], row[i], look))
		}
		t.AppendRow(cells)
	}
}

// fillUpright writes a column as a line and the first column on top.
func fillUpright(t table.Writer, r query.Result, look query.Look) {
	header := table.Row{""}
	configs := []table.ColumnConfig{}
	for n, row := range r.Rows {
		header = append(header, look.Paint(query.Bold, query.Cell(r.Columns[0], row[0], look.Zone)))
		configs = append(configs, table.ColumnConfig{Number: n + 2, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.AppendHeader(header)
	t.SetColumnConfigs(configs)
	for i, name := range r.Columns[1:] {
		line := table.Row{query.Heading(name)}
		for _, row := range r.Rows {
			line = append(line, cell(name, row[i+1], look))
		}
		t.AppendRow(line)
	}
}

func cell(column string, v any, look query.Look) string {
	s := query.Cell(column, v, look.Zone)
	if v == nil || slices.Contains(toned, column) {
		return look.Paint(tones[s], s)
	}
	return s
}

// shown are the indexes of the columns that a table shows.
func shown(r query.Result) []int {
	names := r.Question.Table
	if len(names) == 0 {
		names = r.Columns
	}
	var columns []int
	for _, name := range names {
		i := slices.Index(r.Columns, name)
		if i >= 0 && slices.ContainsFunc(r.Rows, func(row []any) bool { return row[i] != nil }) {
			columns = append(columns, i)
		}
	}
	return columns
}

// isNumber reports whether a column holds numbers, which line up on the right.
func isNumber(r query.Result, column int) bool {
	for _, row := range r.Rows {
		switch row[column].(type) {
		case nil:
		case int64, float64:
			return true
		default:
			return false
		}
	}
	return false
}

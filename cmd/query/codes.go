package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"roomtrail/query"
)

// What a code means and what to do is too long for a column: the table would be
// wider than a terminal, and a code says the same under each of its reasons.
const adviceWidth = 96

// What is said about a code that the table of codes does not know.
const (
	unlistedMeaning = "In no list of its family."
	unlistedAdvice  = "query session S shows what the SDK said beside it; ask the vendor's support what it means."
)

// writeErrors writes the table of codes, then what each means and what to do,
// in the table's order.
func writeErrors(w io.Writer, r query.Result, look query.Look) error {
	if err := writeTable(w, r, look); err != nil {
		return err
	}
	value := func(row []any, column, absent string) string {
		if v := row[slices.Index(r.Columns, column)]; v != nil {
			return query.Cell(column, v, look.Zone)
		}
		return absent
	}
	var b strings.Builder
	said := make(map[string]bool)
	for _, row := range r.Rows {
		code := value(row, "error_code", query.Nil) + " " + value(row, "family", query.Nil)
		if said[code] {
			continue
		}
		said[code] = true
		fmt.Fprintf(&b, "\n%s  %s\n", look.Paint(query.Bold, code), value(row, "meaning", unlistedMeaning))
		advice := text.WrapSoft(value(row, "advice", unlistedAdvice), adviceWidth)
		for line := range strings.SplitSeq(advice, "\n") {
			fmt.Fprintf(&b, "    %s\n", strings.TrimRight(line, " "))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

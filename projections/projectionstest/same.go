package projectionstest

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
)

// lines is a view's rows as text, in an order of their own.
func lines(t testing.TB, rows []Row) []string {
	t.Helper()
	out := make([]string, 0, len(rows))
	for _, row := range rows {
		text, err := json.Marshal(row)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(text))
	}
	slices.Sort(out)
	return out
}

// Same compares the rows of all views with what they should be, but for that of
// the pipeline.
func Same(t testing.TB, got, want map[string][]Row) {
	t.Helper()
	for _, view := range slices.Sorted(maps.Keys(want)) {
		if view == "pipeline_status" {
			continue
		}
		if g, w := lines(t, got[view]), lines(t, want[view]); !slices.Equal(g, w) {
			t.Errorf("%s: %d rows that are not the %d of the fold of all events, such as\n%s\n%s", view, len(g), len(w), onlyIn(g, w), onlyIn(w, g))
		}
	}
}

// onlyIn is the first line of a that b has not.
func onlyIn(a, b []string) string {
	for _, line := range a {
		if _, found := slices.BinarySearch(b, line); !found {
			return line
		}
	}
	return "(nothing)"
}

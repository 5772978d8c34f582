package projections

import (
	"testing"

	"roomtrail/events"
)

func TestGenerationsAreAppliedOneAfterTheOther(t *testing.T) {
	t.Parallel()
	ref := func(g, p int, seq uint64) events.Ref { return events.Ref{Generation: g, Partition: p, Seq: seq} }
	open := func(n int, r events.Ref) End { return End{r, n, false} }
	retired := func(n int, r events.Ref) End { return End{r, n, true} }
	for what, c := range map[string]struct {
		ends    []End
		applied []events.Ref
		want    int
	}{
		"no log":                         {nil, nil, 0},
		"one generation, nothing stored": {[]End{open(1, ref(1, 0, 0))}, nil, 1},
		"one generation, all applied":    {[]End{open(1, ref(1, 0, 7))}, []events.Ref{ref(1, 0, 7)}, 1},
		"the old one is still open":      {[]End{open(1, ref(1, 0, 7)), open(1, ref(2, 0, 0))}, []events.Ref{ref(1, 0, 7)}, 1},
		"the old one is behind":          {[]End{retired(1, ref(1, 0, 7)), open(1, ref(2, 0, 3))}, []events.Ref{ref(1, 0, 6)}, 1},
		"the old one is done":            {[]End{retired(1, ref(1, 0, 7)), open(1, ref(2, 0, 3))}, []events.Ref{ref(1, 0, 7)}, 2},
		"the old one never held any":     {[]End{retired(1, ref(1, 0, 0)), open(1, ref(2, 0, 3))}, nil, 2},
		"one of two partitions is behind": {
			[]End{retired(2, ref(1, 0, 7)), retired(2, ref(1, 1, 9)), open(1, ref(2, 0, 3))}, []events.Ref{ref(1, 0, 7), ref(1, 1, 8)}, 1},
		"one of two partitions is still open": {
			[]End{retired(2, ref(1, 0, 7)), open(2, ref(1, 1, 9)), open(1, ref(2, 0, 3))}, []events.Ref{ref(1, 0, 7), ref(1, 1, 9)}, 1},
		"one of two partitions is not to be seen": {
			[]End{retired(2, ref(1, 0, 7)), open(1, ref(2, 0, 3))}, []events.Ref{ref(1, 0, 7)}, 1},
		"both partitions are done": {
			[]End{retired(2, ref(1, 0, 7)), retired(2, ref(1, 1, 9)), open(1, ref(2, 0, 3))}, []events.Ref{ref(1, 1, 9), ref(1, 0, 7)}, 2},
		"a position of another partition does not count": {
			[]End{retired(2, ref(1, 0, 7)), retired(2, ref(1, 1, 7)), open(1, ref(2, 0, 3))}, []events.Ref{ref(1, 0, 7), ref(2, 1, 7)}, 1},
		"more was applied than the log holds": {[]End{retired(1, ref(1, 0, 7)), open(1, ref(2, 0, 3))}, []events.Ref{ref(1, 0, 8)}, 1},
		"something came late into a done one": {
			[]End{retired(1, ref(1, 0, 8)), open(1, ref(2, 0, 3))}, []events.Ref{ref(1, 0, 7), ref(2, 0, 3)}, 1},
		"the middle of three": {
			[]End{retired(1, ref(1, 0, 7)), retired(1, ref(2, 0, 2)), open(1, ref(3, 0, 0))}, []events.Ref{ref(1, 0, 7)}, 2},
		"the last of three": {
			[]End{retired(1, ref(1, 0, 7)), retired(1, ref(2, 0, 2)), open(1, ref(3, 0, 0))}, []events.Ref{ref(1, 0, 7), ref(2, 0, 2)}, 3},
		"the newest never ends, retired or not": {[]End{retired(1, ref(1, 0, 7))}, []events.Ref{ref(1, 0, 7)}, 1},
	} {
		if got := Due(c.ends, c.applied); got != c.want {
			t.Errorf("%s: generation %d is due, want %d", what, got, c.want)
		}
	}
}

package room_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"roomtrail/events"
	"roomtrail/room"
)

var update = flag.Bool("update", false, "rewrite the golden table")

// Every pair of states has a rating; the table in testdata shows them all.
func TestRatingsOfAllTransitions(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	fmt.Fprintf(&b, "%-16s", "from \\ to")
	for _, to := range events.Reasons {
		fmt.Fprintf(&b, " %-15s", to)
	}
	count := map[room.Rating]int{}
	for _, from := range append([]events.Reason{events.NoReason}, events.Reasons[:]...) {
		name := from.String()
		if from == events.NoReason {
			name = "(first)"
		}
		fmt.Fprintf(&b, "\n%-16s", name)
		for _, to := range events.Reasons {
			r := room.Rate(from, to)
			if from != events.NoReason {
				count[r]++
			}
			fmt.Fprintf(&b, " %-15s", r)
		}
	}
	got := strings.ReplaceAll(b.String()+"\n", " \n", "\n")
	if count[room.Documented] != 17 || count[room.Plausible] != 11 {
		t.Errorf("%d documented and %d plausible edges; want 17 and 11", count[room.Documented], count[room.Plausible])
	}
	const golden = "testdata/ratings.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || got != string(want) {
		t.Errorf("ratings differ from %s (%v); run go test ./room -update and read the diff:\n%s", golden, err, got)
	}
}

package sim_test

import (
	"testing"

	"roomtrail/sim"
)

// A login of a mixed day, with all its reports, callbacks and truth. The
// promise is a million in about a minute of CPU, so at most 60 µs each.
func BenchmarkLogin(b *testing.B) {
	b.ReportAllocs()
	w, err := sim.New(sim.Config{Seed: 1, Scenario: "mixed", PerHour: 40_000})
	if err != nil {
		b.Fatal(err)
	}
	for n := 0; b.Loop(); n++ {
		for w.Made() <= n {
			w.Step()
		}
	}
}

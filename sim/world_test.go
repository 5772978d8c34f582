package sim_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"roomtrail/events"
	"roomtrail/sim"
)

// run plays a world to its end, and hands out every step.
func run(t testing.TB, c sim.Config, each func(sim.Output)) *sim.World {
	t.Helper()
	w, err := sim.New(c)
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, ok := w.Next(); !ok {
			break
		}
		each(w.Step())
	}
	each(w.Finish())
	if w.Here() != 0 {
		t.Errorf("%d apps are still there", w.Here())
	}
	for _, fault := range w.Faults() {
		t.Errorf("seed %d: %s", c.Seed, fault)
	}
	return w
}

func TestPrint(t *testing.T) {
	for _, s := range sim.Scenarios() {
		counts := map[string]int{}
		began := time.Now()
		w := run(t, sim.Config{Seed: 1, Scenario: s, Logins: 2000, Check: true}, func(o sim.Output) {
			for _, l := range o.Logins {
				counts["login"]++
				counts["by "+l.EndedBy]++
				counts["gone "+l.GoneBy]++
				if l.IsComplete {
					counts["complete"]++
				}
				if l.DisplacedBy != "" {
					counts["displaced"]++
				}
			}
			for _, b := range o.Breaks {
				counts[fmt.Sprint("case ", b.RecoveryCase)]++
				counts["cause "+b.Cause]++
				counts["outcome "+b.Outcome]++
			}
			counts["deliveries"] += len(o.Deliveries)
			for _, d := range o.Deliveries {
				counts["events"] += len(d.Events)
			}
			counts["callbacks"] += len(o.Callbacks)
		})
		b, _ := json.Marshal(counts)
		t.Log(s, w.Made(), time.Since(began), string(b))
	}
	_ = sha256.New
	_ = hex.EncodeToString
	_ = events.Web
}

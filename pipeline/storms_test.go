package pipeline_test

import (
	"fmt"
	"testing"
	"time"

	"roomtrail/projections/projectionstest"
	"roomtrail/sim"
)

// In an hour with failing offices and an outage of a network, what coincides is
// told from what happens to somebody alone, through the door, the log and both
// stages.
func TestStormsAgainstTruth(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a smaller world proves too little")
	}
	d := simulateDay(t, 4, sim.Config{Seed: 21, Scenario: "outage", Logins: 1500, Over: time.Hour})
	network := map[string]string{}
	onset := map[string]string{} // session and true instant of a Reconnecting: how it must read
	for i := range d.logins {
		l := &d.logins[i]
		network[l.SessionID] = l.Network + l.Carrier + l.Region
		for _, e := range l.Events {
			if at, ok := d.happened[fmt.Sprintf("%s/%d", l.SessionID, e.Seq)]; ok && e.Reason == "Reconnecting" {
				onset[l.SessionID+e.At.String()] = at.UTC().String()
			}
		}
	}
	type told struct {
		group string // empty where it was lost alone
		row   projectionstest.Row
	}
	var all []told
	size := map[string]int{}
	for session, breaks := range d.breaks {
		for _, b := range breaks {
			if !b.StartDelivered || b.StartedAt == nil || b.Cause == "rooms" {
				continue
			}
			for _, row := range d.interruptions[session] {
				if row["started_at"].(time.Time).UTC().String() != onset[session+b.StartedAt.String()] {
					continue
				}
				v := told{row: row}
				switch b.Cause {
				case "office":
					v.group = b.LostAt.String() + network[session]
				case "outage":
					v.group = b.LostAt.String()
				}
				size[v.group]++
				all = append(all, v)
			}
		}
	}
	known, found, alone, grouped := 0, 0, 0, 0
	for _, v := range all {
		isIn := v.row["cause"] == "common_cause"
		switch {
		case v.row["cause"] == nil:
			t.Errorf("the cause of %v is not settled", v.row)
		case v.group == "":
			alone++
			if isIn {
				grouped++
			}
		case size[v.group] > 3:
			known++
			if isIn {
				found++
			}
		}
	}
	t.Logf("%d of %d that had a common cause are found, %d of %d that were alone are taken for one", found, known, grouped, alone)
	if known < 50 || alone < 200 {
		t.Error("too little of something to prove anything")
	}
	if float64(found) < 0.95*float64(known) || float64(grouped) > 0.02*float64(alone) {
		t.Error("want 0.95 of the ones at least, 0.02 of the others at most")
	}
}

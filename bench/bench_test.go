package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"

	"roomtrail/events"
)

// Everything once, with numbers that say nothing, so that it keeps working.
func TestEveryMeasurementRunsAndLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var stdout, stderr bytes.Buffer
	if code := run(context.Background(), []string{"--seconds", "0.1", "--events", "600", "--logins", "200", "--seeds", "20", "--dir", dir, "-o", "json"}, &stdout, &stderr); code != exitDone {
		t.Fatalf("exit code %d; want 0:\n%s", code, &stderr)
	}
	var got report
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Rows) != 7 {
		t.Fatalf("%d measurements; want 7", len(got.Rows))
	}
	for _, r := range got.Rows {
		if r.PerSecond <= 0 || r.LimitPerSecond <= 0 || r.Ratio <= 0 || r.P99MS < r.P50MS || r.P50MS <= 0 || r.CPU <= 0 {
			t.Errorf("%s lacks a figure: %+v", r.Name, r)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("%d files are left, the first is %s", len(left), left[0].Name())
	}
	if table := got.table(); !bytes.Contains([]byte(table), []byte("drain")) {
		t.Errorf("the table lacks the drain:\n%s", table)
	}
}

func TestWrongFlagsAreRefused(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--only", "door7"}, {"--events", "0"}, {"--seconds", "-1"}, {"--fast"}} {
		var stdout, stderr bytes.Buffer
		if code := run(context.Background(), args, &stdout, &stderr); code != exitUsage {
			t.Errorf("%q: exit code %d; want %d", args, code, exitUsage)
		}
	}
}

func TestReportsAreTakenAndDifferInSize(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 9, 6399} {
		report, mark := appendReport(nil, n)
		putHex(report[mark:mark+markLen], 0xbeef)
		e, err := events.FromReport(time.Now(), report)
		if err != nil {
			t.Fatal(err)
		}
		if len(report) < 320 || len(report) > 400 {
			t.Errorf("a report has %d bytes; want about 350", len(report))
		}
		if want := "0000beef"; e.SessionID[len(e.SessionID)-markLen:] != want {
			t.Errorf("session %q; want it to end in %s", e.SessionID, want)
		}
	}
}

func TestTheWorkloadHoldsWhatItPromises(t *testing.T) {
	t.Parallel()
	const n = 50_000
	w := newWorkload(time.Now(), n)
	type identity struct {
		session string
		seq     int64
	}
	seen, highest := map[identity]bool{}, map[string]int64{}
	copies, late, interruptions := 0, 0, 0
	for range n {
		e := w.next()
		id := identity{e.SessionID, e.Seq}
		switch h, known := highest[e.SessionID]; {
		case seen[id]:
			copies++
		case known && e.Seq < h:
			late++
		default:
			highest[e.SessionID] = e.Seq
		}
		seen[id] = true
		if e.Reason == events.Reconnecting {
			interruptions++
		}
	}
	for what, got := range map[string]int{"copies": copies, "late events": late} {
		if got < n/300 || got > n/50 {
			t.Errorf("%d %s of %d; want about one in a hundred", got, what, n)
		}
	}
	if interruptions < n/50 {
		t.Errorf("%d interruptions of %d events; want more", interruptions, n)
	}
	if len(highest) < liveSessions {
		t.Errorf("%d sessions; want at least %d", len(highest), liveSessions)
	}
}

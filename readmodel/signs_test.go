package readmodel_test

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"roomtrail/events"
	"roomtrail/readmodel"
	"roomtrail/readmodel/readmodeltest"
)

// signsOf are signs of life of n sessions.
func signsOf(n int, at time.Time) []events.Sign {
	signs := make([]events.Sign, n)
	for i := range signs {
		binary.BigEndian.PutUint64(signs[i].Session[:], uint64(i)*0x9E3779B97F4A7C15)
		signs[i].At, signs[i].LastSeq, signs[i].EveryMS = at, int64(i), 30_000
	}
	return signs
}

// Of two signs the later one counts, in whatever order they come.
func TestTheLatestSignCounts(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	owner, _ := readmodeltest.Database(t)
	m, err := readmodel.Open(ctx, owner, readmodel.Config{Owner: "test"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	at := time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)
	early, late := signsOf(3, at), signsOf(3, at.Add(time.Minute))
	late[1].LastSeq = 0
	for _, signs := range [][]events.Sign{late[:2], append(early, late[2], early[2])} {
		if err := m.MergeSigns(ctx, signs); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, owner, "SELECT count(*) FROM roomtrail.signs WHERE last_at = '2026-01-05 09:01:00Z'"); n != 3 {
		t.Errorf("%d of 3 sessions show their latest sign", n)
	}
	if n := count(t, owner, "SELECT max(last_seq) FROM roomtrail.signs"); n != 2 {
		t.Errorf("the highest number is %d, want 2", n)
	}
}

// A second's worth of signs: 5 000 a second may take a tenth of a core, so at
// most 100 ms, of which most is Postgres'.
func BenchmarkMergeSigns(b *testing.B) {
	ctx := context.Background()
	owner, _ := readmodeltest.Database(b)
	m, err := readmodel.Open(ctx, owner, readmodel.Config{Owner: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	at := time.Now()
	all := signsOf(150_000, at) // each speaks every 30 s
	for n := 0; b.Loop(); n++ {
		at = at.Add(time.Second)
		from := n * 5000 % len(all)
		signs := all[from : from+5000]
		for i := range signs {
			signs[i].At = at
		}
		if err := m.MergeSigns(ctx, signs); err != nil {
			b.Fatal(err)
		}
	}
}

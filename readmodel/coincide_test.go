package readmodel_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"roomtrail/events"
	"roomtrail/readmodel/readmodeltest"
)

// Four partitions are applied at once while two processes settle: whatever
// meets what, in the end the rows are those of the facts.
func TestManyAtOnceSettleToTheSameRows(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	facts := append(stormy(), handWorked()...)
	owner, reader := readmodeltest.Database(t)
	m := readmodeltest.Open(t, owner)
	readmodeltest.Apply(t, m, facts, 0)
	settle(t, m)
	now := ten.Add(time.Hour)
	want, _ := tellStorms(t, reader)
	wantImpact := tellImpact(views(t, reader, now)["interruption_impact"])
	for range 3 {
		owner, reader := readmodeltest.Database(t)
		m := readmodeltest.Open(t, owner)
		var partitions [4][]events.Stored
		for _, f := range facts {
			n := f.Bucket() % 4
			partitions[n] = append(partitions[n], f)
		}
		var writers, settlers sync.WaitGroup
		var isOver atomic.Bool
		for n, own := range partitions {
			writers.Go(func() {
				at, err := m.Claim(ctx, 1, n)
				for i := 0; i < len(own) && err == nil; i += 5 {
					batch := place(own[i:min(i+5, len(own))], at.Seq)
					for j := range batch {
						batch[j].Ref.Partition = n
						batch[j].StoredAt = ten
					}
					at, err = m.Apply(ctx, at, events.Batch{Facts: batch, LogCreated: ten})
				}
				if err != nil {
					t.Errorf("partition %d: %v", n, err)
				}
			})
		}
		for range 2 {
			settlers.Go(func() {
				for !isOver.Load() {
					if _, err := m.Settle(ctx); err != nil {
						t.Errorf("settle: %v", err)
						return
					}
				}
			})
		}
		writers.Wait()
		isOver.Store(true)
		settlers.Wait()
		settle(t, m)
		if got, _ := tellStorms(t, reader); got != want {
			t.Errorf("storms are\n%s\nwant\n%s", got, want)
		}
		if got := tellImpact(views(t, reader, now)["interruption_impact"]); got != wantImpact {
			t.Errorf("impacts are\n%s\nwant\n%s", got, wantImpact)
		}
	}
}

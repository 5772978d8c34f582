package pipeline_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"roomtrail/credentials"
	"roomtrail/eventlog"
	"roomtrail/eventlog/eventlogtest"
	"roomtrail/pipeline"
)

// However many make a key at once, two are made.
func TestTwoAtOnceDoNotMakeThreeKeys(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	nc := eventlogtest.Server(t)
	ring, err := pipeline.OpenKeyring(ctx, nc, 0)
	if err != nil {
		t.Fatal(err)
	}
	const tries = 8
	results := make([]error, tries)
	var all sync.WaitGroup
	for i := range tries {
		all.Go(func() {
			k, _ := credentials.New(time.Now(), "app", credentials.Write, nil, [credentials.Entropy]byte{byte(i), 37: byte(i)})
			results[i] = ring.Add(ctx, k)
		})
	}
	all.Wait()
	taken := 0
	for _, err := range results {
		var refused *pipeline.RefusedKeyError
		if err == nil {
			taken++
		} else if !errors.As(err, &refused) {
			t.Errorf("add: %v", err)
		}
	}
	keys, err := ring.List(ctx)
	if taken != 2 || len(keys) != 2 || err != nil {
		t.Errorf("%d keys were taken, %d are there, %v; want 2", taken, len(keys), err)
	}
}

func TestAListThatCannotBeReadIsNamedAndHarmsNoOther(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	nc := eventlogtest.Server(t)
	bucket, err := eventlog.OpenKeys(ctx, nc, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := bucket.Put(ctx, "broken", []byte("{"), 0); err != nil {
		t.Fatal(err)
	}
	ring, err := pipeline.OpenKeyring(ctx, nc, 0)
	if err != nil {
		t.Fatal(err)
	}
	k, _ := credentials.New(time.Now(), "app", credentials.Server, nil, [credentials.Entropy]byte{})
	if err := ring.Add(ctx, k); err != nil {
		t.Fatal(err)
	}
	keys, err := ring.List(ctx)
	if err == nil || !strings.Contains(err.Error(), "cannot be read") || len(keys) != 2 {
		t.Errorf("list: %d keys, %v; want both lists, and the broken one named", len(keys), err)
	}
	if k, err := ring.Revoke(ctx, time.Now(), k.ID); err != nil || k.Active() {
		t.Errorf("revoke beside it: %+v, %v", k, err)
	}
}

package eventlog_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"roomtrail/eventlog"
	"roomtrail/eventlog/eventlogtest"
)

func TestKeysAreReplacedOnlyByWhoHasSeenThem(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	nc := eventlogtest.Server(t)
	keys, err := eventlog.OpenKeys(ctx, nc, 0)
	if err != nil {
		t.Fatal(err)
	}
	odd := "an app. with > * and 用" + strings.Repeat("x", 220)
	if v, revision, err := keys.Get(ctx, odd); v != nil || revision != 0 || err != nil {
		t.Errorf("an app without keys: %q, %d, %v", v, revision, err)
	}
	if err := keys.Put(ctx, odd, []byte("one"), 0); err != nil {
		t.Fatal(err)
	}
	if err := keys.Put(ctx, odd, []byte("another"), 0); !errors.Is(err, eventlog.ErrChanged) {
		t.Errorf("put over what was not seen: %v", err)
	}
	v, revision, err := keys.Get(ctx, odd)
	if string(v) != "one" || err != nil {
		t.Fatalf("got %q, %v", v, err)
	}
	again, err := eventlog.OpenKeys(ctx, nc, 0) // as another process does
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Put(ctx, odd, []byte("two"), revision); err != nil {
		t.Fatal(err)
	}
	if err := keys.Put(ctx, odd, []byte("three"), revision); !errors.Is(err, eventlog.ErrChanged) {
		t.Errorf("put over a later one: %v", err)
	}
	if all, err := keys.List(ctx); err != nil || len(all) != 1 || string(all[0]) != "two" {
		t.Errorf("listed %q, %v", all, err)
	}
}

func TestFollowersHearOfEveryChange(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	keys, err := eventlog.OpenKeys(ctx, eventlogtest.Server(t), 0)
	if err != nil {
		t.Fatal(err)
	}
	heard, ended := make(chan []string), make(chan error, 1)
	go func() {
		ended <- keys.Follow(ctx, func(values [][]byte) {
			var all []string
			for _, v := range values {
				all = append(all, string(v))
			}
			slices.Sort(all)
			heard <- all
		})
	}()
	if all := <-heard; len(all) != 0 {
		t.Errorf("an empty bucket tells %q", all)
	}
	for i, app := range []string{"a", "b"} {
		if err := keys.Put(ctx, app, []byte(app), 0); err != nil {
			t.Fatal(err)
		}
		if all := <-heard; len(all) != i+1 || all[i] != app {
			t.Errorf("after %s: %q", app, all)
		}
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

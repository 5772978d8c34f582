package eventlog_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"roomtrail/embedded"
	"roomtrail/eventlog"
	"roomtrail/eventlog/eventlogtest"
	"roomtrail/events"
)

// stored counts what stands in all generations, by session and user, and how
// often, and checks that each event lies where its bucket belongs.
func stored(t testing.TB, log *eventlog.Log) map[string]int {
	t.Helper()
	info, err := log.Info(bg)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, i := range info {
		r := log.Reader(i.Generation, i.Partition, 50*time.Millisecond)
		for _, f := range readAll(t, r, i.Generation, i.Partition, 5000) {
			if want := events.Partition(f.Bucket(), i.Partitions); want != i.Partition || f.Ref.Generation != i.Generation {
				t.Fatalf("%s holds an event of partition %d", f.Ref, want)
			}
			count[f.SessionID+"/"+f.UserID]++
		}
		r.Close()
	}
	return count
}

// shape says how many partitions each generation has, and which are retired.
func shape(t testing.TB, log *eventlog.Log) string {
	t.Helper()
	info, err := log.Info(bg)
	if err != nil {
		t.Fatal(err)
	}
	var s string
	for _, i := range info {
		s += fmt.Sprintf("%d/%d", i.Generation, i.Partition)
		if i.IsRetired {
			s += "x"
		}
		s += " "
	}
	return s
}

// Two writers append all the time, one of them with a log that was opened
// before anything changed, while the number of partitions goes from 1 to 4 to 2.
func TestNothingIsLostWhileGenerationsChange(t *testing.T) {
	t.Parallel()
	nc := eventlogtest.Server(t)
	config := eventlog.Config{MaxBytes: 64 << 20}
	old := eventlogtest.Open(t, nc, config)
	changer := eventlogtest.Open(t, nc, config)
	var mu sync.Mutex
	accepted := map[string]bool{}
	var sent atomic.Int64
	var stop atomic.Bool
	var writers sync.WaitGroup
	write := func(log *eventlog.Log, name string, size int) {
		for n := 0; !stop.Load(); n++ {
			list := some(size, fmt.Sprint(name, n))
			if err := log.Append(bg, list); err != nil {
				t.Errorf("%s: %v", name, err) // nothing was wrong with the server
				continue
			}
			sent.Add(int64(size))
			mu.Lock()
			for _, e := range list {
				accepted[e.SessionID+"/"+e.UserID] = true
			}
			mu.Unlock()
		}
	}
	other := eventlogtest.Open(t, nc, config)
	for i, size := range []int{1, 5, 40, 700} {
		writers.Go(func() { write(old, fmt.Sprint("old", i, "-"), size) })
		writers.Go(func() { write(other, fmt.Sprint("other", i, "-"), size) })
	}
	until := func(n int64) {
		for was := sent.Load(); sent.Load() < was+n; {
			time.Sleep(time.Millisecond)
		}
	}
	until(3000)
	for _, n := range []int{4, 2} {
		if err := changer.Repartition(bg, n, 0); err != nil {
			t.Fatal(err)
		}
		until(3000)
	}
	stop.Store(true)
	writers.Wait()
	if got, want := shape(t, old), "1/0x 2/0x 2/1x 2/2x 2/3x 3/0 3/1 "; got != want {
		t.Errorf("the log is %s; want %s", got, want)
	}
	if old.Generation() != 3 || old.Partitions() != 2 {
		t.Errorf("the old writer writes to generation %d of %d partitions", old.Generation(), old.Partitions())
	}
	got := stored(t, old)
	for key := range accepted {
		if got[key] == 0 {
			t.Fatalf("%s was accepted and is gone", key)
		}
	}
	if len(got) != len(accepted) {
		t.Errorf("%d events are stored, %d were accepted", len(got), len(accepted))
	}
	info, _ := old.Info(bg)
	for _, i := range info {
		if i.Messages == 0 {
			t.Errorf("%d/%d holds nothing: the load proves nothing of it", i.Generation, i.Partition)
		}
	}
}

// What is published to a stream that has been retired is refused, whatever
// subject it comes by and however long the process slept that sends it.
func TestNothingIsStoredInARetiredStream(t *testing.T) {
	t.Parallel()
	nc := eventlogtest.Server(t)
	log := eventlogtest.Open(t, nc, eventlog.Config{})
	if err := log.Append(bg, some(20, "s")); err != nil {
		t.Fatal(err)
	}
	if err := log.Repartition(bg, 2, 0); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for subject, want := range map[string]error{
		"room.events.1.0.app.state.-": jetstream.ErrNoStreamResponse,
		"room.closed.1.0":             nil, // the server's own word: no room
	} {
		_, err := js.PublishMsg(bg, &nats.Msg{Subject: subject, Data: []byte("late")}, jetstream.WithRetryAttempts(0))
		var api *jetstream.APIError
		if err == nil || want != nil && !errors.Is(err, want) || want == nil && !errors.As(err, &api) {
			t.Errorf("publishing to %s: %v", subject, err)
		}
	}
	stream, err := js.Stream(bg, eventlog.StreamName(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	if last := stream.CachedInfo().State.LastSeq; last != 20 {
		t.Errorf("the retired stream ends at %d, want 20", last)
	}
	if err := stream.DeleteMsg(bg, 7); err != nil { // a person is erased
		t.Error(err)
	}
	if _, err := js.PublishMsg(bg, &nats.Msg{Subject: "room.closed.1.0", Data: []byte("x")}); err == nil {
		t.Error("what was erased made room for something new")
	}
}

// An opening that is broken off after any of its steps is finished by whoever
// opens the log next, or calls for it again; meanwhile events are taken.
func TestAnOpeningThatIsBrokenOffIsFinished(t *testing.T) {
	t.Parallel()
	ways := map[string]func(*testing.T, *nats.Conn, *eventlog.Log){
		"open": func(t *testing.T, nc *nats.Conn, _ *eventlog.Log) {
			eventlogtest.Open(t, nc, eventlog.Config{Partitions: 2}) // its own number is not asked for
		},
		"again": func(t *testing.T, _ *nats.Conn, log *eventlog.Log) {
			if err := log.Repartition(bg, 3, 0); err != nil {
				t.Error(err)
			}
		},
		"look": func(t *testing.T, _ *nats.Conn, log *eventlog.Log) {
			if _, err := log.Finish(bg); err != nil {
				t.Error(err)
			}
		},
	}
	const all = 3 + 2 // made, retired
	for way, finish := range ways {
		for steps := 1; steps <= all; steps++ {
			t.Run(fmt.Sprintf("%s after %d", way, steps), func(t *testing.T) {
				t.Parallel()
				nc := eventlogtest.Server(t)
				writer := eventlogtest.Open(t, nc, eventlog.Config{Partitions: 2})
				if more, err := eventlogtest.Open(t, nc, eventlog.Config{}).Begin(bg, 3, steps); err != nil || more != (steps < all) {
					t.Fatalf("more to do: %t, %v", more, err)
				}
				if err := writer.Append(bg, some(100, "between")); err != nil {
					t.Fatal(err)
				}
				finish(t, nc, writer)
				if err := writer.Append(bg, some(100, "after")); err != nil {
					t.Fatal(err)
				}
				if got, want := shape(t, writer), "1/0x 1/1x 2/0 2/1 2/2 "; got != want {
					t.Errorf("the log is %s; want %s", got, want)
				}
				if got := stored(t, writer); len(got) != 200 {
					t.Errorf("%d events are stored, want 200", len(got))
				}
			})
		}
	}
}

// Whoever makes the first stream decides the number; the others are told.
func TestTwoWhoWantDifferentNumbersDoNotMix(t *testing.T) {
	t.Parallel()
	nc := eventlogtest.Server(t)
	var logs []*eventlog.Log
	for range 6 {
		logs = append(logs, eventlogtest.Open(t, nc, eventlog.Config{}))
	}
	errs := make([]error, len(logs))
	var all sync.WaitGroup
	for i, log := range logs {
		all.Go(func() { errs[i] = log.Repartition(bg, 2+i%3, 0) })
	}
	all.Wait()
	info, err := logs[0].Info(bg)
	if err != nil {
		t.Fatal(err)
	}
	newest := info[len(info)-1]
	if todo, err := logs[0].Begin(bg, newest.Partitions, 0); err != nil || todo {
		t.Errorf("something is left to do: %t, %v", todo, err)
	}
	if !slices.ContainsFunc(errs, func(err error) bool { return err == nil }) {
		t.Errorf("nobody got what he wanted: %v", errs)
	}
	for i, log := range logs {
		if err := log.Append(bg, some(50, fmt.Sprint(i))); err != nil {
			t.Error(err)
		}
	}
	if got := stored(t, logs[0]); len(got) != 300 {
		t.Errorf("%d events are stored, want 300", len(got))
	}
}

// The generation before holds its space until it is retired: the next one gets
// what there is.
func TestANewGenerationFitsIntoWhatIsLeft(t *testing.T) {
	t.Parallel()
	server, err := embedded.StartNATS(embedded.NATSConfig{Dir: t.TempDir(), LazySync: true, MaxStore: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	nc, err := server.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	log := eventlogtest.Open(t, nc, eventlog.Config{MaxBytes: 40 << 20})
	for _, n := range []int{2, 1, 3} {
		if err := log.Repartition(bg, n, 0); err != nil {
			t.Fatal(err)
		}
		if err := log.Append(bg, some(100, fmt.Sprint(n))); err != nil {
			t.Fatal(err)
		}
	}
}

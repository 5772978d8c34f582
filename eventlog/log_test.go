package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"roomtrail/embedded"
	"roomtrail/eventlog"
	"roomtrail/eventlog/eventlogtest"
	"roomtrail/events"
)

var bg = context.Background()

// some are n events of different users.
func some(n int, tag string) []events.Event {
	out := make([]events.Event, n)
	for i := range out {
		out[i] = events.Event{
			AppID: "app", RoomID: "r", UserID: fmt.Sprintf("u%d", i), SessionID: tag, Seq: int64(i), Kind: events.State, Reason: events.Logining,
			OccurredAt: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC), ReceivedAt: time.Date(2026, 3, 1, 10, 0, 1, 0, time.UTC),
			Platform: "web", Family: events.Web, Source: events.FromClient, Trust: events.TrustPublic,
		}
	}
	return out
}

// readAll reads a partition to its end from the beginning.
func readAll(t testing.TB, r *eventlog.Reader, generation, partition, limit int) []events.Stored {
	t.Helper()
	var out []events.Stored
	at := events.Position{Generation: generation, Partition: partition}
	for {
		batch, err := r.Read(bg, at, limit)
		if err != nil {
			t.Fatal(err)
		}
		if at.Seq == batch.LogLast { // an empty read alone may be a slow one
			return out
		}
		if len(batch.Facts) == 0 {
			continue
		}
		out = append(out, batch.Facts...)
		last := batch.Facts[len(batch.Facts)-1]
		at.Seq, at.Digest, at.LogCreated = last.Ref.Seq, last.Digest, batch.LogCreated
	}
}

func TestWhatIsAppendedIsReadInOrderOncePerPartition(t *testing.T) {
	t.Parallel()
	for _, partitions := range []int{1, 4} {
		t.Run(fmt.Sprintf("%d partitions", partitions), func(t *testing.T) {
			t.Parallel()
			log := eventlogtest.Open(t, eventlogtest.Server(t), eventlog.Config{Partitions: partitions})
			var wg sync.WaitGroup
			for i, n := range []int{1, 3, 11, 12, 700, 2500} {
				wg.Go(func() {
					if err := log.Append(bg, some(n, fmt.Sprint(i))); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			seen := map[string]int{}
			for p := range partitions {
				r := log.Reader(1, p, 50*time.Millisecond)
				defer r.Close()
				facts := readAll(t, r, 1, p, 500)
				if partitions == 4 && len(facts) < 300 {
					t.Errorf("partition %d holds only %d events", p, len(facts))
				}
				for i, f := range facts {
					if f.Err != nil || f.Ref != (events.Ref{Generation: 1, Partition: p, Seq: uint64(i + 1)}) {
						t.Fatalf("fact %d is %s, %v", i, f.Ref, f.Err)
					}
					if got := events.Partition(f.Bucket(), partitions); got != p {
						t.Fatalf("user %s lies in partition %d, want %d", f.UserID, p, got)
					}
					seen[f.SessionID+f.UserID]++
				}
			}
			if len(seen) != 3227 {
				t.Errorf("%d different events were read, want 3227", len(seen))
			}
		})
	}
}

func TestAFullLogRefusesAndKeepsTheOldest(t *testing.T) {
	t.Parallel()
	log := eventlogtest.Open(t, eventlogtest.Server(t), eventlog.Config{MaxBytes: 256 << 10})
	var err error
	for i := 0; i < 100 && err == nil; i++ {
		err = log.Append(bg, some(100, fmt.Sprint(i)))
	}
	if !errors.Is(err, eventlog.ErrFull) {
		t.Fatalf("got %v; want ErrFull", err)
	}
	if err := log.Append(bg, some(1, "single")); err != nil && !errors.Is(err, eventlog.ErrFull) {
		t.Errorf("a single event gives %v; want ErrFull", err)
	}
	r := log.Reader(1, 0, 50*time.Millisecond)
	defer r.Close()
	if first := readAll(t, r, 1, 0, 5000)[0]; first.SessionID != "0" {
		t.Errorf("the oldest event is of session %s", first.SessionID)
	}
}

func TestNoAnswerIsUnknownNotFailed(t *testing.T) {
	t.Parallel()
	server, err := embedded.StartNATS(embedded.NATSConfig{Dir: t.TempDir(), LazySync: true})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := server.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	log := eventlogtest.Open(t, nc, eventlog.Config{Timeout: 300 * time.Millisecond})
	server.Close()
	for _, n := range []int{1, 50} {
		start := time.Now()
		if err := log.Append(bg, some(n, "x")); !errors.Is(err, eventlog.ErrUnknown) {
			t.Errorf("%d events: got %v; want ErrUnknown", n, err)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%d events: it took %s to say so", n, d)
		}
	}
}

// positionAt is where a reader stands after seq messages.
func positionAt(t testing.TB, log *eventlog.Log, seq int) events.Position {
	t.Helper()
	r := log.Reader(1, 0, 100*time.Millisecond)
	defer r.Close()
	batch, err := r.Read(bg, events.Position{Generation: 1}, seq)
	if err != nil || len(batch.Facts) != seq {
		t.Fatalf("read %d facts, %v; want %d", len(batch.Facts), err, seq)
	}
	return events.Position{Generation: 1, Seq: uint64(seq), Digest: batch.Facts[seq-1].Digest, LogCreated: batch.LogCreated}
}

func TestReadersHalt(t *testing.T) {
	t.Parallel()
	name := eventlog.StreamName(1, 0)
	for what, c := range map[string]struct {
		damage func(t *testing.T, js jetstream.JetStream, s jetstream.Stream, at *events.Position)
		want   string
	}{
		"at a hole": {func(t *testing.T, _ jetstream.JetStream, s jetstream.Stream, _ *events.Position) {
			if err := s.DeleteMsg(bg, 12); err != nil {
				t.Fatal(err)
			}
		}, "messages 12 to 12 are missing"},
		"when unread messages were purged": {func(t *testing.T, _ jetstream.JetStream, s jetstream.Stream, _ *events.Position) {
			if err := s.Purge(bg, jetstream.WithPurgeSequence(15)); err != nil {
				t.Fatal(err)
			}
		}, "begins at 15: messages 11 to 14 are gone"},
		"when the stream was made anew": {func(t *testing.T, js jetstream.JetStream, s jetstream.Stream, _ *events.Position) {
			config := s.CachedInfo().Config
			if err := js.DeleteStream(bg, name); err != nil {
				t.Fatal(err)
			}
			if _, err := js.CreateStream(bg, config); err != nil {
				t.Fatal(err)
			}
		}, "it is another log"},
		"when the log ends before the position": {func(_ *testing.T, _ jetstream.JetStream, _ jetstream.Stream, at *events.Position) {
			at.Seq = 100
		}, "ends at 20, but 100 was applied: it was rolled back"},
		"when another message stands there": {func(_ *testing.T, _ jetstream.JetStream, _ jetstream.Stream, at *events.Position) {
			at.Digest[0] ^= 1
		}, "has another message at 10 than was applied"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			nc := eventlogtest.Server(t)
			log := eventlogtest.Open(t, nc, eventlog.Config{})
			if err := log.Append(bg, some(20, "s")); err != nil {
				t.Fatal(err)
			}
			at := positionAt(t, log, 10)
			js, err := jetstream.New(nc)
			if err != nil {
				t.Fatal(err)
			}
			stream, err := js.Stream(bg, name)
			if err != nil {
				t.Fatal(err)
			}
			c.damage(t, js, stream, &at)
			r := log.Reader(1, 0, 100*time.Millisecond)
			defer r.Close()
			var halt *events.HaltError
			for i := 0; i < 3 && halt == nil; i++ { // a hole shows when it is reached
				batch, err := r.Read(bg, at, 100)
				if err != nil && !errors.As(err, &halt) {
					t.Fatal(err)
				}
				if n := len(batch.Facts); n > 0 {
					last := batch.Facts[n-1]
					at.Seq, at.Digest = last.Ref.Seq, last.Digest
				}
			}
			if halt == nil || !strings.Contains(halt.Why, c.want) {
				t.Errorf("got %v; want a halt with %q", halt, c.want)
			}
		})
	}
}

func TestWhatCannotBeDecodedIsReturnedWhole(t *testing.T) {
	t.Parallel()
	nc := eventlogtest.Server(t)
	log := eventlogtest.Open(t, nc, eventlog.Config{})
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.PublishMsg(bg, &nats.Msg{Subject: "room.events.1.0.app.state.-", Data: []byte("garbage")}); err != nil {
		t.Fatal(err)
	}
	if err := log.Append(bg, some(1, "s")); err != nil {
		t.Fatal(err)
	}
	r := log.Reader(1, 0, 100*time.Millisecond)
	defer r.Close()
	facts := readAll(t, r, 1, 0, 10)
	if len(facts) != 2 || facts[0].Err == nil || string(facts[0].Raw) != "garbage" || facts[1].Err != nil {
		t.Errorf("read %+v", facts)
	}
}

func TestOpenChecksWhatThePromisesRestOn(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		spoil func(*jetstream.StreamConfig)
		want  string
	}{
		"a log that eats its oldest":   {func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }, "discard"},
		"a log that forgets":           {func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, "max_age"},
		"a stream of somebody else":    {func(c *jetstream.StreamConfig) { c.Metadata = nil }, "not made by this program"},
		"a number that is not theirs":  {func(c *jetstream.StreamConfig) { c.Metadata["roomtrail-partitions"] = "3" }, "fixed within a generation"},
		"one partition more than told": {func(c *jetstream.StreamConfig) { c.Metadata["roomtrail-partitions"] = "1" }, "fixed within a generation"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			nc := eventlogtest.Server(t)
			eventlogtest.Open(t, nc, eventlog.Config{Partitions: 2})
			js, err := jetstream.New(nc)
			if err != nil {
				t.Fatal(err)
			}
			stream, err := js.Stream(bg, eventlog.StreamName(1, 1))
			if err != nil {
				t.Fatal(err)
			}
			config := stream.CachedInfo().Config
			c.spoil(&config)
			if _, err := js.UpdateStream(bg, config); err != nil {
				t.Fatal(err)
			}
			if _, err := eventlog.Open(bg, nc, eventlog.Config{MaxBytes: 1 << 20}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("opened: %v; want an error of %q", err, c.want)
			}
		})
	}
}

func TestSubjectsAreSafe(t *testing.T) {
	t.Parallel()
	e := some(1, "s")[0]
	for app, want := range map[string]string{
		"app": "app", "4000000001": "4000000001", "a.b": "a=2Eb", "*": "=2A", ">": "=3E", "a b": "a=20b", "=2A": "=3D2A", "用": "=E7=94=A8",
	} {
		e.AppID = app
		if got := eventlog.Subject(1, 3, &e); got != "room.events.1.3."+want+".state.Logining" {
			t.Errorf("subject of app %q is %s", app, got)
		}
	}
}

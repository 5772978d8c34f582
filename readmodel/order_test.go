package readmodel_test

import (
	"math/rand"
	"slices"
	"testing"

	"roomtrail/events"
)

// places are the columns that say where in the log something stands.
var places = []string{"event_ref", "stream_seq"}

// agreeing is the script without copies that say something else: of those the
// order of the log decides which counts.
func agreeing() []events.Stored {
	first := map[string]*events.Stored{}
	return slices.DeleteFunc(script(), func(f events.Stored) bool {
		if f.Err != nil {
			return false
		}
		was := first[identity(&f)]
		if was == nil {
			first[identity(&f)] = &f
		}
		return was != nil && !was.Same(&f.Event)
	})
}

// Whatever the order in which messages come, however batches are cut, and
// whenever the second stage has its turn, all views are the same.
func TestViewsDependOnTheSetAlone(t *testing.T) {
	t.Parallel()
	log := logged(agreeing())
	now := after(log)
	w := newWorld(t)
	if err := w.apply(&run{log: log}); err != nil {
		t.Fatal(err)
	}
	want, err := w.tell(now, places...)
	if err != nil {
		t.Fatal(err)
	}
	orders := 40
	if testing.Short() {
		orders = 4
	}
	for seed := range int64(orders) {
		random := rand.New(rand.NewSource(seed))
		shuffled := slices.Clone(log)
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		r := run{log: logged(shuffled), limit: 5 + random.Intn(60)}
		if err := w.empty(); err != nil {
			t.Fatal(err)
		}
		if err := w.apply(&r); err != nil {
			t.Fatal(err)
		}
		got, err := w.tell(now, places...)
		if err != nil {
			t.Fatal(err)
		}
		problem := differ(got, want)
		for _, broken := range w.invariants(&r) {
			problem += broken + "\n"
		}
		if problem != "" {
			t.Fatalf("order %d, batches of %d: %s", seed, r.limit, problem)
		}
	}
}

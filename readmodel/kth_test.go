package readmodel_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"
)

// endings are the ways in which a call to the outside can fail.
var endings = []struct {
	name             string
	replies, crashes bool
}{
	{"it fails", false, false},
	{"its reply is lost", true, false},
	{"the process ends with it", true, true}, // before it has effect at every second call
}

// Whichever call to the outside fails, and however, in the end all views and
// positions are as if nothing had happened.
func TestWhicheverCallFails(t *testing.T) {
	t.Parallel()
	log := script()
	now := after(log)
	w := newWorld(t)
	calm := run{log: log}
	if err := w.apply(&calm); err != nil {
		t.Fatal(err)
	}
	want, err := w.tell(now)
	if err != nil {
		t.Fatal(err)
	}
	for _, broken := range w.invariants(&calm) {
		t.Error(broken)
	}
	for view, rows := range want {
		if rows == "" && !mayBeEmpty[view] {
			t.Errorf("the script leaves %s empty, so nothing is said of it", view)
		}
	}
	t.Logf("%s; %d calls", scripted(log), calm.faults.calls)
	stride := 1
	if testing.Short() {
		stride = 41
	}
	type choice struct{ call, ending int }
	choices := make(chan choice)
	var workers sync.WaitGroup
	for range max(2, runtime.GOMAXPROCS(0)) {
		w := newWorld(t)
		workers.Go(func() {
			for c := range choices {
				how := endings[c.ending]
				if how.crashes && c.call%2 == 0 {
					how.replies = false
				}
				if problem := w.fails(c.call, how.replies, how.crashes, &calm, want, now); problem != "" {
					t.Errorf("call %d of %d, %s: %s", c.call, calm.faults.calls, how.name, problem)
				}
			}
		})
	}
	for call := 1; call <= calm.faults.calls && !t.Failed(); call += stride {
		for ending := range endings {
			choices <- choice{call, ending}
		}
	}
	close(choices)
	workers.Wait()
}

// mayBeEmpty are views of which the script says nothing.
var mayBeEmpty = map[string]bool{"audit_ledger": true}

// fails applies the log with one call that fails and says what is other than
// without.
func (w *world) fails(call int, replies, crashes bool, calm *run, want map[string]string, now time.Time) string {
	if err := w.empty(); err != nil {
		return err.Error()
	}
	r := run{log: calm.log, crashes: crashes}
	r.faults.chosen, r.faults.replies = call, replies
	if err := w.apply(&r); err != nil {
		return err.Error()
	}
	if !r.faults.met {
		return fmt.Sprintf("only %d calls were made", r.faults.calls)
	}
	if r.errors > 1 {
		return fmt.Sprintf("it made %d turns fail", r.errors)
	}
	if len(r.moves) > 0 {
		return fmt.Sprint("the position went back ", r.moves)
	}
	got, err := w.tell(now)
	if err != nil {
		return err.Error()
	}
	return differ(got, want)
}

package projections

import (
	"math"
	"time"

	"roomtrail/events"
)

// instant is a point on the sender's clocks, from which durations are taken.
type instant struct {
	At     time.Time // occurred_at
	MonoUS int64     // whole microseconds: differences of decimals stay exact
	Mono   bool
	Boot   string
}

func at(e *events.Event) instant {
	return instant{e.OccurredAt, int64(math.Round(e.MonotonicMS * 1000)), e.HasMonotonic && e.BootID != "", e.BootID}
}

// since is the duration from one instant to a later one in whole
// milliseconds, by the monotonic clock where both have it of the same boot,
// else by the wall clock (contract 4.2). A negative one is 0 and says so.
func since(from, to instant) (ms int64, wentBack bool) {
	if from.isOfBoot(to) {
		ms = (to.MonoUS - from.MonoUS) / 1000
	} else {
		ms = to.At.Sub(from.At).Milliseconds()
	}
	if ms < 0 {
		return 0, true
	}
	return ms, false
}

// isOfBoot says whether two instants are of one monotonic clock.
func (i instant) isOfBoot(o instant) bool { return i.Mono && o.Mono && i.Boot == o.Boot }

package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// rates is how much goes wrong. Shares are from 0 to 1; a mean time of zero
// means never.
type rates struct {
	lossEvery  time.Duration // mean time between losses of one link
	oneWay     float64       // losses that cut one direction only
	unnoticed  float64       // losses that the device does not notice at once
	long       float64       // losses that are longer than H, a third of them than W
	officeDown time.Duration // mean time between failures of a whole office
	outage     bool          // 30 % of one network's users are lost at once, in the middle
	flaky      float64       // logins on a link that is down at that moment

	crash     float64 // of those who leave: the app is killed
	closed    float64 // of those who leave on web: the page is closed
	saysSo    float64 // of those: with a beacon that says closing
	impatient float64 // of those who are offline: leave without waiting for W

	secondDevice float64       // stays during which the user comes in elsewhere
	fightsBack   float64       // of those who are kicked by another login: log in again
	ghost        float64       // of those who lose the link: start the app anew
	kicked       time.Duration // mean time until the back end removes a user
	closeRoom    float64       // rooms that the back end closes
	badToken     float64       // logins with a token that is no good
	roomFull     float64       // rooms with fewer seats than guests
	switches     float64       // stays that go on in another room
	again        float64       // of those whose login ended by itself: log in again

	tokenLife    time.Duration // mean life of a token; zero is for ever
	renews       float64       // of those who are warned: renew it
	kickOnExpiry bool

	wrongClock float64 // devices whose clock is wrong
	clockSet   float64 // stays during which the clock is set

	loose float64 // reporters that send each event by itself, at once, and only once
	twice float64 // requests that arrive twice
	kept  float64 // of reporters that end with events: keep them and deliver hours later
	peers float64 // reporters that tell who comes and goes

	callbackLost  float64 // callbacks that never arrive
	callbackTwice float64 // callbacks that arrive, are not believed to have, and are retried
}

// calm is a good day: people come, stay and go, a link drops now and then and
// is soon back, and all that is reported arrives.
var calm = rates{
	lossEvery: 40 * time.Minute, unnoticed: 0.3, long: 0.02, switches: 0.03, again: 0.5,
	saysSo: 0.5, peers: 0.05, callbackTwice: 0.002,
}

// scenarios are what can happen on top of a calm day.
var scenarios = map[string]struct {
	about string
	with  func(*rates)
}{
	"calm":   {"a good day: short losses, everything is delivered", func(*rates) {}},
	"outage": {"30 % of the users of one network are lost at once, and offices fail", func(r *rates) { r.outage, r.officeDown, r.impatient, r.long = true, 2*time.Hour, 0.2, 0.1 }},
	"kick-storm": {"devices of one user displace each other, and the back end kicks", func(r *rates) {
		r.secondDevice, r.fightsBack, r.kicked, r.closeRoom = 0.25, 0.7, 30*time.Minute, 0.05
	}},
	"token-expiry": {"tokens end, some are renewed, some are wrong from the start", func(r *rates) {
		r.tokenLife, r.renews, r.kickOnExpiry, r.badToken = 8*time.Minute, 0.6, true, 0.06
	}},
	"ghosts": {"links die one way, apps restart and meet their own seat, leaving fails", func(r *rates) {
		r.lossEvery, r.oneWay, r.unnoticed, r.ghost, r.long, r.crash, r.impatient = 12*time.Minute, 0.3, 0.5, 0.35, 0.25, 0.1, 0.3
	}},
	"late-flood": {"reports come hours late, twice, out of order or never", func(r *rates) {
		r.lossEvery, r.long, r.loose, r.twice, r.kept, r.crash, r.callbackTwice = 15*time.Minute, 0.2, 0.25, 0.15, 0.7, 0.15, 0.05
	}},
	"bad-clocks": {"clocks are hours off, or are set during a stay", func(r *rates) { r.wrongClock, r.clockSet, r.lossEvery = 0.4, 0.15, 15*time.Minute }},
	"closed-tabs": {"most leave by closing the page, and nobody is told", func(r *rates) {
		r.closed, r.crash, r.saysSo = 0.8, 0.1, 0.3
	}},
	"mixed": {"some of everything, and events and callbacks that never arrive", func(r *rates) {
		r.lossEvery, r.oneWay, r.unnoticed, r.long, r.officeDown, r.flaky = 12*time.Minute, 0.15, 0.4, 0.25, 4*time.Hour, 0.03
		r.crash, r.closed, r.saysSo, r.impatient = 0.05, 0.25, 0.3, 0.2
		r.secondDevice, r.fightsBack, r.ghost, r.kicked, r.closeRoom = 0.05, 0.4, 0.15, 3*time.Hour, 0.01
		r.badToken, r.roomFull, r.tokenLife, r.renews, r.kickOnExpiry = 0.02, 0.05, 40*time.Minute, 0.8, true
		r.wrongClock, r.clockSet, r.loose, r.twice, r.kept = 0.08, 0.02, 0.08, 0.03, 0.5
		r.callbackLost, r.callbackTwice = 0.01, 0.02
	}},
}

// Scenarios lists their names.
func Scenarios() []string {
	names := make([]string, 0, len(scenarios))
	for name := range scenarios {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// About says what a scenario shows, and is empty for a name that is none.
func About(name string) string { return scenarios[name].about }

// ratesOf reads the names of scenarios. Joined ones have the worst of each.
func ratesOf(names string) (rates, error) {
	all := calm
	if names == "" {
		return all, nil
	}
	for name := range strings.SplitSeq(names, ",") {
		s, ok := scenarios[strings.TrimSpace(name)]
		if !ok {
			return all, fmt.Errorf("scenario %q: want one of %s, or several joined by commas", name, strings.Join(Scenarios(), ", "))
		}
		one := calm
		s.with(&one)
		all.join(one)
	}
	return all, nil
}

// join takes the worse of each rate: the larger share, the shorter time.
func (r *rates) join(o rates) {
	for _, share := range [][2]*float64{
		{&r.oneWay, &o.oneWay}, {&r.unnoticed, &o.unnoticed}, {&r.long, &o.long}, {&r.flaky, &o.flaky}, {&r.crash, &o.crash},
		{&r.closed, &o.closed}, {&r.saysSo, &o.saysSo}, {&r.impatient, &o.impatient}, {&r.secondDevice, &o.secondDevice},
		{&r.fightsBack, &o.fightsBack}, {&r.ghost, &o.ghost}, {&r.closeRoom, &o.closeRoom}, {&r.badToken, &o.badToken},
		{&r.roomFull, &o.roomFull}, {&r.switches, &o.switches}, {&r.again, &o.again}, {&r.renews, &o.renews}, {&r.wrongClock, &o.wrongClock},
		{&r.clockSet, &o.clockSet}, {&r.loose, &o.loose}, {&r.twice, &o.twice}, {&r.kept, &o.kept}, {&r.peers, &o.peers},
		{&r.callbackLost, &o.callbackLost}, {&r.callbackTwice, &o.callbackTwice},
	} {
		*share[0] = max(*share[0], *share[1])
	}
	for _, mean := range [][2]*time.Duration{
		{&r.lossEvery, &o.lossEvery}, {&r.officeDown, &o.officeDown}, {&r.kicked, &o.kicked}, {&r.tokenLife, &o.tokenLife},
	} {
		if *mean[0] == 0 || *mean[1] > 0 && *mean[1] < *mean[0] {
			*mean[0] = *mean[1]
		}
	}
	r.outage, r.kickOnExpiry = r.outage || o.outage, r.kickOnExpiry || o.kickOnExpiry
}

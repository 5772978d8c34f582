package sim

import (
	"time"

	"roomtrail/room"
)

// line is an app's way to the world. It carries both ways unless it is cut.
type line struct {
	up, down bool
	known    bool   // the SDK was told that it is broken
	number   uint64 // rises when it breaks: what was under way is lost
	lag      time.Duration
}

// notices is how long an SDK needs to find out that nothing comes back any
// more: the signalling heartbeat's time-out (observed of the web SDK).
const notices = 10 * time.Second

// cut breaks the line, both ways or one of them. What the device sees at once
// (no network at all) it says at once.
func (a *app) cut(up, down, seen bool, cause string, lasts time.Duration) {
	w := a.world
	if a.isGone || !a.line.up || !a.line.down || a.line.known {
		return
	}
	if up {
		a.beatsEnd()
	}
	a.line.up, a.line.down = !up, !down
	a.line.number++
	number := a.line.number
	if a.stay != nil {
		a.stay.cut(w.now, cause, direction(up, down), number)
	}
	find := notices
	if seen {
		find = 0
	}
	if find < lasts {
		w.after(find, func() {
			if a.line.number == number && !a.isGone {
				a.breaks()
			}
		})
	}
	w.after(lasts, func() {
		if !a.isGone && (a.line.number == number || a.line.known) {
			a.mend()
		}
	})
}

// direction says which way a line stopped carrying.
func direction(up, down bool) string {
	switch {
	case up && down:
		return "both"
	case up:
		return "up"
	}
	return "down"
}

// breaks is the moment in which the SDK gives the line up.
func (a *app) breaks() {
	w := a.world
	if a.line.up { // only the way back was cut: heartbeats went on until now
		a.beatsEnd()
	}
	a.line.up, a.line.down, a.line.known = false, false, true
	a.line.number++
	if w.happens(0.3) {
		w.after(a.line.lag, func() { w.stepRooms(nil, room.Dropped{At: a.at}) })
	}
	a.step(room.LinkDown{})
}

// mend brings the line back. Where nobody had noticed, the next heartbeat tells
// both sides how things are.
func (a *app) mend() {
	known, number := a.line.known, a.line.number
	a.line.up, a.line.down, a.line.known = true, true, false
	if a.stay != nil {
		a.stay.mended(known, number)
	}
	if known {
		a.step(room.LinkUp{})
	} else if m, ok := a.engine.Beat(a.room); ok {
		a.send(m)
	}
	a.postSoon()
}

// loseSometimes lets the line drop again and again while the app runs.
func (a *app) loseSometimes() {
	w := a.world
	if w.rates.lossEvery == 0 {
		return
	}
	after := w.about(w.rates.lossEvery)
	if w.now.Add(after).After(a.leaveAt) {
		return // they will have left
	}
	w.after(after, func() {
		if a.isGone {
			return
		}
		a.drop("alone", w.lossLength(), w.happens(w.rates.unnoticed))
		a.loseSometimes()
	})
}

// drop cuts the line for a while, and lets the user react to it.
func (a *app) drop(cause string, lasts time.Duration, unseen bool) {
	w := a.world
	up, down := true, true
	if w.happens(w.rates.oneWay) {
		up = w.happens(0.5)
		down = !up
		unseen = true
	}
	a.cut(up, down, !unseen, cause, lasts)
	if lasts > 15*time.Second && w.happens(w.rates.ghost) {
		w.after(w.between(5*time.Second, 40*time.Second), a.restart)
	}
}

// lossLength is how long a link stays away: most are back in seconds.
func (w *World) lossLength() time.Duration {
	h := w.config.HeartbeatTimeout
	if !w.happens(w.rates.long) {
		if w.happens(0.6) {
			return w.between(time.Second, 12*time.Second)
		}
		return w.between(12*time.Second, h-5*time.Second)
	}
	if !w.happens(0.35) {
		return w.between(h+5*time.Second, w.config.WebWindow-20*time.Second)
	}
	if w.happens(0.5) {
		return w.between(w.config.WebWindow+time.Minute, w.config.NativeWindow)
	}
	return w.between(w.config.NativeWindow+time.Minute, 2*w.config.NativeWindow)
}

// office is a network that several share, and that fails for all of them.
type office struct {
	network, carrier, region string
	apps                     []*app
}

func (o *office) join(a *app) { o.apps = append(o.apps, a) }

func (o *office) leave(a *app) {
	for i, b := range o.apps {
		if a == b {
			o.apps[i] = o.apps[len(o.apps)-1]
			o.apps[len(o.apps)-1] = nil
			o.apps = o.apps[:len(o.apps)-1]
			return
		}
	}
}

// openOffices makes the networks, and lets them fail where the scenario does.
func (w *World) openOffices() {
	for _, region := range []string{"eu-west", "us-east", "ap-south"} {
		for _, carrier := range []string{"north-tel", "blue-mobile", "metro-net"} {
			w.offices = append(w.offices, &office{network: "cellular", carrier: carrier, region: region})
		}
		for _, carrier := range []string{"campus", "fibre-one", "city-cable", "hotel"} {
			w.offices = append(w.offices, &office{network: "wifi", carrier: carrier, region: region})
		}
		w.offices = append(w.offices, &office{network: "ethernet", carrier: "head-office", region: region})
	}
	if w.rates.officeDown > 0 {
		for _, o := range w.offices {
			w.failSometimes(o)
		}
	}
	if w.rates.outage {
		w.after(w.config.Over/2, w.outage)
	}
}

func (w *World) failSometimes(o *office) {
	after := w.about(w.rates.officeDown)
	if w.config.Logins > 0 && w.now.Add(after).After(w.config.Start.Add(w.config.Over)) {
		return // nobody would be left to feel it
	}
	w.after(after, func() {
		for _, a := range append([]*app(nil), o.apps...) {
			a.drop("office", w.lossLength(), w.happens(0.2))
		}
		w.failSometimes(o)
	})
}

// outage takes 30 % of the users of the network that most of them have.
func (w *World) outage() {
	counts := map[string]int{}
	most := ""
	for _, a := range w.running {
		n := a.device.office.network
		if counts[n]++; counts[n] > counts[most] {
			most = n
		}
	}
	for _, a := range append([]*app(nil), w.running...) {
		if a.device.office.network == most && w.happens(0.3) {
			a.drop("outage", w.between(20*time.Second, w.config.WebWindow+4*time.Minute), false)
		}
	}
	if w.config.Logins == 0 {
		w.after(20*time.Minute, w.outage)
	}
}

package sim

import (
	"strconv"
	"time"

	"roomtrail/events"
	"roomtrail/room"
)

// post is how an app's reporter sends.
type post struct {
	isLoose  bool // each event by itself, at once, and only once
	isSet    bool // a request is due
	inFlight int  // events in the request that waits for its answer
	patience int
}

// postSoon sends what waits after a moment, in which more may come.
func (a *app) postSoon() {
	w := a.world
	if a.post.isLoose {
		a.postEach()
		return
	}
	if a.post.isSet || a.isGone || len(a.notes.Waiting()) == 0 {
		return
	}
	a.post.isSet = true
	w.after(w.between(100*time.Millisecond, time.Second), func() {
		a.post.isSet = false
		a.postNow()
	})
}

// answerTimeout is how long a reporter waits for the intake; no answer means
// that nobody knows, and that it sends the same again.
const answerTimeout = 10 * time.Second

// postNow sends all that waits in one request.
func (a *app) postNow() {
	w := a.world
	if a.isGone || a.post.inFlight > 0 || !a.line.up || a.line.known || len(a.notes.Waiting()) == 0 {
		return
	}
	batch := append([]events.Event(nil), a.notes.Waiting()...)
	a.post.inFlight = len(batch)
	number, sent := a.line.number, a.clock().Wall
	w.after(a.line.lag, func() {
		if a.line.number == number && !a.isGone {
			w.deliver(a, sent, batch)
		}
	})
	w.after(2*a.line.lag, func() {
		if a.isGone {
			return
		}
		if a.line.number == number && a.line.down {
			a.taken(batch)
			return
		}
		w.after(answerTimeout, func() {
			a.post.inFlight = 0
			a.postSoon()
		})
	})
}

func (a *app) taken(sent []events.Event) {
	a.notes.Taken(sent)
	a.post.inFlight = 0
	if len(a.notes.Waiting()) > 0 {
		a.postSoon()
	} else if a.isLeaving && a.post.patience > 0 {
		a.goAway()
	}
}

// postEach is a reporter that fires and forgets: requests overtake each other,
// and what meets a broken line is lost.
func (a *app) postEach() {
	w := a.world
	for _, e := range a.notes.Waiting() {
		if !a.line.up || a.line.known {
			w.settle(e.SessionID, e.Seq, false)
			continue
		}
		sent := a.clock().Wall
		w.after(a.line.lag+w.about(700*time.Millisecond), func() { w.deliver(a, sent, []events.Event{e}) })
	}
	a.notes.Taken(a.notes.Waiting())
}

// beacon sends what waits while the page goes down; it may still arrive.
func (a *app) beacon() {
	a.post.inFlight = 0
	if a.line.up && !a.line.known && len(a.notes.Waiting()) > 0 {
		w, sent := a.world, a.clock().Wall
		batch := append([]events.Event(nil), a.notes.Waiting()...)
		a.notes.Taken(batch)
		w.after(a.line.lag, func() { w.deliver(a, sent, batch) })
	}
}

// lose decides what becomes of reports that an app's end leaves behind: some
// reporters keep them and send them when the app is started again, hours later.
func (w *World) lose(a *app) {
	rest := append([]events.Event(nil), a.notes.Waiting()...)
	a.notes.Taken(rest)
	if len(rest) == 0 {
		return
	}
	if !w.happens(w.rates.kept) {
		for _, e := range rest {
			w.settle(e.SessionID, e.Seq, false)
		}
		return
	}
	w.after(w.between(10*time.Minute, 5*time.Hour), func() {
		w.deliver(a, a.clock().Wall.Add(-a.line.lag), rest)
	})
}

// deliver is the moment at which a request has reached the intake.
func (w *World) deliver(a *app, sent time.Time, batch []events.Event) {
	for _, e := range batch {
		w.settle(e.SessionID, e.Seq, true)
	}
	w.out.Deliveries = append(w.out.Deliveries, Delivery{At: w.now.Truncate(time.Millisecond), SentAt: sent, Events: batch})
	if w.happens(w.rates.twice) {
		w.after(w.between(500*time.Millisecond, 40*time.Second), func() {
			w.out.Deliveries = append(w.out.Deliveries, Delivery{At: w.now.Truncate(time.Millisecond), SentAt: sent, Events: batch})
		})
	}
}

// callBack posts a server callback, as the vendor does: late by a moment, once
// more where the answer did not come, in no certain order.
func (w *World) callBack(c room.Callback) {
	if w.happens(w.rates.callbackLost) {
		return
	}
	sent := later(c.At, w.now)
	one := Callback{SentAt: sent, Nonce: strconv.FormatUint(w.chance.Uint64(), 36), Callback: c}
	arrive := func() {
		one.At = w.now.Truncate(time.Millisecond)
		w.out.Callbacks = append(w.out.Callbacks, one)
	}
	delay := w.between(50*time.Millisecond, 900*time.Millisecond)
	w.after(delay, arrive)
	if w.happens(w.rates.callbackTwice) {
		w.after(delay+2*time.Second, arrive)
	}
}

// speak gives a sign of life, as long as the app runs and its login is not over.
func (a *app) speak() {
	w := a.world
	if a.isGone {
		return
	}
	w.after(w.config.AliveEvery, a.speak)
	s := a.stay
	if s == nil || s.login.EndedBy != "" || !a.line.up || a.line.known {
		return
	}
	sign := Sign{
		AppID: s.login.AppID, RoomID: s.login.RoomID, UserID: s.login.UserID, Session: s.login.SessionID,
		LastSeq: int64(len(s.login.Events)) - 1, EveryMS: w.config.AliveEvery.Milliseconds(),
	}
	w.after(a.line.lag, func() {
		sign.At = w.now.Truncate(time.Millisecond)
		w.out.Signs = append(w.out.Signs, sign)
	})
}

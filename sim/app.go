package sim

import (
	"strconv"
	"time"

	"roomtrail/events"
	"roomtrail/reporter"
	"roomtrail/room"
)

// app is one running SDK: an engine, the reporter beside it, and the line to
// the rooms and to the intake.
type app struct {
	world   *World
	who     *person
	device  *device
	at      room.Endpoint
	engine  *room.Engine
	profile room.Profile
	notes   *reporter.Reporter
	room    string // where it is, or tries to be
	stay    *stay  // the login there
	wake    time.Time
	inOrder int // its place in World.running
	guests  int // seats of the room, as the app asks for; 0 is no limit

	line       line
	post       post
	isGone     bool // the process has ended
	isLeaving  bool // it only waits for its reports to be taken
	isOld      bool // the user goes on in another one
	tellsPeers bool
	fights     int // how often it came back after a kick
	leaveAt    time.Time
}

// start starts an app on a device. Web has a boot for each page, the others
// one for each start of the device.
func (w *World) start(who *person, d *device) *app {
	d.starts++
	boot := d.boot
	if d.about.Family == events.Web {
		boot = d.id + "-page-" + strconv.Itoa(d.starts)
	}
	p := room.Profile{
		Family: d.about.Family, RetryWindow: w.config.NativeWindow, ComputedBeats: true, Terminal: room.Terminal(d.about.Platform),
	}
	if p.Family == events.Web {
		p = room.ObservedWeb()
		p.RetryWindow, p.ComputedBeats, p.Terminal = w.config.WebWindow, true, room.Terminal(d.about.Platform)
	}
	about := d.about
	about.AppID, about.UserID, about.DeviceID, about.BootID = w.config.App, who.user, d.id, boot
	a := &app{
		world: w, who: who, device: d, profile: p,
		at:      room.Endpoint{User: who.user, Device: d.id, Instance: strconv.Itoa(d.starts)},
		notes:   reporter.New(reporter.Config{About: about, NewID: w.newSession}),
		line:    line{up: true, down: true, lag: w.between(20*time.Millisecond, 180*time.Millisecond)},
		post:    post{isLoose: w.happens(w.rates.loose)},
		inOrder: len(w.running), tellsPeers: w.happens(w.rates.peers),
	}
	a.engine = room.NewEngine(a.at, p, w.chance.Uint64())
	if every := w.config.AliveEvery; every > 0 {
		w.after(w.between(0, every), a.speak)
	}
	w.apps[a.at] = a
	w.running = append(w.running, a)
	who.apps = append(who.apps, a)
	d.office.join(a)
	return a
}

func (w *World) newSession() string {
	return w.config.Prefix + "s" + strconv.FormatUint(w.chance.Uint64(), 36)
}

// clock is what the device shows.
func (a *app) clock() reporter.Clock {
	now := a.world.now.Truncate(time.Millisecond)
	return reporter.Clock{Wall: now.Add(a.device.skew), Monotonic: now.Sub(a.device.bootedAt)}
}

// step moves the engine and does what it wants.
func (a *app) step(in room.Input) {
	w := a.world
	seat, beat := a.seat()
	out := a.engine.Step(w.now, in)
	if !beat.IsZero() && a.engine.LastBeat(seat, w.now).IsZero() {
		w.stepRooms(a, room.Heard{At: a.at, Room: seat, Until: beat.Add(a.line.lag)}) // a Leave may get lost, the silence does not
	}
	if w.checker != nil {
		w.checker.Client(w.now, a.at, a.profile, in, out)
	}
	for _, r := range out.Report {
		a.report(r)
	}
	for _, n := range out.Notice {
		a.notice(n)
	}
	for _, m := range out.Send {
		a.send(m)
	}
	if !out.Wake.IsZero() && !out.Wake.Equal(a.wake) {
		w.at(out.Wake, func() {
			if a.wake.Equal(out.Wake) && !a.isGone {
				a.wake = time.Time{}
				a.step(room.Timeout{})
			}
		})
	}
	a.wake = out.Wake
	for _, r := range out.Report {
		a.react(r)
	}
}

// report writes down what the SDK called back.
func (a *app) report(r room.Report) {
	e := a.notes.State(a.clock(), r.Room, r.Reason, r.Code, r.Extended, r.Via)
	if r.Reason == events.Logining || a.stay == nil || a.stay.login.SessionID != e.SessionID {
		a.begin(e)
	}
	a.stay.say(a, e)
	a.postSoon()
}

// notice tells of others, where the reporter does that, and answers a token
// that is about to end.
func (a *app) notice(n room.Notice) {
	w := a.world
	if n.Update == room.TokenWillExpire {
		if w.happens(w.rates.renews) {
			w.after(w.between(time.Second, 20*time.Second), func() {
				if !a.isGone && a.engine.State(n.Room) != events.NoReason {
					a.step(room.RenewToken{Room: n.Room, Token: w.token(w.rates.tokenLife)})
				}
			})
		}
		return
	}
	if !a.tellsPeers {
		return
	}
	for _, user := range n.Users {
		if e, ok := a.notes.Peer(a.clock(), n.Room, n.Update, user); ok {
			a.stay.say(a, e)
		}
	}
	a.postSoon()
}

// send puts a message on the line to the rooms.
func (a *app) send(m room.Message) {
	if !a.line.up || a.line.known {
		return
	}
	w, number := a.world, a.line.number
	w.after(a.line.lag, func() {
		if a.line.number != number {
			return
		}
		w.stepRooms(a, room.Received{Message: m})
		if m.Kind == room.Beat && !a.isGone {
			a.beatOn() // the one that was carried is followed by those that are computed
		}
	})
}

// receive takes a message that the rooms have sent.
func (a *app) receive(m room.Message) {
	if !a.line.down || a.line.known {
		return
	}
	w, number, delay := a.world, a.line.number, a.line.lag
	if m.Kind == room.Joined || m.Kind == room.Departed {
		delay += 100 * time.Millisecond // the page's figure for what others see
	}
	w.after(delay, func() {
		if a.line.number != number || a.isGone {
			return
		}
		a.step(room.Received{Message: m})
		if m.Kind == room.Seated && !a.isGone {
			a.stay.seated(w.now)
			a.beatOn()
		}
	})
}

// seat is the room where heartbeats come from, and when the last one left; the
// zero time where none comes.
func (a *app) seat() (string, time.Time) {
	if a.stay == nil || !a.line.up || a.line.known {
		return "", time.Time{}
	}
	name := a.stay.login.RoomID
	return name, a.engine.LastBeat(name, a.world.now)
}

// beatOn tells the rooms that heartbeats come from now on; the link's end will
// say when the last one came.
func (a *app) beatOn() {
	if a.line.up && !a.line.known && !a.engine.LastBeat(a.room, a.world.now).IsZero() {
		a.world.stepRooms(a, room.Heard{At: a.at, Room: a.room, Until: a.world.far()})
	}
}

// beatsEnd tells the rooms when the last heartbeat before now arrives.
func (a *app) beatsEnd() {
	if last := a.engine.LastBeat(a.room, a.world.now); !last.IsZero() {
		a.world.stepRooms(a, room.Heard{At: a.at, Room: a.room, Until: last.Add(a.line.lag)})
	}
}

// end ends the process without a word.
func (a *app) end(how string) {
	if a.isGone {
		return
	}
	if a.line.up && !a.line.known {
		a.beatsEnd()
	}
	a.step(room.Destroy{})
	a.world.lose(a)
	a.world.remove(a, how)
}

// remove forgets an app that has ended.
func (w *World) remove(a *app, how string) {
	a.isGone = true
	a.stayEnds(how)
	delete(w.apps, a.at)
	last := w.running[len(w.running)-1]
	w.running[a.inOrder], last.inOrder = last, a.inOrder
	w.running[len(w.running)-1] = nil
	w.running = w.running[:len(w.running)-1]
	a.device.office.leave(a)
	a.who.drop(a)
	a.engine, a.notes = nil, nil // what is still due for the app keeps the rest of it
}

package sim

import (
	"fmt"
	"strconv"
	"time"

	"roomtrail/events"
	"roomtrail/room"
)

// person is a user: their devices, and what runs on them now.
type person struct {
	user    string
	devices []*device
	apps    []*app
	isIdle  bool
}

// device keeps what stays the same from one start of the app to the next.
type device struct {
	id, boot string
	about    events.Event // platform, versions, network: what all its events say
	office   *office
	bootedAt time.Time
	skew     time.Duration // how much its clock is ahead
	starts   int
}

// models are what people use, in about the shares that a mixed app sees.
var models = []struct {
	share                     int
	platform, os, sdk, office string
}{
	{30, "web", "Chrome 140", "3.12.0", "wifi"},
	{8, "web", "Safari 19", "3.9.1", "wifi"},
	{4, "mini_program", "WeChat 8", "3.12.0", "cellular"},
	{22, "android", "Android 16", "3.22.0", "cellular"},
	{6, "android", "Android 12", "3.17.2", "wifi"},
	{18, "ios", "iOS 19.1", "3.22.0", "cellular"},
	{4, "flutter", "Android 15", "3.20.0", "wifi"},
	{4, "windows", "Windows 11", "3.22.0", "ethernet"},
	{2, "electron", "macOS 16", "3.18.0", "wifi"},
	{2, "harmonyos", "HarmonyOS 5", "3.21.0", "cellular"},
}

// mostIdle bounds how many people are remembered while they do nothing.
const mostIdle = 20_000

// somebody is a user who is not in any room: one who was there before, or new.
func (w *World) somebody() *person {
	if len(w.idle) > 0 && w.happens(0.5) {
		i := w.chance.IntN(len(w.idle))
		p := w.idle[i]
		w.idle[i] = w.idle[len(w.idle)-1]
		w.idle = w.idle[:len(w.idle)-1]
		p.isIdle = false
		return p
	}
	w.named++
	p := &person{user: w.config.Prefix + "user-" + strconv.Itoa(w.named)}
	p.devices = append(p.devices, w.buy(p))
	return p
}

// drop notes that an app of the person has ended.
func (p *person) drop(a *app) {
	for i, b := range p.apps {
		if a == b {
			p.apps = append(p.apps[:i], p.apps[i+1:]...)
			break
		}
	}
	if len(p.apps) == 0 {
		a.world.rest(p)
	}
}

// rest remembers somebody who may come again.
func (w *World) rest(p *person) {
	if !p.isIdle && len(w.idle) < mostIdle {
		p.isIdle = true
		w.idle = append(w.idle, p)
	}
}

// buy is a new device for a person.
func (w *World) buy(p *person) *device {
	n := w.chance.IntN(100)
	m := models[0]
	for _, m = range models {
		if n -= m.share; n < 0 {
			break
		}
	}
	d := &device{id: fmt.Sprintf("%s-%d", p.user, len(p.devices)+1), bootedAt: w.now.Add(-w.about(24 * time.Hour)).Truncate(time.Millisecond)}
	d.boot = d.id + "-boot"
	d.about = events.Event{Platform: m.platform, OS: m.os, SDKVersion: m.sdk, AppVersion: "2.4." + strconv.Itoa(w.chance.IntN(4))}
	d.about.Platform, d.about.Family = events.NormalizePlatform(m.platform)
	for d.office == nil || d.office.network != m.office {
		d.office = w.offices[w.chance.IntN(len(w.offices))]
	}
	d.about.Network, d.about.Carrier, d.about.Region = d.office.network, d.office.carrier, d.office.region
	if w.happens(w.rates.wrongClock) {
		d.skew = w.between(6*time.Second, 8*time.Hour)
		if w.happens(0.5) {
			d.skew = -d.skew
		}
	}
	return d
}

// startTraffic lets meetings begin until all logins were made.
func (w *World) startTraffic() {
	perHour := float64(w.config.PerHour)
	if w.config.Logins > 0 {
		perHour = float64(w.config.Logins) / w.config.Over.Hours()
	}
	const inMeeting = 5.5 // people, with their second logins
	every := max(time.Duration(float64(time.Hour)*inMeeting/perHour), time.Millisecond)
	var next func()
	next = func() {
		if w.isOver() || w.config.Logins > 0 && w.invited >= w.config.Logins {
			return // each guest makes a login at least
		}
		w.meeting()
		w.after(w.about(every), next)
	}
	w.after(w.about(every), next)
}

// isOver says whether no login will be made any more.
func (w *World) isOver() bool { return w.config.Logins > 0 && w.made >= w.config.Logins }

// meeting brings a few people into a room, within a minute or two.
func (w *World) meeting() {
	w.named++
	name := w.config.Prefix + "room-" + strconv.Itoa(w.named)
	size := 1 + min(int(w.about(3600*time.Millisecond)/time.Second), 30)
	seats := 0
	if size > 3 && w.happens(w.rates.roomFull) {
		seats = size - 1
	}
	ends := w.now.Add(w.between(2*time.Minute, 25*time.Minute))
	w.invited += size
	for range size {
		who := w.somebody()
		w.after(w.between(0, 90*time.Second), func() {
			if w.isOver() {
				w.rest(who)
				return
			}
			a := w.start(who, who.devices[w.chance.IntN(len(who.devices))])
			a.guests = seats
			a.leaveAt = later(ends.Add(w.about(2*time.Minute)-2*time.Minute), w.now.Add(20*time.Second)).Truncate(time.Millisecond)
			a.live()
			a.enter(name)
		})
	}
	if w.happens(w.rates.closeRoom) {
		w.at(ends.Add(-time.Minute), func() { w.stepRooms(nil, room.CloseRoom{Room: name, Text: "over", Callback: true}) })
	}
}

// live sets what will happen to an app while it runs.
func (a *app) live() {
	w := a.world
	a.loseSometimes()
	w.at(a.leaveAt, func() { a.leave() })
	if w.happens(w.rates.flaky) {
		a.cut(true, true, false, "alone", w.lossLength())
	}
	stay := a.leaveAt.Sub(w.now)
	sometime := func(p float64, do func()) {
		if w.happens(p) {
			w.after(w.between(10*time.Second, later(a.leaveAt, w.now.Add(11*time.Second)).Sub(w.now)), func() {
				if !a.isGone && !a.isLeaving {
					do()
				}
			})
		}
	}
	sometime(w.rates.clockSet, func() { a.device.skew += w.between(-2*time.Hour, 2*time.Hour) })
	sometime(w.rates.secondDevice, a.comeInElsewhere)
	sometime(w.rates.switches, a.switchRoom)
	if every := w.rates.kicked; every > 0 {
		sometime(1-1/(1+stay.Minutes()/every.Minutes()), func() {
			w.stepRooms(nil, room.Kick{Room: a.room, Users: []string{a.who.user}, Text: "host"})
		})
	}
}

// enter logs in, unless the world has had its logins.
func (a *app) enter(name string) {
	w := a.world
	if w.isOver() || a.isGone {
		a.goAway()
		return
	}
	a.room = name
	token := w.token(w.rates.tokenLife)
	if w.happens(w.rates.badToken) {
		if token = "wrong"; w.happens(0.6) {
			token = w.tokenUntil(w.now.Add(-time.Minute))
		}
	}
	a.step(room.Login{Room: name, Token: token, UserUpdate: a.wantsUsers(), MaxMembers: a.guests})
}

// wantsUsers says whether the app asks for user lists: only where somebody
// looks at them, since every guest of a room hears of every other.
func (a *app) wantsUsers() bool { return a.tellsPeers || a.world.checker != nil }

// react is what the app or its user does about a state.
func (a *app) react(r room.Report) {
	w := a.world
	if a.isGone || r.Room != a.room {
		return
	}
	if a.isOld && r.Reason.Ends() {
		a.goAway()
		return
	}
	switch r.Reason {
	case events.Logout, events.LogoutFailed:
		if a.isLeaving {
			a.goAway()
		}
	case events.LoginFailed, events.ReconnectFailed:
		a.comeBack(w.rates.again, 3*time.Second, 40*time.Second)
	case events.KickOut:
		p := w.rates.again / 2
		if r.Code == 1002050 {
			p = w.rates.fightsBack
		}
		if a.fights++; a.fights > 4 {
			p = 0
		}
		a.comeBack(p, time.Second, 6*time.Second)
	}
}

// comeBack logs in again after a moment, or leaves it at that.
func (a *app) comeBack(p float64, least, most time.Duration) {
	w := a.world
	if a.isLeaving || !w.happens(p) {
		a.goAway()
		return
	}
	w.after(w.between(least, most), func() {
		if !a.isGone && !a.isLeaving && a.engine.State(a.room).Ends() {
			a.enter(a.room)
		}
	})
}

// leave is the end of a stay: by logoutRoom, or in one of the ways that tell
// nobody.
func (a *app) leave() {
	w := a.world
	if a.isGone || a.isLeaving {
		return
	}
	isWeb := a.device.about.Family == events.Web
	switch {
	case isWeb && w.happens(w.rates.closed):
		if w.happens(w.rates.saysSo) {
			if e, ok := a.notes.App(a.clock(), a.room, "closing"); ok {
				a.stay.say(a, e)
				a.beacon()
			}
		}
		a.end("closed")
		return
	case w.happens(w.rates.crash):
		a.end("crashed")
		return
	case a.line.known && !w.happens(w.rates.impatient):
		w.after(w.between(20*time.Second, 3*time.Minute), a.leave) // they wait for the line
		return
	}
	a.isLeaving = true
	if s := a.engine.State(a.room); s.Ends() || s == events.LogoutFailed {
		a.goAway()
		return
	}
	a.step(room.Logout{Room: a.room})
}

// goAway ends an app whose stay is over, once its reports are taken or it has
// waited for that long enough.
func (a *app) goAway() {
	if a.isGone {
		return
	}
	a.isLeaving = true
	how := "left"
	if a.stay != nil && a.stay.login.State != "" {
		how = a.stay.login.State
	}
	if len(a.notes.Waiting()) == 0 {
		a.end(how)
		return
	}
	if a.post.patience == 0 {
		a.world.after(2*time.Minute, func() { a.end(how) })
	}
	a.post.patience++
}

// restart is a user who does not wait for the SDK: the app is started anew, on
// a line that works. What ran before is killed, or stays behind and comes back
// to a seat that is not its own any more.
func (a *app) restart() {
	w := a.world
	if a.isGone || a.isLeaving || a.isOld || !a.line.known || w.isOver() {
		return
	}
	a.isOld = true
	next := w.start(a.who, a.device)
	next.leaveAt, next.fights = later(a.leaveAt, w.now.Add(30*time.Second)), a.fights
	if w.happens(0.5) {
		a.end("crashed")
	}
	next.live()
	next.enter(a.room)
}

// comeInElsewhere is the same user on another device, or in a second tab.
func (a *app) comeInElsewhere() {
	w := a.world
	if w.isOver() {
		return
	}
	d := a.device
	if !w.happens(0.3) || d.about.Family != events.Web {
		if len(a.who.devices) < 2 {
			a.who.devices = append(a.who.devices, w.buy(a.who))
		}
		d = a.who.devices[0]
		if d == a.device {
			d = a.who.devices[1]
		}
	}
	for _, b := range a.who.apps {
		if b != a && b.device == d {
			return // it runs there already
		}
	}
	next := w.start(a.who, d)
	next.leaveAt = later(a.leaveAt, w.now.Add(30*time.Second))
	next.live()
	next.enter(a.room)
}

// switchRoom goes on in a room of its own.
func (a *app) switchRoom() {
	w := a.world
	if s := a.engine.State(a.room); w.isOver() || s != events.Logined && s != events.Reconnected {
		return
	}
	from := a.room
	a.room = from + "-side"
	a.step(room.Switch{From: from, To: a.room, Token: w.token(w.rates.tokenLife), UserUpdate: a.wantsUsers()})
}

// token is one that is good for about a time, or for ever where the scenario
// has no ends of tokens.
func (w *World) token(life time.Duration) string {
	if life == 0 {
		return "good"
	}
	return w.tokenUntil(w.now.Add(life/2 + w.between(0, life)))
}

func (w *World) tokenUntil(at time.Time) string { return strconv.FormatInt(at.UnixMilli(), 10) }

// checkToken reads what token made.
func (w *World) checkToken(now time.Time, _, _, token string) (time.Time, room.Cause) {
	if token == "good" {
		return time.Time{}, room.NoCause
	}
	ms, err := strconv.ParseInt(token, 10, 64)
	if err != nil {
		return time.Time{}, room.TokenWrong
	}
	if ends := time.UnixMilli(ms).UTC(); now.Before(ends) {
		return ends, room.NoCause
	}
	return time.Time{}, room.TokenExpired
}

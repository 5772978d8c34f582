package room_test

import (
	"container/heap"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"roomtrail/room"
)

// start is when every test begins; transcripts count from it.
var start = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// The lines of the world. 120 ms for a login and 100 ms more until others hear
// of it are the page's own figures.
const (
	oneWay = 60 * time.Millisecond
	toldBy = oneWay + 100*time.Millisecond
)

// world is a driver of the machines: it carries their messages, wakes them and
// writes down all that happens. It decides nothing.
type world struct {
	now    time.Time
	rooms  *room.Rooms
	wakes  time.Time
	people []*person
	queue  actions
	count  int
	lines  strings.Builder
	// observe sees every output; who is nil for the rooms.
	observe func(who *person, in room.Input, out room.Output)
}

// person is one client: a user at an endpoint, which may start its engine anew.
type person struct {
	name    string
	at      room.Endpoint
	profile room.Profile
	engine  *room.Engine
	starts  int
	isDead  bool // its engine was destroyed
	isDown  bool
	knows   bool // that it is
	line    int  // goes up when the line breaks: what was on it is lost
	wakes   time.Time
}

func newWorld(rules room.Rules) *world {
	return &world{now: start, rooms: room.NewRooms(rules)}
}

func (w *world) add(name, user string, p room.Profile) *person {
	who := &person{name: name, at: room.Endpoint{User: user, Device: "device-" + name}, profile: p}
	w.people = append(w.people, who)
	w.boot(who)
	return who
}

// boot starts the person's engine, as a reload of a page does.
func (w *world) boot(who *person) {
	who.starts++
	who.isDead = false
	who.at.Instance = fmt.Sprint(who.starts)
	seed := fnv.New64a()
	fmt.Fprint(seed, who.name, who.starts)
	who.engine, who.wakes = room.NewEngine(who.at, who.profile, seed.Sum64()), time.Time{}
	if who.knows {
		w.step(who, room.LinkDown{})
	}
}

func (w *world) note(who *person, format string, args ...any) {
	name := "rooms"
	if who != nil {
		name = who.name
	}
	line := fmt.Sprintf(format, args...)
	fmt.Fprintf(&w.lines, "%9.3f  %-6s %s\n", w.now.Sub(start).Seconds(), name, line)
}

// words joins those that are not empty.
func words(all ...string) string {
	return strings.Join(slices.DeleteFunc(all, func(s string) bool { return s == "" }), " ")
}

// step moves a client and does what it wants.
func (w *world) step(who *person, in room.Input) room.Output {
	if _, ok := in.(room.Destroy); ok {
		who.isDead = true
	}
	out := who.engine.Step(w.now, in)
	if w.observe != nil {
		w.observe(who, in, out)
	}
	if out.Refused != 0 {
		w.note(who, "  refused %d", out.Refused)
	}
	for _, r := range out.Report {
		w.note(who, "  reports %-15s %s", r.Reason, words(r.Room, fmt.Sprint(r.Code), r.Extended, r.Via))
	}
	for _, n := range out.Notice {
		w.note(who, "  is shown %s", words(n.Update, n.Room, strings.Join(n.Users, " ")))
	}
	for _, m := range out.Send {
		if m.Kind != room.Beat {
			w.note(who, "  sends %s %s%s", m.Kind, m.Room, map[bool]string{true: " (lost)"}[who.isDown])
		}
		w.carry(who, oneWay, func() { w.stepRooms(room.Received{Message: m}) })
	}
	if !out.Wake.IsZero() && !out.Wake.Equal(who.wakes) {
		engine := who.engine
		w.at(out.Wake, func() {
			if who.engine == engine && who.wakes.Equal(out.Wake) {
				who.wakes = time.Time{}
				w.step(who, room.Timeout{})
			}
		})
	}
	who.wakes = out.Wake
	return out
}

func (w *world) stepRooms(in room.Input) {
	out := w.rooms.Step(w.now, in)
	if w.observe != nil {
		w.observe(nil, in, out)
	}
	if out.Refused != 0 {
		w.note(nil, "  refused %d", out.Refused)
	}
	for _, c := range out.Callbacks {
		w.note(nil, "  calls back %s", showCallback(c))
	}
	for _, m := range out.Send {
		w.deliver(m)
	}
	if !out.Wake.IsZero() && !out.Wake.Equal(w.wakes) {
		w.at(out.Wake, func() {
			if w.wakes.Equal(out.Wake) {
				w.wakes = time.Time{}
				w.stepRooms(room.Timeout{})
			}
		})
	}
	w.wakes = out.Wake
}

func (w *world) deliver(m room.Message) {
	delay, shown := oneWay, true
	switch m.Kind {
	case room.Joined, room.Departed:
		delay, shown = toldBy, false // it shows where it arrives
	case room.Roster:
		shown = false
	}
	var to *person
	for _, p := range w.people {
		if p.at == m.At {
			to = p
		}
	}
	fate := ""
	switch {
	case to == nil:
		fate = " (nobody there)"
	case to.isDown:
		fate = " (lost)"
	}
	if shown {
		why := ""
		if m.Cause != room.NoCause {
			why = " " + m.Cause.String()
		}
		w.note(nil, "  sends %s%s to %s@%s%s", m.Kind, why, m.At.User, m.At.Device, fate)
	}
	if to != nil {
		w.carry(to, delay, func() {
			if to.at == m.At {
				w.step(to, room.Received{Message: m})
			}
		})
	}
}

// carry does something after a delay, if the person's line holds until then.
func (w *world) carry(who *person, delay time.Duration, do func()) {
	if who.isDown {
		return
	}
	line := who.line
	w.at(w.now.Add(delay), func() {
		if who.line == line {
			do()
		}
	})
}

// cut and mend break and repair a line; told says whether the client notices.
func (w *world) cut(who *person, told bool) {
	who.isDown = true
	who.line++
	if who.knows = who.knows || told; told {
		w.step(who, room.LinkDown{})
	}
}

func (w *world) mend(who *person) {
	who.isDown, who.knows = false, false
	w.step(who, room.LinkUp{})
}

// action is something that is due.
type action struct {
	at time.Time
	no int
	do func()
}

type actions []action

func (h actions) Len() int { return len(h) }
func (h actions) Less(i, j int) bool {
	return h[i].at.Before(h[j].at) || h[i].at.Equal(h[j].at) && h[i].no < h[j].no
}
func (h actions) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *actions) Push(x any)   { *h = append(*h, x.(action)) }
func (h *actions) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

func (w *world) at(at time.Time, do func()) {
	w.count++
	heap.Push(&w.queue, action{at, w.count, do})
}

// run does everything that is due up to an instant.
func (w *world) run(until time.Time) {
	for len(w.queue) > 0 && !w.queue[0].at.After(until) {
		a := heap.Pop(&w.queue).(action)
		w.now = a.at
		a.do()
	}
	w.now = until
}

func showCallback(c room.Callback) string {
	s := fmt.Sprintf("%s %s room_seq=%d", c.Event, c.Room, c.RoomSeq)
	if c.User != "" {
		s += " user=" + c.User
	}
	if c.Session != "" {
		s += fmt.Sprintf(" session=%s update=%d", c.Session, c.UpdateSeq)
	}
	if c.Relogin {
		s += " relogin"
	}
	if c.Event == "room_logout" || c.Event == "room_close" {
		s += fmt.Sprintf(" reason=%d", c.Reason)
	}
	return s
}

// testTokens reads the tokens of tests: "wrong", "ends 40s" (counted from
// start), and anything else is good for ever.
func testTokens(now time.Time, _, _, token string) (time.Time, room.Cause) {
	if token == "wrong" {
		return time.Time{}, room.TokenWrong
	}
	text, ok := strings.CutPrefix(token, "ends ")
	if !ok {
		return time.Time{}, room.NoCause
	}
	life, err := time.ParseDuration(text)
	if err != nil {
		panic(err)
	}
	if ends := start.Add(life); now.Before(ends) {
		return ends, room.NoCause
	}
	return time.Time{}, room.TokenExpired
}

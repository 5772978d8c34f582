package sim

import (
	"container/heap"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"roomtrail/events"
	"roomtrail/room"
)

// Config is what a world is made of. Its zero value is an endless calm day.
type Config struct {
	Seed     uint64
	Scenario string        // names of scenarios, joined by commas; empty is calm
	Logins   int           // how many there will be; zero is no end
	Over     time.Duration // in how long they begin; zero is an hour, a day from 20 000 on
	PerHour  int           // logins an hour where there is no end; zero is 600
	App      string        // app_id; empty is 1
	Start    time.Time     // zero is 5 January 2026
	// Prefix begins the names of rooms, users, devices and sessions, so that
	// several worlds can be told apart.
	Prefix string

	HeartbeatTimeout        time.Duration // H; zero is 90 s
	WebWindow, NativeWindow time.Duration // W; zero is 5 min and 20 min
	// AliveEvery is how often reporters give a sign of life; zero is never.
	AliveEvery time.Duration
	// Check holds every step against the promises of package room; Faults says
	// what was found.
	Check bool
}

// Output is what one step of a world brings, each list in its order. The
// lists are valid until the next step.
type Output struct {
	Deliveries []Delivery
	Callbacks  []Callback
	Signs      []Sign
	Logins     []Login
	Breaks     []Interruption
}

// Delivery is one request that reaches the intake.
type Delivery struct {
	At     time.Time // when it arrives, true time
	SentAt time.Time // the sender's clock when it left
	Events []events.Event
}

// Sign is one sign of life that reaches the intake.
type Sign struct {
	At      time.Time `json:"-"`
	AppID   string    `json:"app_id"`
	RoomID  string    `json:"room_id"`
	UserID  string    `json:"user_id"`
	Session string    `json:"session_id"`
	LastSeq int64     `json:"last_seq"`
	EveryMS int64     `json:"every_ms"`
}

// Callback is one server callback that reaches the intake; a retry says the
// same again.
type Callback struct {
	At     time.Time // when it arrives
	SentAt time.Time // its timestamp
	Nonce  string
	room.Callback
}

// World is the simulation. It is not ready without New.
type World struct {
	config Config
	rates  rates
	now    time.Time
	chance *rand.Rand
	agenda agenda
	count  uint64

	rooms     *room.Rooms
	roomsWake time.Time
	visits    map[string]*stay // by the rooms' session, while it lasts
	stays     map[string]*stay // by the reporter's session, until their truth is told

	apps    map[room.Endpoint]*app // who can be reached
	running []*app                 // the same, in an order that does not change by itself
	offices []*office
	idle    []*person
	named   int              // people and rooms so far
	invited int              // guests of meetings so far
	made    int              // logins so far
	holders map[string]*stay // by user: whose seat it is

	checker *Checker
	out     Output
}

// New makes a world, or says what is wrong with its Config.
func New(c Config) (*World, error) {
	r, err := ratesOf(c.Scenario)
	if err != nil {
		return nil, err
	}
	if c.Logins < 0 || c.PerHour < 0 || c.Over < 0 {
		return nil, fmt.Errorf("make a world: %d logins, %d an hour, over %v: want no negative numbers", c.Logins, c.PerHour, c.Over)
	}
	c.fill()
	for name, d := range map[string]time.Duration{"H": c.HeartbeatTimeout, "W of web": c.WebWindow, "W of native": c.NativeWindow} {
		if d < 10*time.Second || d > 24*time.Hour {
			return nil, fmt.Errorf("make a world: %s is %v; want 10s to 24h", name, d)
		}
	}
	w := &World{
		config: c, rates: r, now: c.Start, chance: rand.New(rand.NewPCG(c.Seed, 0x726f6f6d)),
		visits: map[string]*stay{}, stays: map[string]*stay{}, holders: map[string]*stay{}, apps: map[room.Endpoint]*app{},
	}
	w.rooms = room.NewRooms(room.Rules{
		HeartbeatTimeout: c.HeartbeatTimeout, Check: w.checkToken, KickOnExpiry: r.kickOnExpiry,
		First: 1_000_000_000 + c.Seed%1_000_000*1_000_000,
	})
	if c.Check {
		w.checker = NewChecker(c.HeartbeatTimeout)
	}
	w.openOffices()
	w.startTraffic()
	return w, nil
}

func (c *Config) fill() {
	if c.Over == 0 {
		if c.Over = time.Hour; c.Logins >= 20_000 {
			c.Over = 24 * time.Hour
		}
	}
	if c.PerHour == 0 {
		c.PerHour = 600
	}
	if c.App == "" {
		c.App = "1"
	}
	if c.Start.IsZero() {
		c.Start = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	}
	c.Start = c.Start.UTC().Truncate(time.Millisecond)
	if c.HeartbeatTimeout == 0 {
		c.HeartbeatTimeout = 90 * time.Second
	}
	if c.WebWindow == 0 {
		c.WebWindow = 5 * time.Minute
	}
	if c.NativeWindow == 0 {
		c.NativeWindow = 20 * time.Minute
	}
}

// Next is when the next step is due, false where nothing will happen any more.
func (w *World) Next() (time.Time, bool) {
	if len(w.agenda) == 0 {
		return w.roomsWake, !w.roomsWake.IsZero() && w.roomsWake.Before(w.far())
	}
	at := w.config.Start.Add(w.agenda[0].at)
	if !w.roomsWake.IsZero() && w.roomsWake.Before(at) {
		at = w.roomsWake
	}
	return at, true
}

// Step does what is due next.
func (w *World) Step() Output {
	w.out.Deliveries, w.out.Callbacks, w.out.Signs = w.out.Deliveries[:0], w.out.Callbacks[:0], w.out.Signs[:0]
	w.out.Logins, w.out.Breaks = w.out.Logins[:0], w.out.Breaks[:0]
	at, ok := w.Next()
	if !ok {
		return w.out
	}
	w.now = at
	if len(w.agenda) == 0 || w.config.Start.Add(w.agenda[0].at).After(at) {
		w.stepRooms(nil, room.Timeout{})
	} else {
		heap.Pop(&w.agenda).(action).do()
	}
	return w.out
}

// Finish is the truth about those who are still there when nobody looks any
// further.
func (w *World) Finish() Output {
	w.out = Output{}
	for len(w.running) > 0 {
		a := w.running[len(w.running)-1]
		a.notes.Taken(a.notes.Waiting())
		w.remove(a, "running")
	}
	for _, id := range slices.Sorted(maps.Keys(w.stays)) {
		w.stays[id].tell(w)
	}
	return w.out
}

// Now is the world's time, Made how many logins there were, Here how many
// apps run.
func (w *World) Now() time.Time { return w.now }
func (w *World) Made() int      { return w.made }
func (w *World) Here() int      { return len(w.running) }

// Connected is how many clients say at this moment that they are in a room, and
// could be asked; those whose app has ended are not.
func (w *World) Connected() int {
	n := 0
	for _, a := range w.running {
		if a.stay != nil && a.stay.isOn {
			n++
		}
	}
	return n
}

// Cut names the sessions whose line carries nothing to anybody at this moment,
// and all that have come in and are not over.
func (w *World) Cut() (cut, all map[string]bool) {
	cut, all = map[string]bool{}, map[string]bool{}
	for _, a := range w.running {
		if s := a.stay; s != nil && s.login.EndedBy == "" && s.login.LoginedAt != nil {
			all[s.login.SessionID] = true
			cut[s.login.SessionID] = !a.line.up
		}
	}
	return cut, all
}

// Faults is what a checked world has found, nil where every promise holds.
func (w *World) Faults() []string {
	if w.checker == nil {
		return nil
	}
	return w.checker.Faults
}

// far is later than anything that a world lets happen.
func (w *World) far() time.Time { return w.config.Start.Add(100 * 365 * 24 * time.Hour) }

// stepRooms moves the rooms; by is whose message it is, if it is one.
func (w *World) stepRooms(by *app, in room.Input) {
	out := w.rooms.Step(w.now, in)
	w.roomsWake = out.Wake
	if w.checker != nil {
		w.checker.Server(w.now, in, out)
		sits := map[string][]room.Endpoint{}
		for _, c := range out.Callbacks {
			sits[c.Room] = w.rooms.Members(c.Room)
		}
		w.checker.Members(sits)
	}
	for _, m := range out.Send {
		if m.Kind == room.Gone && m.Cause == room.SameUser && by != nil {
			w.displace(by, m)
		}
	}
	for _, c := range out.Callbacks {
		w.witness(by, c)
		w.callBack(c)
	}
	for _, m := range out.Send {
		if to := w.apps[m.At]; to != nil {
			to.receive(m)
		}
	}
}

// action is something that is due.
type action struct {
	at time.Duration // since the start
	no uint64        // what was set first comes first
	do func()
}

type agenda []action

func (h agenda) Len() int { return len(h) }
func (h agenda) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].no < h[j].no
}
func (h agenda) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *agenda) Push(x any)   { *h = append(*h, x.(action)) }
func (h *agenda) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = action{}
	*h = old[:len(old)-1]
	return last
}

// after does something later; what chance says is cut to milliseconds, so that
// every instant in a report is a whole one.
func (w *World) after(d time.Duration, do func()) {
	w.at(w.now.Add(d.Truncate(time.Millisecond)), do)
}

func (w *World) at(at time.Time, do func()) {
	w.count++
	heap.Push(&w.agenda, action{later(at, w.now).Sub(w.config.Start), w.count, do})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// happens is true with probability p.
func (w *World) happens(p float64) bool { return p > 0 && w.chance.Float64() < p }

// between is any duration of the two and those between, in milliseconds; where
// there is none, the least.
func (w *World) between(least, most time.Duration) time.Duration {
	if most < least {
		return least
	}
	return least + time.Duration(w.chance.Int64N(int64((most-least)/time.Millisecond)+1))*time.Millisecond
}

// about is how long something lasts that ends by chance, a given time on average.
func (w *World) about(mean time.Duration) time.Duration {
	return time.Duration(w.chance.ExpFloat64() * float64(mean)).Truncate(time.Millisecond)
}

package signalling

import (
	"log/slog"
	"sync"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"roomtrail/room"
)

// statusReplaced is the close code of a line whose endpoint connected anew.
const statusReplaced websocket.StatusCode = 4001

// app is the rooms of one app and the lines to their clients. Whoever holds the
// lock steps the machine and hands out what it wants; nothing waits there.
type app struct {
	name      string
	secret    string // of the server API
	now       func() time.Time
	logger    *slog.Logger
	idleAfter time.Duration
	posts     *poster // nil where nobody is called back
	limits    map[string]*rate.Limiter

	mu       sync.Mutex
	rooms    *room.Rooms
	lines    map[room.Endpoint]*line
	timer    *time.Timer
	listed   map[string]time.Time // when a room's users were listed last, for the limit of a room
	isClosed bool
}

func newApp(name string, c App, now func() time.Time, logger *slog.Logger) *app {
	a := &app{
		name: name, secret: c.ServerSecret, now: now, logger: logger, idleAfter: idleAfter(c.Rules),
		rooms: room.NewRooms(c.Rules), lines: map[room.Endpoint]*line{},
		limits: map[string]*rate.Limiter{}, listed: map[string]time.Time{},
	}
	for name, action := range actions {
		a.limits[name] = rate.NewLimiter(action.perSecond, int(action.perSecond))
	}
	if c.CallbackURL != "" {
		a.posts = startPoster(name, c, now, logger)
	}
	a.timer = time.AfterFunc(time.Hour, func() { a.step(room.Timeout{}) })
	a.timer.Stop()
	return a
}

// idleAfter is how long a line may be silent. It is longer than H, so that a
// client that is stuck behind an open line falls by its heartbeat first, and
// room_logout gives that as the reason.
func idleAfter(r room.Rules) time.Duration {
	const h, spare = 90 * time.Second, 30 * time.Second
	if r.HeartbeatTimeout == 0 {
		return h + spare
	}
	return r.HeartbeatTimeout + spare
}

// step moves the rooms by one input.
func (a *app) step(in room.Input) room.Output {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.stepLocked(in)
}

func (a *app) stepLocked(in room.Input) room.Output {
	if a.isClosed {
		return room.Output{Refused: codeFailed}
	}
	now := a.now()
	out := a.rooms.Step(now, in)
	for _, m := range out.Send {
		if l := a.lines[m.At]; l != nil { // who has none learns it when he asks again
			l.send(m)
		}
	}
	for _, c := range out.Callbacks {
		a.logger.Info(c.Event, "app", a.name, "room", c.Room, "user", c.User, "session", c.Session, "reason", c.Reason, "relogin", c.Relogin)
		if a.posts != nil {
			a.posts.add(c)
		}
	}
	if a.timer.Stop(); !out.Wake.IsZero() {
		a.timer.Reset(max(out.Wake.Sub(now), 0))
	}
	return out
}

// attach makes a line the one of its endpoint; one that it had before is over.
func (a *app) attach(at room.Endpoint, l *line) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if old := a.lines[at]; old != nil {
		old.finish(statusReplaced)
		a.stepLocked(room.Dropped{At: at})
	}
	a.lines[at] = l
}

// detach tells the rooms that a line has ended, unless another took its place.
func (a *app) detach(at room.Endpoint, l *line) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lines[at] == l {
		delete(a.lines, at)
		a.stepLocked(room.Dropped{At: at})
	}
}

// maxRoomName is the length at which the vendor's SDK finds a room's name too
// long (1002013), in bytes.
const maxRoomName = 128

// receive takes a message that came over a line. Who speaks is known from the
// line: what the message says of it counts for nothing.
func (a *app) receive(at room.Endpoint, l *line, m room.Message) error {
	switch m.Kind {
	case room.Ask, room.Leave, room.Beat, room.Renew:
	default:
		return &unwelcome{websocket.StatusPolicyViolation, "a client does not say " + m.Kind.String() + "; want Ask, Leave, Beat or Renew"}
	}
	if m.Room == "" || len(m.Room) >= maxRoomName {
		return &unwelcome{websocket.StatusPolicyViolation, "room has no name, or one of 128 bytes or more"}
	}
	m.At = at
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lines[at] != l {
		return errFinished // replaced: what it says now would be said in the new line's name
	}
	a.stepLocked(room.Received{Message: m})
	return nil
}

// seats lists who sits in a room.
func (a *app) seats(name string) []room.Seat {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.rooms.Seats(name)
}

// count is how many sit in a room.
func (a *app) count(name string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.rooms.Count(name)
}

// stop ends the rooms, not the lines. What is still to be posted stays.
func (a *app) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.isClosed = true
	a.timer.Stop()
}

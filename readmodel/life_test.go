package readmodel_test

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"time"

	"roomtrail/events"
)

var lifeBegins = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

// randomLife is what some users do at random, likely or not, with callbacks and the
// monitor's words: late, doubled, and contradicting itself now and then.
func randomLife(seed int64, n int) []events.Stored {
	l := &liver{random: rand.New(rand.NewSource(seed)), next: map[string]int64{}, at: lifeBegins}
	for len(l.facts) < n {
		l.at = l.at.Add(time.Duration(l.random.Intn(4000)) * time.Millisecond)
		user, room := fmt.Sprint("u", l.random.Intn(8)), fmt.Sprint("r", l.random.Intn(3))
		switch l.random.Intn(12) {
		case 0:
			l.callback(user, room, events.RoomLogin)
		case 1:
			l.callback(user, room, events.RoomLogout)
		default:
			l.say(user, room)
		}
	}
	return l.facts
}

type liver struct {
	random *rand.Rand
	next   map[string]int64 // numbers of sessions and rooms
	at     time.Time
	facts  []events.Stored
}

func (l *liver) one(list ...string) string { return list[l.random.Intn(len(list))] }

func (l *liver) put(e events.Event) {
	e.Trust, e.Family = events.TrustServer, events.Native
	if e.Platform == "web" {
		e.Family = events.Web
	}
	e.ReceivedAt = e.OccurredAt.Add(time.Duration(l.random.Intn(90_000)) * time.Millisecond)
	l.facts = append(l.facts, events.Stored{Event: e})
	if l.random.Intn(10) == 0 { // sent twice, or late
		l.facts = append(l.facts, l.facts[len(l.facts)-1-l.random.Intn(min(len(l.facts), 6))])
	}
}

func (l *liver) callback(user, room string, kind events.Kind) {
	l.next[room] += 1 + int64(l.random.Intn(12)/11)
	w := &events.Witness{RoomSeq: "1", SessionID: user + "-seat", UpdateSeq: l.next[room], LoginAt: l.at.Add(-time.Minute)}
	if kind == events.RoomLogout {
		w.Reason, w.HasReason = int64(l.random.Intn(4)), true
	}
	l.put(events.Event{AppID: "app", RoomID: room, UserID: user, Kind: kind, Reason: events.NoReason, Platform: "web",
		OccurredAt: l.at, Source: events.FromServer, Witness: w})
}

func (l *liver) say(user, room string) {
	session := fmt.Sprintf("%s-%s-%d", user, room, l.random.Intn(1+len(l.facts)/60))
	e := events.Event{
		AppID: "app", RoomID: room, UserID: user, SessionID: session, Seq: l.next[session], Kind: events.State,
		Reason: events.Reasons[l.random.Intn(len(events.Reasons))], ErrorCode: []int64{0, 0, 1000017, 1002050, 77}[l.random.Intn(5)],
		Platform: l.one("web", "android"), OccurredAt: l.at, Source: events.FromClient,
		Network: l.one("", "wifi", "cellular"), SDKVersion: l.one("", "3.12.0"), DeviceID: l.one("", "d1"),
	}
	l.next[session] += 1 + int64(l.random.Intn(15)/14)
	switch l.random.Intn(20) {
	case 0: // a number again, which may contradict
		e.Seq = max(0, e.Seq-int64(l.random.Intn(5)))
	case 1:
		e.Kind, e.Reason, e.ErrorCode = events.Alive, events.NoReason, 0
	case 2:
		since, _ := json.Marshal(map[string]time.Time{"since": lifeBegins.Add(time.Duration(l.random.Intn(3)) * time.Minute)})
		e.Kind, e.Reason, e.ErrorCode, e.Source, e.Seq, e.ExtendedData = "dark", events.NoReason, 0, events.FromMonitor, 0, since
	}
	l.put(e)
}

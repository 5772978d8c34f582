package room_test

import (
	"fmt"
	"testing"
	"time"

	"roomtrail/room"
)

// A whole stay with computed heartbeats: a login, an outage below H, a logout,
// in rooms of about ten users who all want to know of each other. The promise
// is a million logins in a minute, so at most 60 µs each.
func BenchmarkStay(b *testing.B) {
	b.ReportAllocs()
	const inRoom = 10
	rooms := room.NewRooms(room.Rules{})
	profile := room.Profile{ComputedBeats: true}
	now := start
	var here []*room.Engine
	for n := 0; b.Loop(); n++ {
		at := room.Endpoint{User: fmt.Sprint("user-", n), Device: "d", Instance: "1"}
		name := fmt.Sprint("room-", n/inRoom)
		e := room.NewEngine(at, profile, uint64(n))
		carry(b, e, rooms, now, e.Step(now, room.Login{Room: name, UserUpdate: true}))
		rooms.Step(now, room.Heard{At: at, Room: name, Until: e.LastBeat(name, now.Add(time.Minute))})
		out := e.Step(now.Add(time.Minute), room.LinkDown{})
		e.Step(now.Add(time.Minute), room.LinkUp{})
		back := now.Add(time.Minute + 4*time.Second)
		if out = e.Step(back, room.Timeout{}); len(out.Send) != 1 {
			b.Fatalf("no try 4 s after the loss: %+v", out)
		}
		carry(b, e, rooms, back, out)
		if here = append(here, e); len(here) == inRoom {
			for _, e := range here {
				carry(b, e, rooms, back, e.Step(back, room.Logout{}))
			}
			here = here[:0]
		}
		now = now.Add(50 * time.Millisecond)
	}
}

// carry takes messages back and forth; what is for others is dropped.
func carry(b *testing.B, e *room.Engine, rooms *room.Rooms, now time.Time, out room.Output) {
	for _, m := range out.Send {
		answer := rooms.Step(now, room.Received{Message: m})
		for _, m := range answer.Send {
			e.Step(now, room.Received{Message: m})
		}
	}
}

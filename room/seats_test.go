package room_test

import (
	"strconv"
	"testing"
	"time"

	"roomtrail/room"
)

func TestSeatsStandInTheOrderOfLogins(t *testing.T) {
	t.Parallel()
	rooms := room.NewRooms(room.Rules{First: 96}) // sessions 98 to 109: text would sort 100 before 98
	say := func(second int, kind room.Kind, user string) {
		rooms.Step(start.Add(time.Duration(second)*time.Second), received(room.Message{
			Kind: kind, At: room.Endpoint{User: user}, Room: "r", Login: 1,
		}))
	}
	for i := range 12 {
		say(i, room.Ask, "u"+strconv.Itoa(i))
	}
	say(12, room.Leave, "u2") // another takes its place in the list of seats
	want := []int{0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11}
	seats := rooms.Seats("r")
	if len(seats) != len(want) {
		t.Fatalf("%d seats, want %d", len(seats), len(want))
	}
	for i, n := range want {
		s := seats[i]
		if s.At.User != "u"+strconv.Itoa(n) || s.Session != strconv.Itoa(98+n) || !s.LoginAt.Equal(start.Add(time.Duration(n)*time.Second)) {
			t.Errorf("seat %d is of %s, session %s, since %s; want u%d, %d", i, s.At.User, s.Session, s.LoginAt, n, 98+n)
		}
	}
	if seats := rooms.Seats("s"); len(seats) != 0 {
		t.Errorf("a room that does not exist has seats %v", seats)
	}
}

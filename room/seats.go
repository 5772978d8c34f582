package room

import (
	"cmp"
	"slices"
	"time"
)

// Seat is what can be told of one user in one room.
type Seat struct {
	At      Endpoint
	LoginAt time.Time
	Session string
}

// Seats lists who sits in a room, in the order of their logins: that of their
// sessions, whose numbers grow.
func (r *Rooms) Seats(room string) []Seat {
	l := r.rooms[room]
	if l == nil {
		return nil
	}
	seats := make([]Seat, len(l.seats))
	for i, s := range l.seats {
		seats[i] = Seat{s.at, s.loginAt, s.session}
	}
	slices.SortFunc(seats, func(a, b Seat) int { // the shorter decimal is the smaller one
		return cmp.Or(cmp.Compare(len(a.Session), len(b.Session)), cmp.Compare(a.Session, b.Session))
	})
	return seats
}

// Count is how many sit in a room; 0 also where there is none.
func (r *Rooms) Count(room string) int {
	if l := r.rooms[room]; l != nil {
		return len(l.seats)
	}
	return 0
}

package room

import "roomtrail/events"

// Rating says how well the vendor's documents explain that one state follows
// another (contract 4.7).
type Rating string

const (
	Documented Rating = "documented" // an edge of the vendor's diagram
	Plausible  Rating = "plausible"  // not drawn, but there is a way for it to happen
	Impossible Rating = "impossible" // nothing explains it
)

type edge struct{ from, to events.Reason }

// documented are the 17 edges of the vendor's diagram.
var documented = []edge{
	{events.Logout, events.Logining},
	{events.Logining, events.Logined},
	{events.Logining, events.LoginFailed},
	{events.LoginFailed, events.Logout},
	{events.Logined, events.Logout},
	{events.Logined, events.LogoutFailed},
	{events.LogoutFailed, events.Logout},
	{events.Logined, events.Reconnecting},
	{events.Logined, events.KickOut},
	{events.Reconnecting, events.Reconnected},
	{events.Reconnecting, events.ReconnectFailed},
	{events.ReconnectFailed, events.Logout},
	{events.KickOut, events.Logout},
	{events.Reconnected, events.Logout},
	{events.Reconnected, events.LogoutFailed},
	{events.Reconnected, events.Reconnecting},
	{events.Reconnected, events.KickOut},
}

// plausible are the edges that the diagram leaves out: the app logs in again
// without a Logout between, the retry meets a server that has given the seat
// away, the user leaves while offline or during login, or is still seated
// after a LogoutFailed.
var plausible = []edge{
	{events.LoginFailed, events.Logining},
	{events.ReconnectFailed, events.Logining},
	{events.KickOut, events.Logining},
	{events.LogoutFailed, events.Logining},
	{events.Reconnecting, events.KickOut},
	{events.Reconnecting, events.Logout},
	{events.Reconnecting, events.LogoutFailed},
	{events.Logining, events.Logout},
	{events.LogoutFailed, events.LogoutFailed},
	{events.LogoutFailed, events.Reconnecting},
	{events.LogoutFailed, events.KickOut},
}

var ratings = func() (t [9][9]Rating) {
	for i := range t {
		for j := range t[i] {
			t[i][j] = Impossible
		}
	}
	for _, e := range plausible {
		t[e.from][e.to] = Plausible
	}
	for _, e := range documented {
		t[e.from][e.to] = Documented
	}
	return t
}()

// Rate rates a state against the one before it in the session; from is
// events.NoReason for the first.
func Rate(from, to events.Reason) Rating {
	if from == events.NoReason {
		if to == events.Logining {
			return Documented
		}
		return Plausible // the listener came late, or the beginning was lost
	}
	return ratings[from][to]
}

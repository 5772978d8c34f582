package room

import (
	"time"

	"roomtrail/events"
)

// Endpoint is one running SDK: a user on a device, and which start of the
// engine it is. The vendor wants one endpoint for each user; a second one
// displaces the first, even if it is the same page loaded again.
type Endpoint struct{ User, Device, Instance string }

// Kind is the sort of a message.
type Kind uint8

const (
	Ask   Kind = iota + 1 // to the room: seat me, or seat me again
	Leave                 // to the room: I go
	Beat                  // to the room: I am here
	Renew                 // to the room: here is a new token

	Seated   // to the client: you sit
	Denied   // to the client: you do not, and why
	Gone     // to the client: your seat is taken away, and why
	Renewed  // to the client: the new token holds until
	Roster   // to the client: who sits here beside you
	Joined   // to the client: these came
	Departed // to the client: these went
)

var kindNames = [...]string{
	"nothing", "Ask", "Leave", "Beat", "Renew", "Seated", "Denied", "Gone", "Renewed", "Roster", "Joined", "Departed", "unknown",
}

func (k Kind) String() string { return kindNames[min(int(k), len(kindNames)-1)] }

// Message is what goes over the line between a client and the room. It is flat
// so that any encoding can carry it; most fields belong to few kinds.
type Message struct {
	Kind  Kind
	At    Endpoint // the client's end of the line, in both directions
	Room  string
	Login uint64 // the client's name for this login; answers repeat it, so that old ones are known

	Token      string // Ask, Renew; Renewed repeats it
	Session    string // the room's name for a login: Seated gives it, later messages repeat it
	Again      bool   // Ask: I had a seat and lost the line
	MultiRoom  bool   // Ask: this engine may be in several rooms
	UserUpdate bool   // Ask: tell me who comes and goes
	MaxMembers int    // Ask: limit of the room, counts for who opens it; 0 is none
	Terminal   int    // Ask: term_type

	Cause   Cause     // Denied, Gone
	Text    string    // Gone: the back end's own words
	RoomSeq uint64    // Seated: which life of the room
	Expires time.Time // Seated, Renewed: end of the token; zero is never
	Users   []string  // Roster, Joined, Departed
}

// Input is anything that makes a machine move.
type Input interface{ input() }

type (
	// Login is the app's loginRoom. User is empty, or must be the engine's.
	Login struct {
		Room, User, Token string
		UserUpdate        bool
		MaxMembers        int
		via               string
	}
	// Logout is the app's logoutRoom; without a room it means all of them.
	Logout struct{ Room string }
	// Switch is the app's switchRoom.
	Switch struct {
		From, To, Token string
		UserUpdate      bool
		MaxMembers      int
	}
	// RenewToken is the app's renewToken.
	RenewToken struct{ Room, Token string }
	// Destroy ends the engine without a word: a page closed, an app killed.
	Destroy struct{}

	// LinkDown and LinkUp say whether messages get through. Whoever owns the
	// line finds out; the machines only take note.
	LinkDown struct{}
	LinkUp   struct{}

	// Received is a message from the other side.
	Received struct{ Message Message }
	// Timeout is the wake that an Output asked for. An early one does no harm.
	Timeout struct{}

	// Heard tells the room when the last heartbeat of a seat arrives, so that a
	// simulation need not deliver each. It may name a time to come, and a later
	// one may take it back; so does the Ask of a client that returns, which is
	// heard when it arrives.
	Heard struct {
		At    Endpoint
		Room  string
		Until time.Time
	}
	// Dropped tells the room that a client's connection broke on its side.
	Dropped struct{ At Endpoint }
	// Kick is the server API's KickoutUser.
	Kick struct {
		Room  string
		Users []string
		Text  string
	}
	// CloseRoom is the server API's call of that name.
	CloseRoom struct {
		Room, Text string
		Callback   bool // whether room_close is sent; the vendor's default is not
	}
	// BreakSession makes the room find a session abnormal and end it.
	BreakSession struct{ Room, User string }
)

func (Login) input()        {}
func (Logout) input()       {}
func (Switch) input()       {}
func (RenewToken) input()   {}
func (Destroy) input()      {}
func (LinkDown) input()     {}
func (LinkUp) input()       {}
func (Received) input()     {}
func (Timeout) input()      {}
func (Heard) input()        {}
func (Dropped) input()      {}
func (Kick) input()         {}
func (CloseRoom) input()    {}
func (BreakSession) input() {}

// Output is what a machine wants done: each list in its order, all of them now.
type Output struct {
	Send      []Message  // hand these to the other side
	Report    []Report   // a client's onRoomStateChanged
	Notice    []Notice   // a client's other callbacks
	Callbacks []Callback // the room's server callbacks
	Refused   int64      // the call itself failed with this code, and nothing happened
	Wake      time.Time  // call Step with a Timeout then; zero means never
}

// Report is one onRoomStateChanged. Time, user, device and numbering are the
// reporter's to add: the vendor's callback has none of them.
type Report struct {
	Room     string
	Reason   events.Reason
	Code     int64
	Extended string // extendedData as text; "" on web where native has {}
	Via      string // on Logining: login or switch
}

// Notice is another callback of the client: roomUserUpdate, or
// tokenWillExpire, which has no users.
type Notice struct {
	Room   string
	Update string // ADD, DELETE or TOKEN_WILL_EXPIRE
	Users  []string
}

// What a Notice says.
const (
	UserAdd         = "ADD"
	UserDelete      = "DELETE"
	TokenWillExpire = "TOKEN_WILL_EXPIRE"
)

// Callback is one server callback, before it gets its signature and its
// spelling.
type Callback struct {
	Event     string // room_create, room_login, room_logout, room_close
	Room      string
	RoomSeq   uint64
	User      string // room_create: who opened it
	Session   string
	At        time.Time // when it happened
	LoginAt   time.Time // room_logout: when that stay began
	Reason    int       // room_logout: reason; room_close: close_reason
	Relogin   bool      // room_login
	Terminal  int       // room_login: term_type
	UpdateSeq uint64    // room_login, room_logout: user_update_seq
}

// Values of room_logout's reason. There is none for a login elsewhere; the
// older text of 3 is just "kicked", so that is what it gets.
const (
	LeftNormally  = 0
	LeftHeartbeat = 1 // heartbeat timeout
	LeftDropped   = 2 // connection broken, and no heartbeat since
	LeftKicked    = 3
	LeftExpired   = 4 // token expired
)

// closeReason is room_close's close_reason when the last user left so.
func closeReason(left int) int {
	if left == LeftExpired {
		return LeftKicked // 0 to 3 are all there are
	}
	return left
}

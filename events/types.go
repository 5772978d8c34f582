package events

// Kind is the sort of an event. Kinds of client reports stand in kinds; the
// vendor's server callbacks and the monitor's findings have their own names.
type Kind string

const (
	State Kind = "state" // a room state, from the SDK's callback
	Alive Kind = "alive" // proof of life within the numbering
	Lost  Kind = "lost"  // the reporter dropped events
	App   Kind = "app"   // the application was hidden, shown, closed
	Peer  Kind = "peer"  // another user was seen to come or go
)

// kinds is the one table of what a client may report (contract 2).
var kinds = map[string]Kind{
	"state": State, "alive": Alive, "lost": Lost, "app": App, "peer": Peer,
}

// Source says who spoke.
type Source string

const (
	FromClient  Source = "client"
	FromServer  Source = "server"
	FromMonitor Source = "monitor"
)

// The vendor's server callbacks that the read model follows (contract 2). Any
// other event of the server is stored under its own name.
const (
	RoomCreate Kind = "room_create"
	RoomClose  Kind = "room_close"
	RoomLogin  Kind = "room_login"
	RoomLogout Kind = "room_logout"
)

// What the monitor finds of a session that gives signs of life.
const (
	Dark Kind = "dark" // it should be speaking, and is not
	Back Kind = "back" // it speaks again
)

// Trust says how well the sender was proven (contract 2, keys).
type Trust string

const (
	TrustPublic   Trust = "public"
	TrustToken    Trust = "token"
	TrustServer   Trust = "server"
	TrustVendor   Trust = "vendor"
	TrustUnproven Trust = "unproven"
)

// SchemaVersion is the version of the message format, carried in the header
// SchemaHeader of every message. Old versions stay readable.
const (
	SchemaVersion = "1"
	SchemaHeader  = "Roomtrail-Schema"
)

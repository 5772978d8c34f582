package main

import (
	"cmp"

	"roomtrail/intake"
)

// doorLimits are the flags of what the intake takes, in events and connections.
type doorLimits struct {
	LimitSession  intake.Limit `env:"ROOMTRAIL_LIMIT_SESSION" default:"50/500" placeholder:"N/BURST" help:"Events a second and at once that a session may send, or off (default ${default})."`
	LimitAddress  intake.Limit `env:"ROOMTRAIL_LIMIT_ADDRESS" default:"2000/20000" placeholder:"N/BURST" help:"The same for a client address (default ${default})."`
	LimitKey      intake.Limit `env:"ROOMTRAIL_LIMIT_KEY" default:"100000/1000000" placeholder:"N/BURST" help:"The same for a key (default ${default})."`
	LimitTotal    intake.Limit `env:"ROOMTRAIL_LIMIT_TOTAL" default:"200000/2000000" placeholder:"N/BURST" help:"The same for everybody together (default ${default})."`
	LimitLoopback bool         `env:"ROOMTRAIL_LIMIT_LOOPBACK" help:"Hold addresses of this machine to the limit of an address as well."`

	MaxConnections           int `env:"ROOMTRAIL_MAX_CONNECTIONS" default:"10000" placeholder:"N" help:"Connections that the intake holds open; beyond it the longest silent one has to go (default ${default}, 0 for no limit)."`
	MaxConnectionsPerAddress int `env:"ROOMTRAIL_MAX_CONNECTIONS_PER_ADDRESS" default:"1000" placeholder:"N" help:"The same of a client address, this machine's and trusted proxies' apart; one more is hung up on (default ${default}, 0 for no limit)."`
}

func (l *doorLimits) limits() intake.Limits {
	return intake.Limits{Session: l.LimitSession, Address: l.LimitAddress, Key: l.LimitKey, Total: l.LimitTotal, Loopback: l.LimitLoopback}
}

// connections turns the 0 of a person into the negative number of the door,
// whose 0 is its default.
func (l *doorLimits) connections() intake.Connections {
	return intake.Connections{Total: cmp.Or(l.MaxConnections, -1), Address: cmp.Or(l.MaxConnectionsPerAddress, -1)}
}

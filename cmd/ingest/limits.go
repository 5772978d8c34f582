package main

import "roomtrail/intake"

// doorLimits are the flags of what the intake takes, in events.
type doorLimits struct {
	LimitSession  intake.Limit `env:"ROOMTRAIL_LIMIT_SESSION" default:"50/500" placeholder:"N/BURST" help:"Events a second and at once that a session may send, or off (default ${default})."`
	LimitAddress  intake.Limit `env:"ROOMTRAIL_LIMIT_ADDRESS" default:"2000/20000" placeholder:"N/BURST" help:"The same for a client address (default ${default})."`
	LimitKey      intake.Limit `env:"ROOMTRAIL_LIMIT_KEY" default:"100000/1000000" placeholder:"N/BURST" help:"The same for a key (default ${default})."`
	LimitTotal    intake.Limit `env:"ROOMTRAIL_LIMIT_TOTAL" default:"200000/2000000" placeholder:"N/BURST" help:"The same for everybody together (default ${default})."`
	LimitLoopback bool         `env:"ROOMTRAIL_LIMIT_LOOPBACK" help:"Hold addresses of this machine to the limit of an address as well."`
}

func (l *doorLimits) limits() intake.Limits {
	return intake.Limits{Session: l.LimitSession, Address: l.LimitAddress, Key: l.LimitKey, Total: l.LimitTotal, Loopback: l.LimitLoopback}
}

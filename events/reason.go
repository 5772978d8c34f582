package events

import (
	"fmt"
	"strings"
)

// Reason is the room state that an event announces: the nine values of the
// vendor's ZegoRoomStateChangedReason, with its native numbers.
type Reason int8

const (
	NoReason Reason = iota - 1 // an event that announces no state
	Logining
	Logined
	LoginFailed
	Reconnecting
	Reconnected
	ReconnectFailed
	KickOut
	Logout
	LogoutFailed
)

// Reasons lists all nine in the order of their numbers.
var Reasons = [9]Reason{
	Logining, Logined, LoginFailed, Reconnecting, Reconnected,
	ReconnectFailed, KickOut, Logout, LogoutFailed,
}

var reasonNames = [9]string{
	"Logining", "Logined", "LoginFailed", "Reconnecting", "Reconnected",
	"ReconnectFailed", "KickOut", "Logout", "LogoutFailed",
}

// String is the spelling of contract 5, and "" for NoReason.
func (r Reason) String() string {
	if r < 0 || int(r) >= len(reasonNames) {
		return ""
	}
	return reasonNames[r]
}

// Ends says whether the reason ends a login (contract 4.6).
func (r Reason) Ends() bool {
	switch r {
	case LoginFailed, ReconnectFailed, KickOut, Logout:
		return true
	}
	return false
}

const reasonPrefix = "zegoroomstatechangedreason"

// reasonByName holds the folded spellings: lower case, no underscores.
var reasonByName = func() map[string]Reason {
	m := make(map[string]Reason, len(reasonNames))
	for i, n := range reasonNames {
		m[strings.ToLower(n)] = Reason(i)
	}
	return m
}()

// reasonByExact spares the folding for the spellings that arrive most.
var reasonByExact = map[string]Reason{
	"LOGINING": Logining, "LOGINED": Logined, "LOGIN_FAILED": LoginFailed,
	"RECONNECTING": Reconnecting, "RECONNECTED": Reconnected,
	"RECONNECT_FAILED": ReconnectFailed, "KICKOUT": KickOut, "LOGOUT": Logout,
	"LOGOUT_FAILED": LogoutFailed,
	"Logining":      Logining, "Logined": Logined, "LoginFailed": LoginFailed,
	"Reconnecting": Reconnecting, "Reconnected": Reconnected,
	"ReconnectFailed": ReconnectFailed, "KickOut": KickOut, "Logout": Logout,
	"LogoutFailed": LogoutFailed,
}

// ParseReason reads any documented spelling: the web's strings, the member
// names of every SDK, their C, C++, Objective-C and Dart forms with the
// enum's name in front, and the numbers 0 to 8, also as text.
func ParseReason(s string) (Reason, error) {
	if r, ok := reasonByExact[s]; ok {
		return r, nil
	}
	if n, ok := parseInteger([]byte(s)); ok {
		return ReasonFromNumber(n)
	}
	folded := strings.ToLower(strings.ReplaceAll(s, "_", ""))
	folded = strings.TrimPrefix(strings.TrimPrefix(folded, reasonPrefix), ".")
	if r, ok := reasonByName[folded]; ok {
		return r, nil
	}
	return NoReason, fmt.Errorf("%s is no room state; want 0 to 8 or one of LOGINING, LOGINED, LOGIN_FAILED, RECONNECTING, RECONNECTED, RECONNECT_FAILED, KICKOUT, LOGOUT, LOGOUT_FAILED", quoteShort(s))
}

// ReasonFromNumber reads the native numbers.
func ReasonFromNumber(n int64) (Reason, error) {
	if n < 0 || n > 8 {
		return NoReason, fmt.Errorf("%d is no room state; want 0 to 8", n)
	}
	return Reason(n), nil
}

package room

import (
	"encoding/json"
	"strconv"

	"roomtrail/events"
)

// Cause is why the room denies or takes away a seat. It is neutral; each family
// of SDKs has its own code for it.
type Cause uint8

const (
	NoCause         Cause = iota
	TokenWrong            // denied: not a token of ours
	TokenExpired          // denied, or taken away where that is switched on
	RoomFull              // denied
	TooManyRooms          // denied: the user is in as many rooms as allowed
	MultiRoomClosed       // denied: several rooms are not enabled for the app
	SameUser              // taken away: the user logged in elsewhere
	BackEnd               // taken away: KickoutUser
	RoomClosed            // taken away: CloseRoom
	SessionBroken         // taken away: the session was found abnormal
	AskAgain              // taken away, but you may have another: no kick
)

var causeNames = [...]string{
	"none", "TokenWrong", "TokenExpired", "RoomFull", "TooManyRooms", "MultiRoomClosed",
	"SameUser", "BackEnd", "RoomClosed", "SessionBroken", "AskAgain", "unknown",
}

func (c Cause) String() string { return causeNames[min(int(c), len(causeNames)-1)] }

// Codes that a client reports or that its calls fail with.
const (
	codeEngineGone    = 1000001 // native: no engine, or destroyed
	codeNotInRoom     = 1000002
	codeWebBroken     = 1000017 // web: network broken, the code of Reconnecting
	codeRoomCount     = 1002001
	codeUnknownRoom   = 1002002
	codeUserEmpty     = 1002005
	codeUserTooLong   = 1002007
	codeRoomEmpty     = 1002011
	codeRoomTooLong   = 1002013
	codeOtherUser     = 1002018
	codeNoSwitch      = 1002019
	codeLoginTimeout  = 1002031
	codeNativeBroken  = 1002051 // native: connection broken, the code of Reconnecting
	codeRetryTimeout  = 1002053
	codeLoginTwice    = 1002056 // web; on native the same number is a kick
	codeRoomIDUsed    = 1002064
	codeInner         = 1002099
	codeWebEngineGone = 1101000
)

// word is what a family says of a cause: its code, and the web SDK's English
// for it.
type word struct {
	native, web int64
	text        string
}

var denials = map[Cause]word{
	TokenWrong:      {1002033, 1102016, "token error"},
	TokenExpired:    {1002033, 1102018, "token expired"},
	RoomFull:        {1002034, 1002034, "users logging into the room exceeds the maximum number"},
	TooManyRooms:    {1002037, 1002037, "login rooms exceeds the upper limit"},
	MultiRoomClosed: {1002036, 1002036, "multi room unable"},
	SameUser:        {1002086, 1002086, "the user had logined in other device"},
}

// kicks holds also the number that the vendor's server has for the cause; the
// web SDK maps these and calls all others 1002099.
var kicks = map[Cause]struct {
	word
	number int
}{
	SameUser:      {word{1002050, 1002050, "kickout may be the same user ID login other"}, 1},
	BackEnd:       {word{1002055, 1002055, "server has sent a signal to kick out"}, 2},
	RoomClosed:    {word{1002055, 1002055, "server has sent a signal to kick out"}, 2},
	TokenExpired:  {word{1002056, 1102018, "token expired"}, 4},
	SessionBroken: {word{1002057, codeInner, ""}, 0},
}

func (w word) code(f events.Family) int64 {
	if f == events.Web {
		return w.web
	}
	return w.native
}

// timeoutTexts is what the web SDK adds to the two codes for the end of W.
var timeoutTexts = map[int64]string{
	codeLoginTimeout: "login timeout",
	codeRetryTimeout: "network is broken and login fail.",
}

func denial(f events.Family, c Cause) (int64, string) {
	w, ok := denials[c]
	if !ok {
		w = word{codeInner, codeInner, "room inner error"}
	}
	return w.code(f), w.text
}

// kick is the code of a kick, and its extended data: the back end's own words,
// else the vendor's with its number.
func kick(f events.Family, c Cause, text string) (int64, string) {
	k, ok := kicks[c]
	if !ok {
		k = kicks[SessionBroken]
	}
	if text == "" && k.number != 0 {
		text = k.text + "; kickout reason: " + strconv.Itoa(k.number)
	}
	if text == "" {
		return k.code(f), "{}"
	}
	return k.code(f), jsonObject("custom_kickout_message", text)
}

func jsonObject(key, value string) string {
	b, err := json.Marshal(map[string]string{key: value})
	if err != nil {
		panic(err) // two strings always encode
	}
	return string(b)
}

func brokenCode(f events.Family) int64 {
	if f == events.Web {
		return codeWebBroken
	}
	return codeNativeBroken
}

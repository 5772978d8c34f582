package signalling

import (
	"net/url"
	"slices"
	"strconv"
	"time"

	"golang.org/x/time/rate"

	"roomtrail/room"
)

// actions are the calls of the server API, with the vendor's limits for an app.
var actions = map[string]struct {
	perSecond rate.Limit
	do        func(a *app, now time.Time, p url.Values) (any, *refusal)
}{
	"KickoutUser":      {50, (*app).kickoutUser},
	"CloseRoom":        {1, (*app).closeRoom},
	"DescribeUserList": {200, (*app).describeUserList},
	"DescribeUserNum":  {10, (*app).describeUserNum},
}

// Limits of parameters, in bytes and in pieces.
const (
	maxReason    = 256
	maxKicked    = 5
	maxCounted   = 10
	maxListed    = 200
	listedWithin = time.Second // a room may be listed once in it
)

func (a *app) kickoutUser(_ time.Time, p url.Values) (any, *refusal) {
	name, no := roomID(p)
	if no != nil {
		return nil, no
	}
	users, reason := p["UserId[]"], p.Get("CustomReason")
	switch {
	case len(users) == 0:
		return nil, &refusal{codeParameter, "UserId[] is missing; want 1 to 5 users"}
	case len(users) > maxKicked:
		return nil, &refusal{codeTooManyUsers, "UserId[] names " + strconv.Itoa(len(users)) + " users; want 1 to 5"}
	case len(reason) > maxReason:
		return nil, &refusal{codeTooLong, "CustomReason has more than 256 bytes"}
	}
	if a.count(name) == 0 {
		return nil, &refusal{codeNoRoom, "the room does not exist"}
	}
	return nil, refused(a.step(room.Kick{Room: name, Users: users, Text: reason}), "none of the users is in the room")
}

func (a *app) closeRoom(_ time.Time, p url.Values) (any, *refusal) {
	name, no := roomID(p)
	if no != nil {
		return nil, no
	}
	reason := p.Get("CustomReason")
	if len(reason) > maxReason {
		return nil, &refusal{codeTooLong, "CustomReason has more than 256 bytes"}
	}
	callback := false
	if text := p.Get("RoomCloseCallback"); text != "" {
		var err error
		if callback, err = strconv.ParseBool(text); err != nil {
			return nil, &refusal{codeParameter, "RoomCloseCallback is neither true nor false"}
		}
	}
	return nil, refused(a.step(room.CloseRoom{Room: name, Text: reason, Callback: callback}), "the room does not exist")
}

// refused is the refusal of a machine, whose codes are the vendor's.
func refused(out room.Output, why string) *refusal {
	switch out.Refused {
	case 0:
		return nil
	case codeFailed:
		return &refusal{codeFailed, "the server is stopping"}
	}
	return &refusal{int(out.Refused), why}
}

type listedUser struct {
	UserID    string `json:"UserId"`
	UserName  string
	UserRole  int
	LoginTime int64 // Unix time in ms; the vendor has it in DescribeUsers only
}

type userList struct {
	Marker   string // where the next page begins; empty at the end
	UserList []listedUser
}

// describeUserList pages through a room by the time of login. A marker is the
// session that the last page ended with: sessions are numbered in the order of
// logins, so pages neither repeat nor miss those who stay.
func (a *app) describeUserList(now time.Time, p url.Values) (any, *refusal) {
	name, no := roomID(p)
	if no != nil {
		return nil, no
	}
	limit, mode := maxListed, p.Get("Mode")
	if text := p.Get("Limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > maxListed {
			return nil, &refusal{codeParameter, "Limit is not one of 0 to 200"}
		}
		limit = n
	}
	if mode != "" && mode != "0" && mode != "1" {
		return nil, &refusal{codeParameter, "Mode is neither 0 (by login time) nor 1 (the latest first)"}
	}
	var marker uint64
	if text := p.Get("Marker"); text != "" {
		var err error
		if marker, err = strconv.ParseUint(text, 10, 64); err != nil || marker == 0 {
			return nil, &refusal{codeParameter, "Marker is not one that a page ended with"}
		}
	}
	if !a.mayList(now, name) {
		return nil, &refusal{codeRoomTooOften, "called too often for one room; want at most once a second"}
	}
	return page(a.seats(name), limit, marker, mode == "1"), nil
}

// page is the part of the seats, given by the time of login, after a marker.
func page(seats []room.Seat, limit int, marker uint64, latestFirst bool) userList {
	if latestFirst {
		slices.Reverse(seats)
	}
	rest := seats[:0]
	for _, s := range seats {
		session, err := strconv.ParseUint(s.Session, 10, 64)
		if err != nil {
			panic("session " + s.Session + " is no number") // the rooms have numbered it
		}
		if marker == 0 || latestFirst == (session < marker) && session != marker {
			rest = append(rest, s)
		}
	}
	list := userList{UserList: []listedUser{}}
	for _, s := range rest[:min(limit, len(rest))] {
		list.UserList = append(list.UserList, listedUser{s.At.User, s.At.User, 1, s.LoginAt.UnixMilli()})
	}
	if n := len(list.UserList); n > 0 && n < len(rest) {
		list.Marker = rest[n-1].Session
	}
	return list
}

// mayList keeps the limit of one listing a second for each room. What it
// remembers is bounded by the limit of the app.
func (a *app) mayList(now time.Time, name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for other, at := range a.listed {
		if now.Sub(at) >= listedWithin {
			delete(a.listed, other)
		}
	}
	if _, ok := a.listed[name]; ok {
		return false
	}
	a.listed[name] = now
	return true
}

type counted struct {
	RoomID         string `json:"RoomId"`
	UserCount      int
	AdminUserCount int
}

func (a *app) describeUserNum(_ time.Time, p url.Values) (any, *refusal) {
	names := p["RoomId[]"]
	if len(names) == 0 || len(names) > maxCounted {
		return nil, &refusal{codeParameter, "RoomId[] names " + strconv.Itoa(len(names)) + " rooms; want 1 to 10"}
	}
	list := []counted{}
	for _, name := range names {
		if len(name) >= maxRoomName {
			return nil, &refusal{codeTooLong, "RoomId[] has 128 bytes or more"}
		}
		list = append(list, counted{RoomID: name, UserCount: a.count(name)})
	}
	return map[string]any{"UserCountList": list}, nil
}

func roomID(p url.Values) (string, *refusal) {
	name := p.Get("RoomId")
	switch {
	case name == "":
		return "", &refusal{codeParameter, "RoomId is missing"}
	case len(name) >= maxRoomName:
		return "", &refusal{codeTooLong, "RoomId has 128 bytes or more"}
	}
	return name, nil
}

package signalling

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"roomtrail/room"
)

// The vendor's own example ("Accessing server APIs").
func TestSignatureOfTheVendorsExample(t *testing.T) {
	t.Parallel()
	got := Signature("12345", "4fd24687296dd9f3", "9193cc662a4c0ec135ec71fb57194b38", 1615186943)
	if want := "43e5cfcca828314675f91b001390566a"; got != want {
		t.Errorf("signature is %s, want %s", got, want)
	}
}

func TestKickoutUserReachesTheClient(t *testing.T) {
	t.Parallel()
	calls := receive(t, nil)
	_, server := serve(t, App{CallbackURL: calls.url})
	p := join(t, ClientConfig{URL: server, At: room.Endpoint{User: "u"}, Profile: native(testW)})
	p.Login("r", "")
	p.reports.want(t, seated...)
	form := sign("KickoutUser", time.Now(), url.Values{"RoomId": {"r"}, "UserId[]": {"other", "u"}, "CustomReason": {"be nice & quiet"}})
	resp, err := http.PostForm(server+"/", form)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("answered %v, %v; want 200", resp, err)
	}
	resp.Body.Close()
	p.reports.want(t, with(seated, `KickOut 1002055 {"custom_kickout_message":"be nice \u0026 quiet"}`)...)
	calls.wantSet(t, "room_create", "room_login u relogin 0", "room_logout u reason 3", "room_close")
}

func TestCloseRoomRemovesEveryone(t *testing.T) {
	t.Parallel()
	calls := receive(t, nil)
	_, server := serve(t, App{CallbackURL: calls.url})
	a := join(t, ClientConfig{URL: server, At: room.Endpoint{User: "a"}, Profile: native(testW)})
	b := join(t, ClientConfig{URL: server, At: room.Endpoint{User: "b"}, Profile: native(testW)})
	for _, p := range []*person{a, b} {
		p.Login("r", "")
		p.reports.want(t, seated...)
	}
	if r := call(t, server, "CloseRoom", url.Values{"RoomId": {"r"}, "CustomReason": {"late"}}); r.Code != 0 || r.Message != "success" {
		t.Errorf("answer is %+v, want success", r)
	}
	for _, p := range []*person{a, b} {
		p.reports.want(t, with(seated, `KickOut 1002055 {"custom_kickout_message":"late"}`)...)
	}
	calls.wantSet(t, "room_create", "room_login a relogin 0", "room_login b relogin 0", "room_logout a reason 3", "room_logout b reason 3")
	if r := call(t, server, "CloseRoom", url.Values{"RoomId": {"r"}}); r.Code != 206 {
		t.Errorf("a second call in a second is answered %d, want 206", r.Code)
	}
	eventually(t, "the room is found gone", func() bool {
		return call(t, server, "CloseRoom", url.Values{"RoomId": {"r"}}).Code == 5024
	})
}

func TestUsersAreListedInPages(t *testing.T) {
	t.Parallel()
	_, server := serve(t, App{})
	for i := range 5 {
		name := "u" + strconv.Itoa(i)
		p := join(t, ClientConfig{URL: server, At: room.Endpoint{User: name}, Profile: native(testW)})
		p.Login("r", "")
		p.reports.want(t, seated...)
	}
	for mode, want := range map[string]string{"0": "u0 u1|u2 u3|u4", "1": "u4 u3|u2 u1|u0"} {
		var pages []string
		for marker := ""; ; {
			var r reply
			eventually(t, "the limit of a room lets a call pass", func() bool {
				r = call(t, server, "DescribeUserList", url.Values{"RoomId": {"r"}, "Mode": {mode}, "Limit": {"2"}, "Marker": {marker}})
				return r.Code != 207
			})
			var users []string
			for _, u := range r.Data.UserList {
				users = append(users, u.UserID)
				if age := time.Since(time.UnixMilli(u.LoginTime)); age < 0 || age > patience {
					t.Errorf("%s logged in %s ago", u.UserID, age)
				}
			}
			pages = append(pages, strings.Join(users, " "))
			if marker = r.Data.Marker; marker == "" {
				break
			}
		}
		if got := strings.Join(pages, "|"); got != want {
			t.Errorf("mode %s lists %s, want %s", mode, got, want)
		}
	}
	r := call(t, server, "DescribeUserNum", url.Values{"RoomId[]": {"r", "nowhere"}})
	if got := r.Data.UserCountList; len(got) != 2 || got[0] != (counted{"r", 5, 0}) || got[1] != (counted{"nowhere", 0, 0}) {
		t.Errorf("counts are %+v, want 5 and 0", got)
	}
	if r := call(t, server, "DescribeUserList", url.Values{"RoomId": {"nowhere"}}); r.Code != 0 || r.Data.UserList == nil || len(r.Data.UserList) != 0 {
		t.Errorf("an unknown room is answered %+v, want an empty list", r)
	}
}

// Who leaves or comes between two pages does not make others appear twice or
// not at all.
func TestPagesHoldWhenUsersComeAndGo(t *testing.T) {
	t.Parallel()
	seats := func(sessions ...string) (list []room.Seat) {
		for _, s := range sessions {
			list = append(list, room.Seat{At: room.Endpoint{User: "u" + s}, Session: s})
		}
		return list
	}
	first := page(seats("8", "9", "10", "12"), 2, 0, false)
	if first.Marker != "9" {
		t.Fatalf("the first page ends with marker %q, want 9", first.Marker)
	}
	next := page(seats("8", "10", "12", "13"), 3, 9, false) // 9 has left
	if len(next.UserList) != 3 || next.UserList[0].UserID != "u10" || next.Marker != "" {
		t.Errorf("the next page is %+v, want u10, u12, u13 and no marker", next)
	}
	if back := page(seats("8", "10", "12", "13"), 3, 12, true); len(back.UserList) != 2 || back.UserList[0].UserID != "u10" {
		t.Errorf("backwards it is %+v, want u10 and u8", back)
	}
}

func TestCallsThatAreRefused(t *testing.T) {
	t.Parallel()
	_, server := serve(t, App{})
	p := join(t, ClientConfig{URL: server, At: room.Endpoint{User: "u"}, Profile: native(testW)})
	p.Login("r", "")
	p.reports.want(t, seated...)
	long, now := strings.Repeat("x", 257), time.Now()
	kick := func(more url.Values) url.Values {
		v := url.Values{"RoomId": {"r"}, "UserId[]": {"u"}}
		for key, values := range more {
			v[key] = values
		}
		return v
	}
	for name, c := range map[string]struct {
		action string
		at     time.Time
		p      url.Values
		want   int
	}{
		"wrong signature":     {"KickoutUser", now, kick(url.Values{"Signature": {"43e5cfcca828314675f91b001390566a"}}), 100000005},
		"no signature":        {"KickoutUser", now, kick(url.Values{"Signature": {""}}), 100000005},
		"old signature":       {"KickoutUser", now.Add(-11 * time.Minute), kick(nil), 100000004},
		"signature to come":   {"KickoutUser", now.Add(11 * time.Minute), kick(nil), 100000004},
		"no time":             {"KickoutUser", now, kick(url.Values{"Timestamp": {"noon"}}), 100000003},
		"no nonce":            {"KickoutUser", now, kick(url.Values{"SignatureNonce": {""}}), 100000008},
		"version 1.0":         {"KickoutUser", now, kick(url.Values{"SignatureVersion": {"1.0"}}), 100000014},
		"unknown app":         {"KickoutUser", now, kick(url.Values{"AppId": {"other"}}), 100000010},
		"no action":           {"", now, kick(nil), 100000006},
		"unknown action":      {"Fly", now, kick(nil), 100000007},
		"no room":             {"KickoutUser", now, kick(url.Values{"RoomId": {""}}), 2},
		"no user":             {"KickoutUser", now, url.Values{"RoomId": {"r"}}, 2},
		"six users":           {"KickoutUser", now, kick(url.Values{"UserId[]": {"1", "2", "3", "4", "5", "6"}}), 50011},
		"long reason":         {"KickoutUser", now, kick(url.Values{"CustomReason": {long}}), 3},
		"room is not there":   {"KickoutUser", now, kick(url.Values{"RoomId": {"s"}}), 104},
		"user is not there":   {"KickoutUser", now, kick(url.Values{"UserId[]": {"v"}}), 105},
		"callback perhaps":    {"CloseRoom", now, url.Values{"RoomId": {"r"}, "RoomCloseCallback": {"perhaps"}}, 2},
		"eleven rooms":        {"DescribeUserNum", now, url.Values{"RoomId[]": strings.Split("1 2 3 4 5 6 7 8 9 10 11", " ")}, 2},
		"limit 201":           {"DescribeUserList", now, url.Values{"RoomId": {"r"}, "Limit": {"201"}}, 2},
		"mode 2":              {"DescribeUserList", now, url.Values{"RoomId": {"r"}, "Mode": {"2"}}, 2},
		"marker of elsewhere": {"DescribeUserList", now, url.Values{"RoomId": {"r"}, "Marker": {"x"}}, 2},
		"a long room":         {"DescribeUserList", now, url.Values{"RoomId": {long}}, 3},
	} {
		if r := get(t, server+"/?"+sign(c.action, c.at, c.p).Encode()); r.Code != c.want || r.Message == "success" {
			t.Errorf("%s: answered %d %s, want %d", name, r.Code, r.Message, c.want)
		}
	}
	p.reports.want(t, seated...)
}

func TestLimitsOfCalls(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0) // it stands still
	_, server := serveConfig(t, Config{Apps: map[string]App{"demo": {ServerSecret: secret}}, Now: func() time.Time { return now }})
	for action, c := range map[string]struct {
		p    url.Values
		want int // calls that are let through
		code int
	}{
		"KickoutUser":      {url.Values{"RoomId": {"r"}, "UserId[]": {"u"}}, 50, 206},
		"CloseRoom":        {url.Values{"RoomId": {"r"}}, 1, 206},
		"DescribeUserNum":  {url.Values{"RoomId[]": {"r"}}, 10, 206},
		"DescribeUserList": {url.Values{"RoomId": {"r"}}, 1, 207},
	} {
		n := 0
		for ; n < 100; n++ {
			if r := get(t, server+"/?"+sign(action, now, c.p).Encode()); r.Code == 206 || r.Code == 207 {
				if r.Code != c.code {
					t.Errorf("%s: refused with %d, want %d", action, r.Code, c.code)
				}
				break
			}
		}
		if n != c.want {
			t.Errorf("%s: %d calls let through at once, want %d", action, n, c.want)
		}
	}
}

package readmodel_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"time"

	"roomtrail/events"
	"roomtrail/readmodel/readmodeltest"
)

// script is some 200 messages of a log in which everything happens that one
// can hold: sessions of all sorts, one of them long; late, doubled and
// conflicting copies; callbacks of the server, some doubled, some missing;
// findings of the monitor; a message that cannot be read; the turn of a month.
func script() []events.Stored {
	start := time.Date(2026, 1, 31, 23, 30, 0, 0, time.UTC)
	random := rand.New(rand.NewSource(7))
	// Few users, since each costs the second stage some calls, and one with much to say.
	clients := slices.DeleteFunc(readmodeltest.Hour(start), func(f events.Stored) bool {
		return strings.HasSuffix(f.SessionID, "android") && f.SessionID != "case2-android" && f.SessionID != "ghost-android"
	})
	clients = append(clients, long(start)...)
	for i := range clients { // fewer still in an app that has callbacks
		if f := &clients[i]; !slices.Contains([]string{"case2-web", "case3-web", "lost-web", "kicked-web"}, f.SessionID) {
			f.AppID = "uncalled"
		}
	}
	clients = append(clients, twins(start)...)
	log := append(clients, callbacks(clients)...)
	random.Shuffle(len(log), func(i, j int) { // a little out of order
		if d := i - j; -12 < d && d < 12 {
			log[i], log[j] = log[j], log[i]
		}
	})
	for n := range 16 {
		at := random.Intn(len(log))
		twice := log[at]
		if n%4 == 0 && twice.Source == events.FromClient {
			twice.Region, twice.ErrorCode = "elsewhere", twice.ErrorCode+1
		}
		at += 1 + random.Intn(len(log)-at)
		log = append(log[:at:at], append([]events.Stored{twice}, log[at:]...)...)
	}
	for _, f := range log { // a callback that the server sent again because our answer was lost
		if f.Kind == events.RoomCreate {
			log = append(log, f)
			break
		}
	}
	log = append(log, found(start)...)
	unreadable := events.Stored{Err: errors.New("decode message: no JSON"), Raw: []byte("\x00broken"), Version: "1"}
	return logged(append(log[:70:70], append([]events.Stored{unreadable}, log[70:]...)...))
}

// logged gives messages their places in the log.
func logged(log []events.Stored) []events.Stored {
	for i := range log {
		f := &log[i]
		f.Ref = events.Ref{Generation: 1, Seq: uint64(i + 1)}
		f.StoredAt = time.Date(2026, 1, 31, 23, 30, 0, 0, time.UTC).Add(time.Duration(i) * 20 * time.Second) // February after 90
		f.Digest = events.Digest(append(f.Raw, events.Encode(&f.Event)...))
	}
	return log
}

// long is a session whose state is kept beside its rows.
func long(start time.Time) []events.Stored {
	var out []events.Stored
	for seq := range int64(120) {
		e := events.Event{
			AppID: "demo", RoomID: "room-0", UserID: "user-long", SessionID: "long", Seq: seq, Kind: events.State, Reason: events.Reconnected,
			Platform: "web", Family: events.Web, Source: events.FromClient, Trust: events.TrustPublic, OccurredAt: start.Add(time.Duration(seq) * 10 * time.Second),
		}
		switch {
		case seq == 0:
			e.Reason = events.Logining
		case seq == 1:
			e.Reason = events.Logined
		case seq%9 == 5:
			e.Kind, e.Reason = events.Alive, events.NoReason
		case seq%2 == 0:
			e.Reason, e.ErrorCode = events.Reconnecting, 1000017
		}
		e.ReceivedAt = e.OccurredAt.Add(time.Second)
		out = append(out, events.Stored{Event: e})
	}
	return out
}

// twins are two sessions of one user in one room, equally far from what the
// server says of one stay there.
func twins(start time.Time) []events.Stored {
	var out []events.Stored
	for i, session := range []string{"twin-1", "twin-2"} {
		for seq, reason := range []events.Reason{events.Logining, events.Logined} {
			e := events.Event{
				AppID: "demo", RoomID: "room-1", UserID: "user-twins", SessionID: session, Seq: int64(seq), Kind: events.State, Reason: reason,
				Platform: "web", Family: events.Web, Source: events.FromClient, Trust: events.TrustPublic, DeviceID: session,
				OccurredAt: start.Add(10*time.Minute + time.Duration(i*8+seq)*time.Second),
			}
			e.ReceivedAt = e.OccurredAt
			out = append(out, events.Stored{Event: e})
		}
	}
	return out
}

// callbacks are what the server says of some of the sessions.
func callbacks(clients []events.Stored) []events.Stored {
	var out []events.Stored
	update := map[string]int64{}
	add := func(f events.Stored, kind events.Kind, w events.Witness) {
		e := events.Event{
			AppID: f.AppID, RoomID: f.RoomID, UserID: f.UserID, Kind: kind, Reason: events.NoReason, OccurredAt: f.OccurredAt,
			ReceivedAt: f.ReceivedAt, Platform: f.Platform, Family: f.Family, Source: events.FromServer, Trust: events.TrustVendor,
		}
		w.RoomSeq = "9"
		if kind == events.RoomCreate {
			e.UserID = ""
		} else {
			update[f.RoomID]++
			w.SessionID, w.UpdateSeq = "stay of "+f.SessionID, update[f.RoomID]
		}
		if update[f.RoomID]%5 != 4 { // it is lost
			e.Witness = &w
			out = append(out, events.Stored{Event: e})
		}
	}
	came := map[string]time.Time{}
	for i, f := range clients {
		if f.AppID == "uncalled" {
			continue
		}
		if i%3 == 0 && f.Reason == events.Logining {
			add(f, events.RoomCreate, events.Witness{})
		}
		switch {
		case f.SessionID == "twin-2":
		case f.SessionID == "twin-1" && f.Reason == events.Logined:
			f.OccurredAt = f.OccurredAt.Add(4 * time.Second)
			add(f, events.RoomLogin, events.Witness{})
		case f.Reason == events.Logined:
			came[f.SessionID] = f.OccurredAt
			add(f, events.RoomLogin, events.Witness{TermType: 1, HasTerm: true})
		case f.Reason == events.Logout && !came[f.SessionID].IsZero(), f.SessionID == "lost-web" && f.Reason == events.Reconnecting:
			w := events.Witness{HasReason: true, LoginAt: came[f.SessionID]}
			if f.Reason == events.Reconnecting {
				w.Reason = 1
				f.OccurredAt = f.OccurredAt.Add(90 * time.Second)
			}
			add(f, events.RoomLogout, w)
		}
	}
	return out
}

// found is what the monitor says of the long session, one of it twice.
func found(start time.Time) []events.Stored {
	var out []events.Stored
	for n, kind := range []events.Kind{events.Dark, events.Back, events.Back} {
		since := start.Add(30*time.Minute + time.Duration(min(n, 1))*time.Minute)
		e := events.Event{
			AppID: "uncalled", RoomID: "room-0", UserID: "user-long", SessionID: "long", Kind: kind, Reason: events.NoReason, OccurredAt: since,
			ReceivedAt: since, Platform: "web", Family: events.Web, Source: events.FromMonitor, Trust: events.TrustServer,
		}
		e.ExtendedData, _ = json.Marshal(map[string]time.Time{"since": since})
		out = append(out, events.Stored{Event: e})
	}
	return out
}

// after is when the log is asked about.
func after(log []events.Stored) time.Time { return log[len(log)-1].StoredAt.Add(2 * time.Minute) }

// signs are the last signs of life of two sessions, one of which fell silent.
func signs(log []events.Stored) []events.Sign {
	var out []events.Sign
	for i, session := range []string{"case2-web", "case2-android"} {
		for _, f := range log {
			if f.SessionID == session {
				key := f.Key()
				out = append(out, events.Sign{Session: key.Hash(), At: after(log).Add(time.Duration(-150+100*i) * time.Second), LastSeq: 3, EveryMS: 30_000})
				break
			}
		}
	}
	return out
}

// scripted says what a log holds, for messages.
func scripted(log []events.Stored) string {
	kinds := map[events.Kind]int{}
	for _, f := range log {
		kinds[f.Kind]++
	}
	return fmt.Sprintf("%d messages %v", len(log), kinds)
}

package projections_test

import (
	"slices"
	"time"

	"pgregory.net/rapid"

	"roomtrail/events"
)

// usual are the states that tend to follow, so that random sessions also get
// far; anything else happens too.
var usual = map[events.Reason][]events.Reason{
	events.NoReason:        {events.Logining},
	events.Logining:        {events.Logined, events.Logined, events.LoginFailed},
	events.Logined:         {events.Reconnecting, events.Reconnecting, events.Logout, events.KickOut, events.LogoutFailed},
	events.Reconnecting:    {events.Reconnected, events.Reconnected, events.ReconnectFailed, events.KickOut, events.Logined},
	events.Reconnected:     {events.Reconnecting, events.Logout, events.KickOut},
	events.LoginFailed:     {events.Logining, events.Logout},
	events.ReconnectFailed: {events.Logining, events.Logout},
	events.KickOut:         {events.Logining, events.Logout},
	events.Logout:          {events.Logining},
	events.LogoutFailed:    {events.Logout, events.LogoutFailed},
}

// usualCode is a code that the vendor documents for the reason.
var usualCode = map[events.Reason][]int64{
	events.LoginFailed: {1002033, 1002053, 1102018, 1002005}, events.Reconnecting: {1000017, 1002051},
	events.ReconnectFailed: {1002053, 1002031}, events.KickOut: {1002050, 1002055, 1002056, 1102018, 1002057, 1002099},
	events.LogoutFailed: {1002002, 1000001},
}

// story draws a session's events one after the other.
type story struct {
	platform string
	family   events.Family
	now      int64 // ms since nine, on the sender's clock
	last     events.Reason
}

func drawStory(t *rapid.T) *story {
	s := &story{platform: rapid.SampledFrom([]string{"web", "web", "android", "ios", "unity_webgl"}).Draw(t, "platform"), last: events.NoReason}
	s.family = events.Native
	if s.platform == "web" || s.platform == "unity_webgl" {
		s.family = events.Web
	}
	return s
}

// draw is the next event of the story, or one that does not fit in it.
func (s *story) draw(t *rapid.T, seq int64) events.Event {
	kind := rapid.SampledFrom([]events.Kind{events.State, events.State, events.State, events.State, events.State, events.Alive, events.Lost, events.App, events.Peer}).Draw(t, "kind")
	s.now += rapid.SampledFrom([]int64{0, 0, 1, 120, 4_000, 30_000, 89_999, 90_000, 310_000, -1, -40, -7_000}).Draw(t, "step")
	e := events.Event{
		AppID: "app", RoomID: "r", UserID: "u", SessionID: "s", Seq: seq, Kind: kind, Reason: events.NoReason,
		OccurredAt: nine.Add(time.Duration(s.now)*time.Millisecond + time.Duration(rapid.SampledFrom([]int{0, 0, 300, 999}).Draw(t, "us"))*time.Microsecond),
		Platform:   s.platform, Family: s.family, Source: events.FromClient, Trust: events.TrustPublic,
		Import: rapid.IntRange(0, 9).Draw(t, "import") == 0,
	}
	for _, column := range []*string{&e.Network, &e.SDKVersion, &e.DeviceID, &e.AppVersion, &e.OS, &e.Carrier, &e.Region, &e.RoomSessionID} {
		*column = rapid.SampledFrom([]string{"", "", "", "x", "y"}).Draw(t, "text")
	}
	e.ReceivedAt = e.OccurredAt.Add(time.Duration(rapid.IntRange(-5_000, 90_000).Draw(t, "late")) * time.Millisecond)
	if rapid.IntRange(0, 3).Draw(t, "sent") == 0 {
		e.HasClockOff, e.ClockOffsetMS = true, rapid.SampledFrom([]int64{0, 5_000, 5_001, -5_000, -5_001, 3_600_000}).Draw(t, "offset")
	}
	if rapid.Bool().Draw(t, "monotonic") {
		e.HasMonotonic, e.BootID = true, rapid.SampledFrom([]string{"b1", "b1", "b1", "b2", ""}).Draw(t, "boot")
		e.MonotonicMS = float64(1_000_000+s.now) + rapid.SampledFrom([]float64{0, 0, 0.25, 0.75, -3, 2}).Draw(t, "drift")
	}
	switch kind {
	case events.State:
		s.state(t, &e)
	case events.App:
		e.Why = rapid.SampledFrom([]string{"hidden", "visible", "closing"}).Draw(t, "why")
	case events.Lost:
		e.Why, e.Count = "full", rapid.Int64Range(0, 5).Draw(t, "lost")
	case events.Peer:
		e.Update, e.PeerUserID = rapid.SampledFrom([]string{"ADD", "DELETE"}).Draw(t, "update"), "v"
	}
	return e
}

func (s *story) state(t *rapid.T, e *events.Event) {
	e.Reason = rapid.SampledFrom(usual[s.last]).Draw(t, "usual")
	if rapid.IntRange(0, 3).Draw(t, "odd") == 0 {
		e.Reason = rapid.SampledFrom(events.Reasons[:]).Draw(t, "reason")
	}
	s.last = e.Reason
	if codes := usualCode[e.Reason]; codes != nil {
		e.ErrorCode = rapid.SampledFrom(codes).Draw(t, "code")
	}
	if rapid.IntRange(0, 7).Draw(t, "other code") == 0 {
		e.ErrorCode = rapid.SampledFrom([]int64{0, 77, 1002050, 1100001016, -1}).Draw(t, "any code")
	}
	e.Via = rapid.SampledFrom([]string{"", "login", "switch"}).Draw(t, "via")
	if rapid.IntRange(0, 3).Draw(t, "window") == 0 {
		e.RetryWindowMS = rapid.Int64Range(1, 600_000).Draw(t, "retry window")
	}
	if rapid.IntRange(0, 3).Draw(t, "extended") == 0 {
		e.ExtendedData = []byte(rapid.SampledFrom([]string{`{"custom_kickout_message":"out","n":1}`, `{"n":1.0,"custom_kickout_message":"out"}`, `{"custom_kickout_message":"","room_session_id":"big"}`,
			`"{\"custom_kickout_message\":\"web\",\"room_session_id\":\"small\"}"`, `{}`, `"text"`, `[1]`}).Draw(t, "data"))
	}
}

// drawSet is a set of one session's events with gaps in the numbering.
func drawSet(t *rapid.T) []events.Event {
	s := drawStory(t)
	var set []events.Event
	first := rapid.SampledFrom([]int64{0, 0, 3}).Draw(t, "first")
	for n := range rapid.Int64Range(1, 40).Draw(t, "events") {
		e := s.draw(t, first+n)
		if rapid.IntRange(0, 9).Draw(t, "missing") > 0 {
			set = append(set, e)
		}
	}
	return set
}

// drawCopies adds copies: the same, received at another time, and others that
// say something else.
func drawCopies(t *rapid.T, set []events.Event) []events.Event {
	if len(set) == 0 {
		return set
	}
	s := drawStory(t)
	for range rapid.IntRange(0, 8).Draw(t, "copies") {
		e := set[rapid.IntRange(0, len(set)-1).Draw(t, "copy of")]
		switch rapid.IntRange(0, 3).Draw(t, "differs") {
		case 0:
			e.ReceivedAt = e.ReceivedAt.Add(time.Second)
			e.HasClockOff, e.ClockOffsetMS, e.Import, e.Salt[0] = true, 9_000, !e.Import, 7
		case 1:
			e.Region += "z"
		case 2:
			s.last = e.Reason
			e = s.draw(t, e.Seq)
		}
		set = append(set, e)
	}
	return set
}

// drawStored is a set with copies, in any order, in a log of two generations.
func drawStored(t *rapid.T) []events.Stored {
	set := drawCopies(t, drawSet(t))
	if rapid.Bool().Draw(t, "shuffled") {
		set = rapid.Permutation(set).Draw(t, "order")
	}
	facts := arrive(set)
	second := rapid.IntRange(0, len(facts)).Draw(t, "second generation")
	for i := second; i < len(facts); i++ {
		facts[i].Ref = events.Ref{Generation: 2, Seq: uint64(i - second + 1)}
	}
	slices.SortFunc(facts, func(a, b events.Stored) int { return int(a.Salt[0]) - int(b.Salt[0]) }) // not in the log's order
	return facts
}

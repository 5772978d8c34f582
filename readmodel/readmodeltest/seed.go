package readmodeltest

import (
	"fmt"
	"testing"
	"time"

	"roomtrail/events"
)

// Seed fills a database with an hour of life: logins that succeed, fail and
// hang, interruptions of all cases, kicks, and broken rules, on the web and
// on phones.
func Seed(t testing.TB, ownerURL string) {
	t.Helper()
	Apply(t, Open(t, ownerURL), Hour(time.Now().UTC().Add(-50*time.Minute)), 0)
}

// step is one event of a script: seconds after its start.
type step struct {
	after  float64
	reason events.Reason
	code   int64
	data   string
}

// Hour is the life that Seed tells, beginning at start.
func Hour(start time.Time) []events.Stored {
	const lin, in, lf, rc, rd, rf, ko, lo = events.Logining, events.Logined, events.LoginFailed, events.Reconnecting,
		events.Reconnected, events.ReconnectFailed, events.KickOut, events.Logout
	scripts := map[string][]step{
		"stay":    {{0, lin, 0, ""}, {0.12, in, 0, ""}, {600, lo, 0, ""}},
		"case1":   {{0, lin, 0, ""}, {0.2, in, 0, ""}, {60, rc, 1000017, ""}, {72.5, rd, 0, ""}, {900, lo, 0, ""}},
		"case2":   {{0, lin, 0, ""}, {0.3, in, 0, ""}, {60, rc, 1000017, ""}, {200, rd, 0, ""}},
		"case3":   {{0, lin, 0, ""}, {0.3, in, 0, ""}, {60, rc, 1000017, ""}, {360, rf, 1002053, ""}, {360.1, lo, 0, ""}},
		"lost":    {{0, lin, 0, ""}, {0.3, in, 0, ""}, {30, rc, 1000017, ""}},
		"refused": {{0, lin, 0, ""}, {300, lf, 1002031, `"login timeout"`}},
		"token":   {{0, lin, 0, ""}, {1, lf, 1102016, ""}, {1.1, lo, 0, ""}, {9, lin, 0, ""}, {9.2, in, 0, ""}, {90, lo, 0, ""}},
		"kicked":  {{0, lin, 0, ""}, {0.1, in, 0, ""}, {120, ko, 1002055, `"{\"custom_kickout_message\":\"host\"}"`}},
		"ghost":   {{0, lin, 0, ""}, {0.1, in, 0, ""}, {50, rc, 1000017, ""}, {70, ko, 1002050, `{}`}},
		"broken":  {{0, in, 0, ""}, {5, in, 0, ""}, {9, lo, 99, ""}},
		"hanging": {{2800, lin, 0, ""}},
	}
	var out []events.Stored
	n := 0
	for _, name := range []string{"stay", "case1", "case2", "case3", "lost", "refused", "token", "kicked", "ghost", "broken", "hanging"} {
		for i, platform := range []string{"web", "android"} {
			n++
			session := fmt.Sprintf("%s-%s", name, platform)
			for seq, s := range scripts[name] {
				e := events.Event{
					AppID: "demo", RoomID: fmt.Sprintf("room-%d", n%3), UserID: fmt.Sprintf("user-%d", n), SessionID: session,
					Seq: int64(seq), Kind: events.State, Reason: s.reason, ErrorCode: s.code, Platform: platform,
					OccurredAt: start.Add(time.Duration(s.after * float64(time.Second))).Truncate(time.Microsecond),
					SDKVersion: "3.12.0", Network: []string{"wifi", "cellular"}[i], Carrier: "cmcc", Region: "cn-east",
					DeviceID: fmt.Sprintf("device-%d", n), Source: events.FromClient, Trust: events.TrustPublic,
				}
				_, e.Family = events.NormalizePlatform(platform)
				if platform == "android" && s.code == 1000017 {
					e.ErrorCode = 1002051
				}
				if s.data != "" {
					e.ExtendedData = []byte(s.data)
				}
				e.ReceivedAt = e.OccurredAt.Add(80 * time.Millisecond)
				out = append(out, events.Stored{Event: e, StoredAt: e.ReceivedAt})
			}
		}
	}
	return out
}

package readmodel_test

import (
	"context"
	"fmt"
	"math/rand"
	"testing"
	"time"

	"roomtrail/events"
	"roomtrail/projections"
	"roomtrail/readmodel/readmodeltest"
)

// midday is where the random lives lie; steps before and after it are theirs too.
var midday = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// randomLives are the events of so many sessions within six hours, in any order
// and some of them twice: mostly as a client would say them, partly nonsense.
func randomLives(random *rand.Rand, sessions int) []events.Stored {
	var out []events.Stored
	pick := func(of ...string) string { return of[random.Intn(len(of))] }
	for n := range sessions {
		key := fmt.Sprint(n)
		base := events.Event{
			AppID: pick("a", "b"), RoomID: pick("r1", "r2", "r3"), UserID: "u" + pick("1", "2", "3", "4", "5", key), SessionID: "s" + key,
			Kind: events.State, Reason: events.NoReason, Source: events.FromClient, Trust: events.TrustPublic,
			Platform: pick("web", "web", "android", "ios"), Import: random.Intn(8) == 0, Via: pick("", "login", "switch"),
			DeviceID: pick("d1", "d2", ""), SDKVersion: pick("", "3.1", "3.2"), Carrier: pick("", "cmcc"), Region: pick("", "eu", "cn"),
		}
		_, base.Family = events.NormalizePlatform(base.Platform)
		at := midday.Add(time.Duration(random.Int63n(int64(6*time.Hour))) - 3*time.Hour)
		if random.Intn(4) == 0 {
			at = at.Truncate(time.Minute)
		}
		at = at.Truncate(time.Microsecond)
		mono := float64(random.Intn(1_000_000))
		reason := events.Logining
		for seq := int64(0); seq < int64(1+random.Intn(14)); seq++ {
			e := base
			e.Seq, e.OccurredAt = seq, at
			if random.Intn(3) == 0 {
				e.Network, e.SDKVersion = pick("wifi", "cellular", ""), pick("", "", "3.3")
			}
			if random.Intn(2) == 0 {
				e.HasMonotonic, e.MonotonicMS, e.BootID = true, mono, pick("b1", "b1", "b2")
			}
			switch random.Intn(9) {
			case 0:
				e.Kind = events.Alive
			case 1:
				e.Kind, e.Why = events.App, pick("hidden", "closing")
			default:
				e.Reason, e.ErrorCode = reason, errorCode(random, reason)
				reason = afterwards(random, reason)
			}
			e.ReceivedAt = at.Add(time.Duration(random.Intn(100_000)) * time.Millisecond).Truncate(time.Microsecond)
			if random.Intn(9) == 0 {
				e.HasClockOff, e.ClockOffsetMS = true, int64(random.Intn(40_000)-20_000)
			}
			if random.Intn(12) > 0 {
				out = append(out, events.Stored{Event: e, StoredAt: e.ReceivedAt})
			}
			for random.Intn(10) == 0 {
				if random.Intn(3) == 0 {
					e.ErrorCode++ // a copy that says something else
				}
				out = append(out, events.Stored{Event: e, StoredAt: e.ReceivedAt})
			}
			wait := time.Duration(random.ExpFloat64() * float64([]time.Duration{300 * time.Millisecond, 4 * time.Second, time.Minute, 12 * time.Minute}[random.Intn(4)])).Truncate(time.Millisecond)
			at, mono = at.Add(wait), mono+float64(wait.Milliseconds())
			if random.Intn(30) == 0 {
				at = at.Add(-time.Minute)
			}
		}
	}
	random.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func afterwards(random *rand.Rand, r events.Reason) events.Reason {
	pick := func(of ...events.Reason) events.Reason { return of[random.Intn(len(of))] }
	if random.Intn(15) == 0 {
		return events.Reasons[random.Intn(len(events.Reasons))]
	}
	switch r {
	case events.Logining:
		return pick(events.Logined, events.Logined, events.Logined, events.LoginFailed)
	case events.Logined, events.Reconnected:
		return pick(events.Reconnecting, events.Reconnecting, events.Logout, events.KickOut, events.LogoutFailed)
	case events.Reconnecting:
		return pick(events.Reconnected, events.Reconnected, events.ReconnectFailed, events.KickOut, events.Logout)
	}
	return events.Logining
}

func errorCode(random *rand.Rand, r events.Reason) int64 {
	switch r {
	case events.LoginFailed:
		return []int64{1002033, 1002031, 1102016}[random.Intn(3)]
	case events.KickOut:
		return []int64{1002050, 1002055, 1002056, 7}[random.Intn(4)]
	case events.LogoutFailed:
		return []int64{1002002, 1000001}[random.Intn(2)]
	}
	return 0
}

// randomWorld applies random lives in random batches. Some sessions have sent
// signs of life, and the server has seen the end of some logins.
func randomWorld(t testing.TB, seed int64, sessions int) (ownerURL, readerURL string) {
	t.Helper()
	ctx := context.Background()
	random := rand.New(rand.NewSource(seed))
	ownerURL, readerURL = readmodeltest.Database(t)
	m := readmodeltest.Open(t, ownerURL)
	facts := randomLives(random, sessions)
	readmodeltest.Apply(t, m, facts, 1+random.Intn(len(facts)))
	var signs []events.Sign
	for _, f := range facts {
		if random.Intn(12) == 0 {
			signs = append(signs, events.Sign{Session: f.Key().Hash(), At: f.HappenedAt().Add(time.Duration(random.Intn(3600)) * time.Second), LastSeq: f.Seq + int64(random.Intn(5)), EveryMS: 20_000})
		}
	}
	if err := m.MergeSigns(ctx, signs); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := m.Settle(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
	}
	exec(t, ownerURL, projections.InSchema(projections.Schema(), `
INSERT INTO rm.callback_apps VALUES ('a', '2026-03-02 11:00:00+00') ON CONFLICT DO NOTHING;
INSERT INTO rm.visits (app_id, room_id, user_id, no, login_at, logout_at, logout_reason, set_id, session_id, login_no, interruption_no, agreement, is_import)
SELECT i.app_id, i.room_id, i.user_id, 1000 + row_number() OVER (), l.first_at, l.last_event_at + interval '80 seconds', CASE WHEN h % 7 < 5 THEN h % 5 END,
       l.set_id, i.session_id, l.login_no, (SELECT min(interruption_no) FROM rm.interruptions r WHERE r.set_id = l.set_id AND r.login_no = l.login_no AND coalesce(r.duration_ms, 90000) >= 90000), 'agree', l.is_import
FROM rm.logins l JOIN roomtrail.identities i ON i.id = l.set_id CROSS JOIN LATERAL (SELECT abs(hashtext(i.session_id)) AS h) x WHERE i.app_id = 'a' AND h % 3 < 2;
INSERT INTO rm.storm_members (set_id, login_no, interruption_no, app_id, cell, storm_id)
SELECT set_id, login_no, interruption_no, 'a', 0, 'x' FROM rm.interruptions WHERE (SELECT abs(hashtext(session_id)) FROM roomtrail.identities WHERE id = set_id) % 5 = 1 ON CONFLICT DO NOTHING;
INSERT INTO rm.witnessed_ends (set_id, login_no, ended_by, ended_at)
SELECT set_id, login_no, (ARRAY['heartbeat_timeout', 'server_logout', 'token_expired'])[1 + (SELECT abs(hashtext(session_id)) FROM roomtrail.identities WHERE id = set_id) % 3], last_event_at + interval '90 seconds'
FROM rm.logins WHERE ended_by IS NULL AND (SELECT abs(hashtext(session_id)) FROM roomtrail.identities WHERE id = set_id) % 4 = 0`))
	return ownerURL, readerURL
}

// What the counters hold is what the rows of the same range say, after late,
// doubled and reordered events, by each grain and partition.
func TestCountersEqualTheirRows(t *testing.T) {
	t.Parallel()
	for seed := range int64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			owner, _ := randomWorld(t, seed, 150)
			for name, sql := range map[string]string{
				"too many or wrong": `SELECT count(*) FROM (SELECT * FROM counted EXCEPT ALL SELECT * FROM recounted) x`,
				"missing":           `SELECT count(*) FROM (SELECT * FROM recounted EXCEPT ALL SELECT * FROM counted) x`,
				"durations":         `SELECT count(*) FROM (SELECT * FROM spans EXCEPT ALL SELECT * FROM respans) x`,
				"durations missing": `SELECT count(*) FROM (SELECT * FROM respans EXCEPT ALL SELECT * FROM spans) x`,
				"hours and days":    `SELECT count(DISTINCT s) - 1 FROM (SELECT (sum(logins), sum(events), sum(interruptions), sum(connected_ms), sum(copies))::text AS s FROM rm.counters GROUP BY grain) x`,
			} {
				n := count(t, owner, projections.InSchema(projections.Schema(), `
WITH counted AS (SELECT at, combination, to_jsonb(c) - 'partition' - 'grain' AS counts FROM rm.summed_counters c WHERE grain = 1),
recounted AS (SELECT at, combination, to_jsonb(c) - 'partition' - 'grain' AS counts FROM rm.recount('2026-03-01', '2026-03-04') c),
spans AS (SELECT at, what::int, bucket, app_id, platform, network, sum(n) FROM rm.histograms JOIN rm.combinations USING (combination) WHERE grain = 1 GROUP BY 1, 2, 3, 4, 5, 6 HAVING sum(n) <> 0),
respans AS (SELECT date_bin('1 minute', at, '2000-01-03 00:00:00+00'), what, b, app_id, platform, coalesce(network, ''), sum(finished) FROM rm.duration_rows GROUP BY 1, 2, 3, 4, 5, 6)
`+sql))
				if n != 0 {
					t.Errorf("%s: %d", name, n)
				}
			}
			if n := count(t, owner, projections.InSchema(projections.Schema(), "SELECT sum(copies) * sum(interruptions) * sum(kicked_unknown) FROM rm.counters")); n == 0 {
				t.Error("the world lacks copies, interruptions or kicks")
			}
		})
	}
}

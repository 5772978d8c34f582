package intake_test

import (
	"net/http"
	"strings"
	"testing"

	"roomtrail/eventlog"
	"roomtrail/events"
	"roomtrail/intake"
)

func TestSignsOfLife(t *testing.T) {
	t.Parallel()
	keys, err := intake.ParseKeys("a-long-key=app")
	if err != nil {
		t.Fatal(err)
	}
	var taken []events.Sign
	d := open(t, intake.Config{
		Keys: keys, Signs: func(s []events.Sign) error { taken = append(taken, s...); return nil },
		AliveEvery: func(app, _ string) int64 { return map[string]int64{"app": 20_000}[app] },
	}, eventlog.Config{})
	const one = `{"app_id":"app","room_id":"r","user_id":"u","session_id":"s","last_seq":"7","every_ms":15000}`
	with := func(old, new string) string { return strings.Replace(one, old, new, 1) }
	for name, c := range map[string]struct {
		body     string
		status   int
		accepted int
		field    string
	}{
		"an envelope":           {`{"sent_at":1772359200000,"alive":[` + one + `]}`, 200, 1, ""},
		"an array":              {`[` + one + `,` + one + `]`, 200, 2, ""},
		"one by itself":         {one, 200, 1, ""},
		"none":                  {`{"alive":[]}`, 200, 0, ""},
		"one of another app":    {`[` + one + `,` + with(`"app"`, `"other"`) + `]`, 200, 1, "app_id"},
		"all of another app":    {with(`"app"`, `"other"`), 403, 0, "app_id"},
		"without a session":     {`[` + with(`"session_id":"s",`, ``) + `]`, 200, 0, "session_id"},
		"an odd number":         {`[` + with(`"7"`, `-1`) + `]`, 200, 0, "last_seq"},
		"a pace of a day":       {`[` + with(`15000`, `86400000`) + `]`, 200, 0, "every_ms"},
		"a field that is twice": {`[` + with(`"room_id"`, `"user_id":"x","room_id"`) + `]`, 200, 0, "user_id"},
		"no list":               {`{"alive":{}}`, 400, 0, ""},
		"nothing":               {``, 400, 0, ""},
	} {
		taken = nil
		a := d.send(t, "POST", "/v1/alive", map[string]string{"Authorization": "Bearer a-long-key"}, []byte(c.body))
		field := a.Field
		if len(a.Results) > 0 && a.Status == http.StatusOK {
			field = a.Results[0].Field
		}
		if a.Status != c.status || a.Accepted != c.accepted || len(taken) != c.accepted || c.field != "" && field != c.field {
			t.Errorf("%s: %d, %d accepted, field %q %s; want %d, %d, %q", name, a.Status, a.Accepted, field, a.Error, c.status, c.accepted, c.field)
		}
		if a.Status == http.StatusOK && a.AliveEvery != 20_000 {
			t.Errorf("%s: asked to speak every %d ms, want what the app's profile says", name, a.AliveEvery)
		}
	}
	if a := d.send(t, "POST", "/v1/alive", nil, []byte(one)); a.Status != http.StatusUnauthorized {
		t.Errorf("without a key: %d", a.Status)
	}
	taken = nil
	key := events.SetKey{AppID: "app", RoomID: "r", UserID: "u", SessionID: "s"}
	taken = nil // of the case that came last
	d.send(t, "POST", "/v1/alive", map[string]string{"Authorization": "Bearer a-long-key"}, []byte(one))
	if len(taken) != 1 || taken[0].Session != key.Hash() || taken[0].LastSeq != 7 || !taken[0].At.Equal(now) {
		t.Errorf("taken is %+v", taken)
	}
	back, err := events.ReadSigns(events.AppendSigns(nil, taken))
	if err != nil || len(back) != 1 || back[0].Session != taken[0].Session || !back[0].At.Equal(now) || back[0].EveryMS != 15_000 {
		t.Errorf("comes back as %+v, %v", back, err)
	}
}

// Signs of life fill a table: many in one request cost what they are.
func TestSignsOfLifeAreLimited(t *testing.T) {
	t.Parallel()
	taken := 0
	d := open(t, intake.Config{
		Limits: intake.Limits{Key: intake.Limit{PerSecond: 1, Burst: 5}},
		Signs:  func(s []events.Sign) error { taken += len(s); return nil },
	}, eventlog.Config{})
	const one = `{"app_id":"app","room_id":"r","user_id":"u","session_id":"s","last_seq":"7","every_ms":15000}`
	sixty := []byte("[" + strings.Repeat(one+",", 59) + one + "]")
	if a := d.send(t, "POST", "/v1/alive", nil, sixty); a.Status != http.StatusOK || taken != 60 {
		t.Errorf("the first request: %d, %d taken; want all sixty: what they overdraw, the next ones wait for", a.Status, taken)
	}
	if a := d.send(t, "POST", "/v1/alive", nil, sixty); a.Status != http.StatusTooManyRequests || !strings.Contains(a.Error, "this key") || taken != 60 {
		t.Errorf("the next one: %d %s, %d taken; want 429 of this key", a.Status, a.Error, taken)
	}
}

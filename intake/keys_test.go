package intake_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"roomtrail/credentials"
	"roomtrail/eventlog"
	"roomtrail/events"
	"roomtrail/intake"
)

// keyed is a door with a key of each kind for app "app".
type keyed struct {
	door
	keys    map[credentials.Kind]credentials.Key
	secrets map[credentials.Kind]string
}

func openKeyed(t testing.TB, config intake.Config) keyed {
	t.Helper()
	k := keyed{keys: map[credentials.Kind]credentials.Key{}, secrets: map[credentials.Kind]string{}}
	var list []credentials.Key
	for i, kind := range []credentials.Kind{credentials.Write, credentials.Token, credentials.Server} {
		key, secret := credentials.New(now, "app", kind, nil, [credentials.Entropy]byte{0: byte(i), 37: byte(i)})
		if kind == credentials.Write {
			key.Origins = []string{"https://app.example"}
		}
		k.keys[kind], k.secrets[kind], list = key, secret, append(list, key)
	}
	set := credentials.NewSet(list)
	config.Credentials = func() *credentials.Set { return set }
	k.door = open(t, config, eventlog.Config{})
	return k
}

// token is one that the app's own back end makes.
func (k *keyed) token(claims string) string {
	part := base64.RawURLEncoding.EncodeToString
	head := part([]byte(`{"alg":"HS256","typ":"JWT","kid":"`+k.keys[credentials.Token].ID+`"}`)) + "." +
		part(fmt.Appendf(nil, `{"iat":%d,"exp":%d%s}`, now.Unix(), now.Unix()+600, claims))
	h := hmac.New(sha256.New, []byte(k.secrets[credentials.Token]))
	h.Write([]byte(head))
	return head + "." + part(h.Sum(nil))
}

func (k *keyed) sign(body []byte) string {
	return credentials.Sign(now, k.keys[credentials.Server].ID, k.secrets[credentials.Server], "POST", "/v1/events", body)
}

func TestEventsAreMarkedWithWhoWasProven(t *testing.T) {
	t.Parallel()
	k := openKeyed(t, intake.Config{ImportKey: "the import key"})
	body := event(0, "")
	zipped := zip([]byte(body))
	packer, _ := zstd.NewWriter(nil)
	packed := packer.EncodeAll([]byte(body), nil)
	for _, c := range []struct {
		name   string
		header map[string]string
		body   []byte
		want   events.Trust
	}{
		{"a write key", map[string]string{"Authorization": "Bearer " + k.secrets[credentials.Write], "Origin": "https://app.example"}, []byte(body), events.TrustPublic},
		{"a token", map[string]string{"Authorization": "Bearer " + k.token(`,"user":"u1"`)}, []byte(body), events.TrustToken},
		{"a signature", map[string]string{credentials.SignatureHeader: k.sign([]byte(body))}, []byte(body), events.TrustServer},
		{"a signature over what is sent, not what it unpacks to", map[string]string{credentials.SignatureHeader: k.sign(zipped), "Content-Encoding": "gzip"}, zipped, events.TrustServer},
		{"the same, zstd", map[string]string{credentials.SignatureHeader: k.sign(packed), "Content-Encoding": "zstd"}, packed, events.TrustServer},
		{"the import key", map[string]string{"Authorization": "Bearer the import key"}, []byte(body), events.TrustPublic},
	} {
		a := k.send(t, "POST", "/v1/events", c.header, c.body)
		if a.Status != 200 || a.Accepted != 1 {
			t.Errorf("%s: answered %+v", c.name, a)
			continue
		}
		stored := k.stored(t)
		if got := stored[len(stored)-1].Trust; got != c.want {
			t.Errorf("%s: trust %q, want %q", c.name, got, c.want)
		}
	}
}

func TestWhoIsNotProvenIs401AndWhoseEventsDoNotFitIs403(t *testing.T) {
	t.Parallel()
	k := openKeyed(t, intake.Config{})
	both := event(0, "") + "\n" + strings.Replace(event(1, ""), `"u1"`, `"u2"`, 1)
	for name, c := range map[string]struct {
		header map[string]string
		query  string
		status int
		field  string
		says   string
	}{
		"nothing":                      {nil, "", 401, "", "missing"},
		"a page of another origin":     {map[string]string{"Authorization": "Bearer " + k.secrets[credentials.Write], "Origin": "https://evil.example"}, "", 401, "", "https://app.example"},
		"garbage":                      {map[string]string{"Authorization": "Bearer a.b.c"}, "", 401, "", "base64url"},
		"a signature of another body":  {map[string]string{credentials.SignatureHeader: k.sign([]byte("another"))}, "", 401, "", "sig is not"},
		"a signature beside a key":     {map[string]string{credentials.SignatureHeader: k.sign([]byte(both))}, "?key=" + k.secrets[credentials.Write], 401, "", "send one of them"},
		"a token for one of the users": {map[string]string{"Authorization": "Bearer " + k.token(`,"user":"u2"`)}, "", 200, "user_id", `"u2"`},
		"a beacon's token":             {nil, "?key=" + k.token(`,"user":"u1"`), 200, "user_id", `"u1"`},
		"a token for another user":     {map[string]string{"Authorization": "Bearer " + k.token(`,"user":"u3"`)}, "", 403, "user_id", "no event"},
		"a token for another room":     {map[string]string{"Authorization": "Bearer " + k.token(`,"room":"r9"`)}, "", 403, "room_id", "no event"},
	} {
		a := k.send(t, "POST", "/v1/events"+c.query, c.header, []byte(both))
		said, field := a.Error, a.Field
		if a.Status == 200 && len(a.Results) == 1 {
			said, field = a.Results[0].Error, a.Results[0].Field
		}
		if a.Status != c.status || field != c.field || !strings.Contains(said, c.says) {
			t.Errorf("%s: answered %+v; want %d, field %q and %q", name, a, c.status, c.field, c.says)
		}
		if a.Header.Get("RateLimit-Limit") == "" {
			t.Errorf("%s: the answer does not say how much is left", name)
		}
	}
}

func TestOriginsOfKeysPassCORS(t *testing.T) {
	t.Parallel()
	k := openKeyed(t, intake.Config{})
	for origin, want := range map[string]string{"https://app.example": "https://app.example", "https://evil.example": ""} {
		a := k.send(t, "OPTIONS", "/v1/events", map[string]string{"Origin": origin}, nil)
		if got := a.Header.Get("Access-Control-Allow-Origin"); got != want {
			t.Errorf("from %s: allowed origin %q, want %q", origin, got, want)
		}
	}
}

// The rates are so low that the time the test takes gives nothing back.
func TestTooMuchIs429(t *testing.T) {
	t.Parallel()
	few := intake.Limit{PerSecond: 1, Burst: 5}
	three := "[" + event(0, "") + "," + event(1, "") + "," + event(2, "") + "]"
	for name, c := range map[string]struct {
		limits intake.Limits
		whose  string
		other  string // by another session
		status int
	}{
		"a session":            {intake.Limits{Session: few}, "this session", strings.ReplaceAll(three, `"s1"`, `"s2"`), 200},
		"a key":                {intake.Limits{Key: few}, "this key", strings.ReplaceAll(three, `"s1"`, `"s2"`), 429},
		"an address":           {intake.Limits{Address: few, Loopback: true}, "this address", event(0, ""), 429},
		"all":                  {intake.Limits{Total: few}, "everybody", event(0, ""), 429},
		"an address, loopback": {intake.Limits{Address: few}, "", three, 200},
	} {
		d := open(t, intake.Config{Limits: c.limits}, eventlog.Config{})
		var a answer
		for range 2 { // the second overdraws
			if a = d.post(t, three); a.Status != 200 || a.Header.Get("RateLimit-Limit") == "" {
				t.Fatalf("%s: answered %+v within the limit", name, a)
			}
		}
		a = d.post(t, three)
		if c.whose == "" {
			if a.Status != 200 {
				t.Errorf("%s: answered %+v; want no limit", name, a)
			}
			continue
		}
		if a.Status != 429 || !strings.Contains(a.Error, c.whose) || a.Header.Get("Retry-After") != "2" ||
			a.Header.Get("RateLimit-Limit") != "5" || a.Header.Get("RateLimit-Remaining") != "0" || a.Header.Get("RateLimit-Reset") != "6" {
			t.Errorf("%s: answered %+v", name, a)
		}
		if a := d.post(t, c.other); a.Status != c.status {
			t.Errorf("%s: another is answered %+v; want %d", name, a, c.status)
		}
	}
}

func TestWhatIsNotLimited(t *testing.T) {
	t.Parallel()
	few := intake.Limit{PerSecond: 1, Burst: 1}
	d := open(t, intake.Config{ImportKey: "the import key", Limits: intake.Limits{Session: few, Key: few, Total: few}}, eventlog.Config{})
	for range 5 {
		a := d.send(t, "POST", "/v1/events", map[string]string{"Authorization": "Bearer the import key"}, []byte(event(0, "")))
		if a.Status != 200 || a.Header.Get("RateLimit-Limit") != "" {
			t.Errorf("an import is answered %+v", a)
		}
	}
	off := intake.Limit{PerSecond: -1}
	d = open(t, intake.Config{Limits: intake.Limits{Session: off, Key: off, Total: off}}, eventlog.Config{})
	if a := d.post(t, event(0, "")); a.Status != 200 || a.Header.Get("RateLimit-Limit") != "" {
		t.Errorf("without limits: %+v", a)
	}
	// A back end gathers many sessions: that of its first event is not its own.
	k := openKeyed(t, intake.Config{Limits: intake.Limits{Session: few}})
	for range 3 {
		body := []byte(event(0, ""))
		if a := k.send(t, "POST", "/v1/events", map[string]string{credentials.SignatureHeader: k.sign(body)}, body); a.Status != 200 {
			t.Errorf("a server is answered %+v", a)
		}
	}
}

// Keys that are made while the door is open count from then on.
func TestKeysChangeUnderAnOpenDoor(t *testing.T) {
	t.Parallel()
	sets := make(chan *credentials.Set, 1)
	sets <- credentials.NewSet(nil)
	d := open(t, intake.Config{Credentials: func() *credentials.Set { s := <-sets; sets <- s; return s }}, eventlog.Config{})
	set := func(list ...credentials.Key) { <-sets; sets <- credentials.NewSet(list) }
	post := func(bearer string) int {
		return d.send(t, "POST", "/v1/events", map[string]string{"Authorization": "Bearer " + bearer}, []byte(event(0, ""))).Status
	}
	old, oldSecret := credentials.New(now, "app", credentials.Write, nil, [credentials.Entropy]byte{0: 1, 37: 1})
	young, youngSecret := credentials.New(now, "app", credentials.Write, nil, [credentials.Entropy]byte{0: 2, 37: 2})
	if got := post(""); got != 200 {
		t.Errorf("before any key: %d", got)
	}
	set(old)
	if got := [...]int{post(""), post(oldSecret)}; got != [...]int{401, 200} {
		t.Errorf("with a key: %v", got)
	}
	set(old, young)
	if got := [...]int{post(oldSecret), post(youngSecret)}; got != [...]int{200, 200} {
		t.Errorf("while it is rotated: %v", got)
	}
	old.RevokedAt = now.Add(-time.Second)
	set(old, young)
	if got := [...]int{post(oldSecret), post(youngSecret)}; got != [...]int{401, 200} {
		t.Errorf("after the old one is revoked: %v", got)
	}
	young.RevokedAt = now
	set(old, young)
	if got := post(""); got != 401 {
		t.Errorf("after all are revoked: %d; want a door that stays closed", got)
	}
}

package intake_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"roomtrail/eventlog"
	"roomtrail/events"
	"roomtrail/intake"
	"roomtrail/room"
)

// vendorsDoor takes callbacks of app 1; the secret is being changed.
func vendorsDoor(t *testing.T, isStrict bool) (door, *[]intake.CallbackSeen) {
	t.Helper()
	seen := &[]intake.CallbackSeen{}
	var config intake.Config
	config.Callbacks = intake.Callbacks{Secrets: map[string][]string{"1": {"old-secret", "new-secret"}, "2": {"other"}}, Strict: isStrict, Ledger: new(lateLedger)}
	config.Observe.Callback = func(c intake.CallbackSeen) { *seen = append(*seen, c) }
	d := open(t, config, eventlog.Config{})
	ledger, err := d.log.Ledger(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	config.Callbacks.Ledger.(*lateLedger).Ledger = ledger
	return d, seen
}

// lateLedger is a real one that is known only after the door.
type lateLedger struct{ *eventlog.Ledger }

var stay = room.Callback{
	Event: "room_login", Room: "r", RoomSeq: 18_446_744_073_709_551_615, User: "u ü&", Session: "7", At: now.Add(-time.Second), LoginAt: now.Add(-time.Second), UpdateSeq: 1,
}

func (d door) callBack(t *testing.T, contentType string, body []byte) answer {
	t.Helper()
	return d.send(t, "POST", "/v1/zego/callbacks", map[string]string{"Content-Type": contentType}, body)
}

// Every transport says the same: it is one callback, retried.
func TestCallbacksInEveryEncoding(t *testing.T) {
	t.Parallel()
	d, _ := vendorsDoor(t, false)
	plain := stay.Body("1", now, "n1", "new-secret")
	form, members := url.Values{}, map[string]string{}
	if err := json.Unmarshal(plain, &members); err != nil {
		t.Fatal(err)
	}
	for name, value := range members {
		form.Set(name, value)
	}
	for name, c := range map[string]struct {
		contentType string
		body        []byte
	}{
		"JSON":                       {"application/json", plain},
		"JSON called a form":         {"application/x-www-form-urlencoded", plain},
		"URL-encoded JSON":           {"application/json", []byte(url.QueryEscape(string(plain)))},
		"percent-encoded JSON":       {"text/plain", []byte(strings.ReplaceAll(url.QueryEscape(string(plain)), "+", "%20"))},
		"a form":                     {"application/x-www-form-urlencoded", []byte(form.Encode())},
		"numbers instead of strings": {"application/json", bytes.ReplaceAll(plain, []byte(`"7"`), []byte(`7`))},
		"with line breaks before it": {"", append([]byte("\r\n\r\n "), plain...)},
	} {
		if a := d.callBack(t, c.contentType, c.body); a.Status != http.StatusOK || a.Accepted != 1 {
			t.Errorf("%s: %d %s %s", name, a.Status, a.Field, a.Error)
		}
	}
	stored := d.stored(t)
	if len(stored) != 7 {
		t.Fatalf("%d messages, want 7", len(stored))
	}
	for _, e := range stored {
		if e.CallbackKey() != stored[0].CallbackKey() || e.Trust != events.TrustVendor || e.UserID != "u ü&" || e.Witness.RoomSeq != "18446744073709551615" {
			t.Errorf("stored is %+v %+v", e.Event, *e.Witness)
		}
	}
}

func TestCallbacksThatAreNotBelieved(t *testing.T) {
	t.Parallel()
	d, seen := vendorsDoor(t, false)
	good := stay.Body("1", now, "n", "old-secret")
	for name, c := range map[string]struct {
		body   []byte
		status int
		says   string
	}{
		"the old secret":          {good, 200, ""},
		"another secret":          {stay.Body("1", now, "n", "guessed"), 401, "the signature is not"},
		"another app's secret":    {stay.Body("1", now, "n", "other"), 401, "the signature is not"},
		"an app without one":      {stay.Body("3", now, "n", "old-secret"), 401, "no callback secret is set for app 3"},
		"nine minutes old":        {stay.Body("1", now.Add(-9*time.Minute), "n", "old-secret"), 200, ""},
		"eleven minutes old":      {stay.Body("1", now.Add(-11*time.Minute), "n", "old-secret"), 401, "is 11m0s off"},
		"eleven minutes early":    {stay.Body("1", now.Add(11*time.Minute), "n", "old-secret"), 401, "is -11m0s off"},
		"a signature in capitals": {bytes.ReplaceAll(good, []byte(`"signature":"`), []byte(`"signature":"A`)), 401, "the signature is not"},
		"nothing":                 {nil, 400, "neither a JSON object nor a form"},
		"no object":               {[]byte(`[1]`), 400, "neither a JSON object nor a form"},
		"half of it":              {good[:50], 400, ""},
		"a form with two nonces":  {[]byte("nonce=1&nonce=2&event=x"), 400, "nonce is given 2 times"},
	} {
		a := d.callBack(t, "application/json", c.body)
		if a.Status != c.status || !strings.Contains(a.Error, c.says) {
			t.Errorf("%s: %d %q, want %d %q", name, a.Status, a.Error, c.status, c.says)
		}
	}
	if len(*seen) != 12 {
		t.Errorf("%d callbacks were observed, want 12", len(*seen))
	}
	if n := len(d.stored(t)); n != 2 {
		t.Errorf("%d callbacks are stored, want 2", n)
	}
}

// A signature can be used again by who has seen it, with another body: that is
// kept, told apart and counted, or refused where that is wanted.
func TestAnotherBodyUnderAKnownSignature(t *testing.T) {
	t.Parallel()
	first := stay.Body("1", now, "n", "new-secret")
	forged := bytes.Replace(first, []byte(`"user_account":"`), []byte(`"user_account":"x`), 1)
	for name, c := range map[string]struct {
		isStrict bool
		status   int
		stored   string
	}{
		"kept":    {false, http.StatusOK, "vendor unproven vendor"},
		"refused": {true, http.StatusConflict, "vendor vendor"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, seen := vendorsDoor(t, c.isStrict)
			for i, step := range []struct {
				body   []byte
				status int
			}{{first, 200}, {forged, c.status}, {first, 200}} {
				if a := d.callBack(t, "application/json", step.body); a.Status != step.status {
					t.Errorf("callback %d: %d %s, want %d", i+1, a.Status, a.Error, step.status)
				}
			}
			var trusts []string
			for _, e := range d.stored(t) {
				trusts = append(trusts, string(e.Trust))
			}
			if got := strings.Join(trusts, " "); got != c.stored {
				t.Errorf("stored as %s, want %s", got, c.stored)
			}
			if s := (*seen)[1]; s.Trust != events.TrustUnproven || s.Status != c.status {
				t.Errorf("observed as %+v", s)
			}
		})
	}
}

func TestUnknownEventsAreKept(t *testing.T) {
	t.Parallel()
	d, _ := vendorsDoor(t, false)
	seconds := strconv.FormatInt(now.Unix(), 10)
	body := `{"Event":"token_auth_error","AppId":1,"Timestamp":` + seconds + `,"Nonce":"n","Signature":"` +
		events.CallbackSignature("new-secret", seconds, "n") + `","RoomId":"r","UserId":"u","Token":"04secret"}`
	if a := d.callBack(t, "application/json", []byte(body)); a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Error)
	}
	stored := d.stored(t)
	if len(stored) != 1 || stored[0].Kind != "token_auth_error" || bytes.Contains(stored[0].ExtendedData, []byte("04secret")) {
		t.Errorf("stored is %+v", stored)
	}
}

func TestCallbackSecrets(t *testing.T) {
	t.Parallel()
	got, err := intake.ParseCallbackSecrets("1=a, 1=b\n2=c=d\n# none\n")
	if err != nil || len(got["1"]) != 2 || got["2"][0] != "c=d" {
		t.Errorf("secrets are %v, %v", got, err)
	}
	for _, bad := range []string{"1", "=a", "1=", "1=a,1=b,1=c"} {
		if _, err := intake.ParseCallbackSecrets(bad); err == nil || !strings.Contains(err.Error(), "want") {
			t.Errorf("%q: error is %v", bad, err)
		}
	}
}

package intake_test

import (
	"encoding/json"
	"testing"

	"roomtrail/eventlog"
	"roomtrail/intake"
)

// The import key is believed about times; nobody else is.
func TestOnlyTheImportKeyBringsTimesOfItsOwn(t *testing.T) {
	t.Parallel()
	d := open(t, intake.Config{ImportKey: "import-key"}, eventlog.Config{})
	line := `{"app_id":"a","room_id":"r","user_id":"u","session_id":"s","seq":0,"reason":0,"error_code":0,"platform":"web",` +
		`"occurred_at":"2026-02-01T10:00:00Z","sent_at":"2026-02-01T10:00:01Z","received_at":"2026-02-01T10:00:09Z","source":"client"}`
	for name, c := range map[string]struct {
		key, body, received, source string
		offset                      int64
		imported                    bool
	}{
		"an import": {"import-key", line, "2026-02-01T10:00:09.000000Z", "client", 8000, true},
		"an import in an envelope of now": {"import-key", `{"sent_at":"2026-03-01T10:00:00Z","events":[` + line + `]}`,
			"2026-02-01T10:00:09.000000Z", "client", 8000, true},
		"a report": {"", `{"sent_at":"2026-03-01T10:00:08Z","events":[` + line + `]}`, "2026-03-01T10:00:10.000000Z", "client", 2000, false},
	} {
		header := map[string]string{}
		if c.key != "" {
			header["Authorization"] = "Bearer " + c.key
		}
		a := d.send(t, "POST", "/v1/events?dry_run=1", header, []byte(c.body))
		if len(a.Understood) != 1 {
			t.Fatalf("%s: %+v", name, a)
		}
		var got struct {
			Received string `json:"received_at"`
			Offset   int64  `json:"clock_offset_ms"`
			Source   string
			Trust    string
			Import   bool
		}
		if err := json.Unmarshal(a.Understood[0], &got); err != nil {
			t.Fatal(err)
		}
		if got.Received != c.received || got.Offset != c.offset || got.Source != c.source || got.Import != c.imported || got.Trust != "public" {
			t.Errorf("%s: understood %+v", name, got)
		}
	}
	bad := `{"app_id":"a","room_id":"r","user_id":"u","session_id":"s","seq":0,"reason":0,"error_code":0,"platform":"web","occurred_at":"2026-02-01T10:00:00Z","received_at":"then"}`
	a := d.send(t, "POST", "/v1/events", map[string]string{"Authorization": "Bearer import-key"}, []byte(bad))
	if a.Rejected != 1 || a.Results[0].Field != "received_at" {
		t.Errorf("a receipt that is no time: %+v", a)
	}
}

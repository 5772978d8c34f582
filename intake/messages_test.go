package intake_test

import (
	"bytes"
	"net/http"
	"testing"
	"time"

	"roomtrail/eventlog"
	"roomtrail/events"
	"roomtrail/intake"
)

// A message that is appended again is the same message.
func TestMessagesAreAppendedAsTheyAre(t *testing.T) {
	t.Parallel()
	d := open(t, intake.Config{ImportKey: "import-key"}, eventlog.Config{})
	e, err := events.FromReport(now.Add(-time.Hour), []byte(`{"app_id":"a","room_id":"r","user_id":"u","session_id":"s","seq":0,"reason":0,"error_code":0,"platform":"web","occurred_at":"2026-02-01T10:00:00Z"}`))
	if err != nil {
		t.Fatal(err)
	}
	e.Trust, e.Salt = events.TrustToken, [16]byte{7}
	message := events.Encode(&e)

	owner := map[string]string{"Authorization": "Bearer import-key"}
	if a := d.send(t, "POST", "/v1/messages", nil, message); a.Status != http.StatusUnauthorized {
		t.Errorf("without the key: %d", a.Status)
	}
	if a := d.send(t, "POST", "/v1/messages", owner, append(message, "\n{}"...)); a.Status != http.StatusBadRequest {
		t.Errorf("with a message that is none: %d", a.Status)
	}
	if a := d.send(t, "POST", "/v1/messages", owner, message); a.Status != http.StatusOK || a.Accepted != 1 {
		t.Fatalf("%+v", a)
	}
	r := d.log.Reader(1, 0, time.Second)
	defer r.Close()
	batch, err := r.Read(t.Context(), events.Position{Generation: 1}, 10)
	if err != nil || len(batch.Facts) != 1 || !bytes.Equal(events.Encode(&batch.Facts[0].Event), message) {
		t.Errorf("the log holds %+v, %v", batch.Facts, err)
	}
}

package intake_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"roomtrail/eventlog"
	"roomtrail/events"
	"roomtrail/intake"
)

func TestTheDoorShowsTheSchema(t *testing.T) {
	t.Parallel()
	d := open(t, intake.Config{}, eventlog.Config{})
	res, err := http.Get(d.url + "/v1/schema")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "application/schema+json" || !bytes.Equal(body, events.Schema()) {
		t.Errorf("%s, %s, %d bytes, %v", res.Status, res.Header.Get("Content-Type"), len(body), err)
	}
}

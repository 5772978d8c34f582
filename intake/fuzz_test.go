package intake

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzNDJSON: never a panic; every line that is not blank is one event, in
// order and as it stands; other bodies are read as one JSON value or refused.
func FuzzNDJSON(f *testing.F) {
	for _, body := range []string{
		"{\"a\":1}\n{\"b\":2}\n", "{}\r\n\r\n{}", "\n\n\n", "{\"a\":\"\\n\"}\n{", "[{},{}]", `{"sent_at":1,"events":[{},null,3]}`,
		`{"events":{}}`, `{"events":[],"events":[]}`, "{}{}", "{}\n[", "\x00\n{}", strings.Repeat("[", 50), `{"alive":[{}]}`,
	} {
		f.Add(body, "application/x-ndjson")
		f.Add(body, "application/json")
	}
	f.Fuzz(func(t *testing.T, body, contentType string) {
		for _, list := range []string{"events", "alive"} {
			its, fault := split(contentType, []byte(body), list)
			if fault != nil {
				if fault.status < 400 || fault.status > 499 || fault.reason == "" {
					t.Fatalf("%q is refused by %d %q", body, fault.status, fault.reason)
				}
				continue
			}
			if len(its.events) > maxEvents {
				t.Fatalf("%d events", len(its.events))
			}
			rest := []byte(body)
			for _, e := range its.events {
				i := bytes.Index(rest, e)
				if len(e) == 0 || i < 0 {
					t.Fatalf("%q gives %q, which is not in it there", body, e)
				}
				rest = rest[i+len(e):]
			}
			if isNDJSON(contentType) && len(its.events) != filled(body) {
				t.Fatalf("%q has %d events, and %d lines that are not blank", body, len(its.events), filled(body))
			}
		}
	})
}

func filled(body string) (n int) {
	for line := range strings.Lines(body) {
		if len(bytes.TrimSpace([]byte(line))) > 0 {
			n++
		}
	}
	return n
}

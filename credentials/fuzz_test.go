package credentials_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"roomtrail/credentials"
	"roomtrail/events"
)

// FuzzToken: whatever is sent as a token, nothing panics; what is taken was
// signed by a key of the set, byte for byte; what is refused says why. The
// genuine token is in the corpus, so the fuzzer starts from beside it.
func FuzzToken(f *testing.F) {
	m := makeKeys(f)
	genuine := map[string]bool{}
	for _, token := range []string{
		m.token(f, "token", nil, nil).Bearer,
		m.token(f, "token", nil, fields{"user": "u", "room": "r", "session": "s"}).Bearer,
		ed(f, m.header("ed", nil), claims(nil), m.private),
	} {
		genuine[token] = true
		f.Add(token)
	}
	f.Fuzz(func(t *testing.T, token string) {
		from, err := m.set.Check(now, credentials.Presented{Bearer: token})
		if err != nil {
			if !utf8.ValidString(err.Error()) || strings.Contains(err.Error(), m.secrets["token"]) {
				t.Fatalf("%q: refused with %q", token, err)
			}
			return
		}
		isWriteKey := token == m.secrets["write"]
		if !genuine[token] && !isWriteKey {
			t.Fatalf("%q was taken for %+v", token, from)
		}
		if !isWriteKey && (from.Trust != events.TrustToken || from.App != "a") {
			t.Fatalf("%q was taken for %+v", token, from)
		}
	})
}

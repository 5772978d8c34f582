package events_test

import (
	"testing"

	"roomtrail/events"
)

// The vendor's published example.
func TestCallbackSignatureOfTheVendorsExample(t *testing.T) {
	t.Parallel()
	const want = "5bd59fd62953a8059fb7eaba95720f66d19e4517"
	if got := events.CallbackSignature("secret", "1470820198", "123412"); got != want {
		t.Errorf("signature is %s, want %s", got, want)
	}
}

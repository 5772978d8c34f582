package signalling

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"roomtrail/events"
	"roomtrail/room"
)

func TestACallbackIsRepeatedUntilItIsTaken(t *testing.T) {
	t.Parallel()
	calls := receive(t, func(n int) int {
		if n < 3 {
			return http.StatusInternalServerError
		}
		return http.StatusOK
	})
	_, url := serve(t, App{CallbackURL: calls.url, CallbackSecret: "cs", CallbackDelays: []time.Duration{1, 1, 1, 1, 1}})
	p := join(t, ClientConfig{URL: url, At: room.Endpoint{User: "u"}, Profile: native(testW)})
	p.Login("r", "")
	calls.wantSet(t, "room_create", "room_login u relogin 0")
	times := map[string]int{}
	for _, body := range calls.bodies.all() {
		times[body]++
		var c struct{ Nonce, Signature, Event string }
		var timestamp struct{ Timestamp json.RawMessage }
		if err := json.Unmarshal([]byte(body), &c); err != nil {
			t.Fatal(err)
		}
		_ = json.Unmarshal([]byte(body), &timestamp)
		at := string(timestamp.Timestamp)
		if at[0] == '"' {
			at = at[1 : len(at)-1]
		}
		if want := events.CallbackSignature("cs", at, c.Nonce); c.Signature != want {
			t.Errorf("%s is signed %s, want %s", c.Event, c.Signature, want)
		}
	}
	for body, n := range times {
		if n != 3 || len(times) != 2 {
			t.Errorf("posted %d times, of %d bodies: %s; want 2 bodies, 3 times each", n, len(times), body)
		}
	}
}

func TestACallbackIsLostAfterTheLastRetry(t *testing.T) {
	t.Parallel()
	calls := receive(t, func(int) int { return http.StatusFound }) // redirects are not followed
	s, url := serve(t, App{CallbackURL: calls.url, CallbackDelays: []time.Duration{1, 1}})
	p := join(t, ClientConfig{URL: url, At: room.Endpoint{User: "u"}, Profile: native(testW)})
	p.Login("r", "")
	posts := s.apps["demo"].posts
	eventually(t, "both callbacks are lost", func() bool { return posts.lost.Load() == 2 })
	if n := len(calls.bodies.all()); n != 6 || posts.delivered.Load() != 0 {
		t.Errorf("%d posts, %d delivered; want 6, none", n, posts.delivered.Load())
	}
}

// What waits at the end is tried once, in order, and counted.
func TestCallbacksAtTheEnd(t *testing.T) {
	t.Parallel()
	calls := receive(t, func(int) int { return http.StatusInternalServerError })
	s := New(Config{Apps: map[string]App{"demo": {CallbackURL: calls.url}}})
	a := s.apps["demo"]
	a.step(room.Received{Message: room.Message{Kind: room.Ask, At: room.Endpoint{User: "u"}, Room: "r", Login: 1}})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s.Close(ctx)
	if ctx.Err() != nil || len(calls.bodies.all()) != 2 || a.posts.waiting.Load() != 2 {
		t.Errorf("%d posts, %d left undelivered, %v; want 2 and 2 in good time", len(calls.bodies.all()), a.posts.waiting.Load(), ctx.Err())
	}
}

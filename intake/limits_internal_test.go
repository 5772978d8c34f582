package intake

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"roomtrail/events"
)

var epoch = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

func TestABucketOverTime(t *testing.T) {
	t.Parallel()
	l := newLimiter(epoch)
	limit := Limit{PerSecond: 10, Burst: 20}
	for i, step := range []struct {
		at        time.Duration
		n         int
		ok        bool
		remaining int
		fullIn    time.Duration
		wait      time.Duration
	}{
		{at: 0, n: 0, ok: true, remaining: 20},                                 // looks
		{at: 0, n: 5, ok: true, remaining: 15, fullIn: 500 * time.Millisecond}, // takes
		{at: 200 * time.Millisecond, n: 0, ok: true, remaining: 17, fullIn: 300 * time.Millisecond},
		{at: time.Second, n: 19, ok: true, remaining: 1, fullIn: 1900 * time.Millisecond},                          // full again, no more than that
		{at: time.Second, n: 50, ok: true, remaining: -49, fullIn: 6900 * time.Millisecond, wait: 5 * time.Second}, // overdraws
		{at: time.Second, n: 1, ok: false, remaining: -49, fullIn: 6900 * time.Millisecond, wait: 5 * time.Second},
		{at: 5900 * time.Millisecond, n: 1, ok: false, remaining: 0, fullIn: 2 * time.Second, wait: 100 * time.Millisecond},
		{at: 6 * time.Second, n: 1, ok: true, remaining: 0, fullIn: 2 * time.Second, wait: 100 * time.Millisecond},
		{at: 3 * time.Second, n: 1, ok: false, remaining: -30, fullIn: 5 * time.Second, wait: 3100 * time.Millisecond}, // the clock goes back
		{at: time.Hour, n: 1, ok: true, remaining: 19, fullIn: 100 * time.Millisecond},
	} {
		g, found, ok := l.take(epoch.Add(step.at), l.claim(limit, bucketID{whose: "this key"}, step.n))
		if ok != step.ok || !found || g.remaining != step.remaining || g.fullIn != step.fullIn || g.wait != step.wait {
			t.Errorf("step %d: %v with %d left, full in %v, wait %v; want %+v", i, ok, g.remaining, g.fullIn, g.wait, step)
		}
	}
}

// Where one bucket refuses, the others keep what they hold.
func TestAllBucketsPayOrNone(t *testing.T) {
	t.Parallel()
	l := newLimiter(epoch)
	wide, narrow := Limit{PerSecond: 1, Burst: 100}, Limit{PerSecond: 1, Burst: 2}
	claims := []claim{l.claim(wide, bucketID{whose: "this key"}, 2), l.claim(narrow, bucketID{whose: "this session"}, 2)}
	if g, _, ok := l.take(epoch, claims...); !ok || g.claim.whose != "this session" || g.remaining != 0 {
		t.Errorf("first: %+v, %v; want the session's as the tightest", g, ok)
	}
	if g, _, ok := l.take(epoch, claims...); ok || g.claim.whose != "this session" {
		t.Errorf("second: %+v, %v; want a refusal by the session's", g, ok)
	}
	if g, _, _ := l.take(epoch, l.claim(wide, bucketID{whose: "this key"}, 0)); g.remaining != 98 {
		t.Errorf("the key has %d left, want 98", g.remaining)
	}
	if _, found, ok := l.take(epoch, l.claim(Limit{PerSecond: -1}, bucketID{}, 1<<40)); found || !ok {
		t.Errorf("without a limit: found %v, %v", found, ok)
	}
}

func TestBucketsAreForgottenAndBounded(t *testing.T) {
	t.Parallel()
	l := newLimiter(epoch)
	limit := Limit{PerSecond: 1, Burst: 1}
	busy := l.claim(limit, bucketID{whose: "busy"}, 1)
	l.take(epoch, busy)
	for i := range 3 * maxBuckets {
		l.take(epoch, l.claim(limit, bucketID{whose: "session", session: events.SetKey{SessionID: fmt.Sprint(i)}}, 1))
		if n := len(l.young) + len(l.old); n > maxBuckets {
			t.Fatalf("%d buckets are remembered after %d sessions", n, i)
		}
	}
	if g, _, ok := l.take(epoch, busy); !ok {
		t.Errorf("a bucket that nobody touched is still remembered: %+v", g)
	}
}

func TestLimitsAreRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Limit{"50/500": {50, 500}, "50": {50, 500}, "off": {PerSecond: -1}} {
		var got Limit
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "-1", "50/", "50/0", "/5", "many", "50/500/5", "9999999999"} {
		var got Limit
		if err := got.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "such as 50/500") {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

func TestAddressesThatShareALimit(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]struct {
		name    string
		isLocal bool
	}{
		"192.0.2.7":              {"192.0.2.7", false},
		"::ffff:192.0.2.7":       {"192.0.2.7", false},
		"2001:db8:1:2:3:4:5:6":   {"2001:db8:1:2::/64", false},
		"2001:db8:1:2:ffff::1":   {"2001:db8:1:2::/64", false},
		"fe80::1%eth0":           {"fe80::/64", false},
		"127.3.2.1":              {"127.3.2.1", true},
		"::1":                    {"::/64", true},
		"a socket without ports": {"a socket without ports", false},
	} {
		if name, isLocal := addressOf(host); name != want.name || isLocal != want.isLocal {
			t.Errorf("%s: %s, %v; want %+v", host, name, isLocal, want)
		}
	}
}

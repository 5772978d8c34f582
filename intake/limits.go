package intake

import (
	"cmp"
	"encoding"
	"fmt"
	"hash/maphash"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"roomtrail/events"
)

// Limit is how many events may come: Burst at once, PerSecond in the long run.
// Zero is the default, a negative PerSecond means no limit.
type Limit struct{ PerSecond, Burst int }

// Limits are those of a door, all of them in events or signs of life; a request
// that brings none counts as one.
type Limits struct {
	Session Limit // 50/500; not of servers, whose requests gather many
	Address Limit // 2 000/20 000, of an IPv4 address or a /64 of IPv6
	Key     Limit // 100 000/1 000 000; without a key of all who have none
	Total   Limit // 200 000/2 000 000
	// Loopback limits the addresses of this machine too. A proxy that runs here
	// and is not trusted lends its address to all.
	Loopback bool
}

func (l Limits) withDefaults() Limits {
	l.Session = cmp.Or(l.Session, Limit{50, 500})
	l.Address = cmp.Or(l.Address, Limit{2_000, 20_000})
	l.Key = cmp.Or(l.Key, Limit{100_000, 1_000_000})
	l.Total = cmp.Or(l.Total, Limit{200_000, 2_000_000})
	return l
}

var _ encoding.TextUnmarshaler = (*Limit)(nil)

// UnmarshalText reads "50/500", "50" (ten seconds of it at once) or "off".
func (l *Limit) UnmarshalText(text []byte) error {
	if string(text) == "off" {
		*l = Limit{PerSecond: -1}
		return nil
	}
	perSecond, burst, both := strings.Cut(string(text), "/")
	rate, err := strconv.Atoi(perSecond)
	size := 10 * rate
	if err == nil && both {
		size, err = strconv.Atoi(burst)
	}
	if err != nil || rate < 1 || size < 1 || rate > maxRate || size > maxRate {
		return fmt.Errorf("limit %q: want EVENTS A SECOND/EVENTS AT ONCE, such as 50/500, or off", text)
	}
	*l = Limit{rate, size}
	return nil
}

const (
	maxRate    = 1_000_000_000
	maxBuckets = 100_000 // that are remembered
)

// limiter keeps a bucket for each session, address and key, and one for all. A
// bucket is the instant at which it will be full again (the generic cell rate
// algorithm, ATM Forum TM 4.0): a number is all there is to keep and nothing has
// to be filled. A request is let in while its buckets hold anything, and pays in
// full: what it overdraws, the next ones wait for. So no request is too large
// to be ever taken, and the rate holds all the same.
//
// It remembers two generations of buckets. One that is forgotten is a full one:
// who comes with more than 100 000 sessions is stopped by address and key.
type limiter struct {
	mu         sync.Mutex
	epoch      time.Time
	seed       maphash.Seed
	young, old map[uint64]time.Duration // when they are full, since epoch
}

func newLimiter(epoch time.Time) *limiter {
	return &limiter{epoch: epoch, seed: maphash.MakeSeed(), young: map[uint64]time.Duration{}, old: map[uint64]time.Duration{}}
}

// claim is what a request takes out of a bucket; with 0 it only looks.
type claim struct {
	limit Limit
	whose string // for the refusal
	id    uint64
	n     int
}

// bucketID tells buckets apart.
type bucketID struct {
	whose, name string
	session     events.SetKey
}

func (l *limiter) claim(limit Limit, id bucketID, n int) claim {
	return claim{limit, id.whose, maphash.Comparable(l.seed, id), n}
}

// gauge is how a bucket stands.
type gauge struct {
	claim     claim
	remaining int
	fullIn    time.Duration
	wait      time.Duration // until it holds something
}

func (c claim) gauge(fullIn time.Duration) gauge {
	perSecond := time.Duration(c.limit.PerSecond)
	g := gauge{claim: c, fullIn: max(fullIn, 0)}
	seconds, rest := g.fullIn/time.Second, g.fullIn%time.Second
	owed := seconds*perSecond + (rest*perSecond+time.Second-1)/time.Second
	if g.remaining = c.limit.Burst - int(owed); g.remaining < 1 {
		g.wait = g.fullIn - cost(c.limit.Burst-1, c.limit)
	}
	return g
}

// cost is how long a bucket takes to fill up by n.
func cost(n int, l Limit) time.Duration {
	return time.Duration(float64(n) / float64(l.PerSecond) * float64(time.Second))
}

// take lets all claims through or none, and says which bucket is the tightest:
// the one that refused, or that has the least left. ok is also true where there
// is no bucket at all, and found false.
func (l *limiter) take(now time.Time, claims ...claim) (tightest gauge, found, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ok := now.Sub(l.epoch), true
	for _, c := range claims {
		if c.limit.PerSecond < 0 {
			continue
		}
		g := c.gauge(l.load(c.id) - at)
		if isEmpty := g.remaining < 1 && c.n > 0; isEmpty && (ok || g.wait > tightest.wait) {
			tightest, found, ok = g, true, false
		}
	}
	if !ok {
		return tightest, found, false
	}
	for _, c := range claims {
		if c.limit.PerSecond < 0 {
			continue
		}
		full := max(l.load(c.id), at) + cost(c.n, c.limit)
		if c.n > 0 {
			l.store(c.id, full)
		}
		if g := c.gauge(full - at); !found || g.remaining < tightest.remaining {
			tightest, found = g, true
		}
	}
	return tightest, found, true
}

func (l *limiter) load(id uint64) time.Duration {
	if full, ok := l.young[id]; ok {
		return full
	}
	return l.old[id]
}

func (l *limiter) store(id uint64, full time.Duration) {
	if _, ok := l.young[id]; !ok && len(l.young) >= maxBuckets/2 {
		l.young, l.old = l.old, l.young
		clear(l.young)
	}
	l.young[id] = full
}

// charge takes the claims of a request, and tells its sender how the tightest
// bucket stands in the three headers of draft-ietf-httpapi-ratelimit-headers-07
// (later drafts have other names): what it holds when full, what is left, and
// the seconds until it is full again.
func (d *Door) charge(w http.ResponseWriter, claims ...claim) *fault {
	g, found, ok := d.limiter.take(time.Now(), claims...)
	if found {
		h := w.Header()
		h.Set("RateLimit-Limit", strconv.Itoa(g.claim.limit.Burst))
		h.Set("RateLimit-Remaining", strconv.Itoa(max(g.remaining, 0)))
		h.Set("RateLimit-Reset", strconv.Itoa(wholeSeconds(g.fullIn)))
	}
	if ok {
		return nil
	}
	f := faultf(http.StatusTooManyRequests, "%s sends too much: %d events at once and %d a second are taken; keep the events and send them again",
		g.claim.whose, g.claim.limit.Burst, g.claim.limit.PerSecond)
	f.wait = time.Duration(max(wholeSeconds(g.wait), 1)) * time.Second
	return f
}

func wholeSeconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// claimRequest is what a request costs before anything is read of it, by n.
func (d *Door) claimRequest(r *http.Request, n int) []claim {
	limits := &d.config.Limits
	claims := []claim{d.limiter.claim(limits.Total, bucketID{whose: "everybody together"}, n)}
	address, isLocal := addressOf(clientAddr(r, d.config.TrustedProxies))
	if !isLocal || limits.Loopback {
		claims = append(claims, d.limiter.claim(limits.Address, bucketID{whose: "this address", name: address}, n))
	}
	return claims
}

// chargeEvents charges what a request has brought. The session is that of its
// first event, for as many as there are of it.
func (d *Door) chargeEvents(w http.ResponseWriter, r *http.Request, from *sender, n int, accepted []events.Event) *fault {
	if from.imported {
		return nil
	}
	limits := &d.config.Limits
	claims := append(d.claimRequest(r, max(n-1, 0)), // the request has paid for one
		d.limiter.claim(limits.Key, bucketID{whose: "this key", name: from.KeyID}, max(n, 1)))
	if len(accepted) > 0 && from.Trust != events.TrustServer {
		session, of := accepted[0].Key(), 0
		for i := range accepted {
			if accepted[i].Key() == session {
				of++
			}
		}
		claims = append(claims, d.limiter.claim(limits.Session, bucketID{whose: "this session", session: session}, of))
	}
	return d.charge(w, claims...)
}

// addressOf is what an address is limited by: an IPv6 subscriber has a /64.
func addressOf(host string) (name string, isLocal bool) {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host, false
	}
	if ip = ip.Unmap(); ip.Is6() {
		if p, err := ip.WithZone("").Prefix(64); err == nil {
			return p.String(), ip.IsLoopback()
		}
	}
	return ip.String(), ip.IsLoopback()
}

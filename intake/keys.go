package intake

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"roomtrail/credentials"
	"roomtrail/events"
)

// Keys are the write keys: each may report events of one app. They are kept
// by digest, so that finding one takes the same time whatever was sent.
type Keys map[[32]byte]string

// ParseKeys reads "KEY=APP,KEY=APP" as in ROOMTRAIL_WRITE_KEYS; line breaks
// separate as commas do, for files.
func ParseKeys(s string) (Keys, error) {
	keys := Keys{}
	for i, part := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == '\n' }) {
		if part = strings.TrimSpace(part); part == "" || strings.HasPrefix(part, "#") {
			continue
		}
		cut := max(strings.LastIndexByte(part, '='), 0) // a key may end in =, as base64 does
		key, app := part[:cut], part[min(cut+1, len(part)):]
		if key == "" || app == "" {
			return nil, fmt.Errorf("write key %d: want KEY=APP, such as 7f3c9a=1234567890", i+1)
		}
		if len(key) < 8 {
			return nil, fmt.Errorf("write key %d, of app %s: it has %d characters; want at least 8", i+1, app, len(key))
		}
		sum := sha256.Sum256([]byte(key))
		if was, ok := keys[sum]; ok && was != app {
			return nil, fmt.Errorf("write key %d is for app %s and for app %s; a key is for one app", i+1, was, app)
		}
		keys[sum] = app
	}
	return keys, nil
}

// Credentials are the keys as write keys of their apps.
func (k Keys) Credentials() []credentials.Key {
	var list []credentials.Key
	for sum, app := range k {
		list = append(list, credentials.Key{
			ID: fmt.Sprintf("env-%x", sum[:6]), App: app, Kind: credentials.Write, Verifier: sum[:],
		})
	}
	return list
}

// sender is what a credential says of who sends.
type sender struct {
	credentials.Sender
	imported bool // what it sends is an import, of any app
}

// admit finds out who sends, unless too much comes from there. An import is
// not limited.
func (d *Door) admit(w http.ResponseWriter, r *http.Request) (sender, *fault) {
	given := bearer(r)
	if d.config.ImportKey != "" && subtle.ConstantTimeCompare([]byte(given), []byte(d.config.ImportKey)) == 1 {
		return sender{Sender: credentials.Sender{Trust: events.TrustPublic}, imported: true}, nil
	}
	if f := d.charge(w, d.claimRequest(r, 1)...); f != nil {
		return sender{}, f
	}
	from, err := d.config.Credentials().Check(d.config.Now(), credentials.Presented{
		Bearer: given, Signature: r.Header.Get(credentials.SignatureHeader), Origin: r.Header.Get("Origin"),
		Method: r.Method, Path: r.URL.EscapedPath(),
	})
	if err != nil {
		return sender{}, faultf(http.StatusUnauthorized, "%v", err)
	}
	return sender{Sender: from}, nil
}

// bearer is the key or token of a request; beacons cannot set a header.
func bearer(r *http.Request) string {
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	return r.URL.Query().Get("key")
}

// watch looks at the body as it is read, where a signature covers it. What it
// returns says afterwards whether the sender is who it says.
func (s *sender) watch(r *http.Request) (confirm func() *fault) {
	if !s.IsSigned() {
		return func() *fault { return nil }
	}
	sum := sha256.New()
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.TeeReader(r.Body, sum), r.Body}
	return func() *fault {
		if err := s.Confirm([sha256.Size]byte(sum.Sum(nil))); err != nil {
			return faultf(http.StatusUnauthorized, "%v", err)
		}
		return nil
	}
}

// ErrNoKey says that a door would be open to everybody who reaches it.
var ErrNoKey = errors.New("anybody there could write, for no write key has been made; set ROOMTRAIL_WRITE_KEYS=KEY=APP, make one by `ingest keys add --app APP`, or listen on 127.0.0.1")

// CheckListen refuses a door on an address that others reach where no key has
// ever been made.
func CheckListen(listen string, isKeyed bool) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("listen on %q: want HOST:PORT, such as 127.0.0.1:8080", listen)
	}
	if isKeyed || IsLoopback(host) {
		return nil
	}
	return fmt.Errorf("listen on %s: %w", listen, ErrNoKey)
}

// IsLoopback says whether only this machine reaches the host.
func IsLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// ParseProxies reads a list of addresses and networks.
func ParseProxies(list []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			ip, ipErr := netip.ParseAddr(s)
			if ipErr != nil {
				return nil, fmt.Errorf("trusted proxy %q: want an address or a network, such as 10.0.0.0/8", s)
			}
			p = netip.PrefixFrom(ip, ip.BitLen())
		}
		out = append(out, p)
	}
	return out, nil
}

// clientAddr is who sent the request: the peer, or where that is a trusted
// proxy the last address before it that is none.
func clientAddr(r *http.Request, trusted []netip.Prefix) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && isTrusted(host, trusted); i-- {
		hop := strings.TrimSpace(hops[i])
		if _, err := netip.ParseAddr(hop); err != nil {
			break
		}
		host = hop
	}
	return host
}

func isTrusted(host string, trusted []netip.Prefix) bool {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	for _, p := range trusted {
		if p.Contains(ip.Unmap()) {
			return true
		}
	}
	return false
}

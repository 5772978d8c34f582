package intake

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
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

// sender is what a credential says of who sends.
type sender struct {
	app      string // the one it may write for; "" for any
	imported bool   // what it sends is an import
}

// sender finds out who sends. Without any keys the door is open to all.
func (d *Door) sender(r *http.Request) (sender, bool) {
	given := r.URL.Query().Get("key")
	if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		given = strings.TrimSpace(token)
	}
	if d.config.ImportKey != "" && subtle.ConstantTimeCompare([]byte(given), []byte(d.config.ImportKey)) == 1 {
		return sender{imported: true}, true
	}
	if len(d.config.Keys) == 0 {
		return sender{}, true
	}
	app, ok := d.config.Keys[sha256.Sum256([]byte(given))]
	return sender{app: app}, ok
}

// CheckListen refuses a door without keys on an address that others reach.
func CheckListen(listen string, keys Keys) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("listen on %q: want HOST:PORT, such as 127.0.0.1:8080", listen)
	}
	if len(keys) > 0 || IsLoopback(host) {
		return nil
	}
	return fmt.Errorf("listen on %s: anybody there could write, for no write key is set; set ROOMTRAIL_WRITE_KEYS=KEY=APP or listen on 127.0.0.1", listen)
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

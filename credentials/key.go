package credentials

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Kind is what a key is for.
type Kind string

const (
	Write  Kind = "write"
	Token  Kind = "token"
	Server Kind = "server"
)

// Alg is how a key signs; a write key does not.
type Alg string

const (
	HS256 Alg = "HS256"
	EdDSA Alg = "EdDSA" // Ed25519 (RFC 8037)
)

// Key is one key of an app as it is kept.
type Key struct {
	ID        string    `json:"id"` // the kid of its tokens
	App       string    `json:"app"`
	Kind      Kind      `json:"kind"`
	Alg       Alg       `json:"alg,omitempty"`
	Origins   []string  `json:"origins,omitempty"` // pages that may use a write key; none: all
	CreatedAt time.Time `json:"created_at"`
	RevokedAt time.Time `json:"revoked_at,omitzero"`
	// Verifier is the SHA-256 of a write key, the secret of HS256, the public
	// key of EdDSA; see the package comment. Nothing where a secret is revoked.
	Verifier []byte `json:"verifier,omitempty"`
}

// Entropy is how many random bytes a new key takes: 6 for its id, 32 for its secret.
const Entropy = 38

// New makes a key from random bytes. The secret is what its user is given, once;
// there is none where public, the Ed25519 key of the user's back end, is given.
func New(now time.Time, app string, kind Kind, public ed25519.PublicKey, entropy [Entropy]byte) (k Key, secret string) {
	k = Key{ID: string(kind) + "-" + hex.EncodeToString(entropy[:6]), App: app, Kind: kind, CreatedAt: now.UTC().Truncate(time.Second)}
	if public != nil {
		k.Alg, k.Verifier = EdDSA, public
		return k, ""
	}
	// The beginning tells scanners of repositories, and people, what it is.
	secret = fmt.Sprintf("rt%.1s_%x", kind, entropy[6:])
	if kind == Write {
		sum := sha256.Sum256([]byte(secret))
		k.Verifier = sum[:]
		return k, secret
	}
	k.Alg, k.Verifier = HS256, []byte(secret)
	return k, secret
}

// Active says whether the key may still be used.
func (k *Key) Active() bool { return k.RevokedAt.IsZero() }

// Check says what is wrong with a key that is to be added.
func (k *Key) Check() error {
	switch {
	case k.App == "" || len(k.App) > 255 || !utf8.ValidString(k.App) || strings.ContainsRune(k.App, 0):
		return fmt.Errorf("app %q: want 1 to 255 bytes of UTF-8, as the app_id of its events", k.App)
	case k.Kind != Write && k.Kind != Token && k.Kind != Server:
		return fmt.Errorf("kind %q: want write, token or server", k.Kind)
	case !isID(k.ID):
		return fmt.Errorf("id %q: want 1 to 64 letters, digits and dashes", k.ID)
	case len(k.Origins) > 0 && k.Kind != Write:
		return fmt.Errorf("origins of a %s key: only a write key is used by pages; leave them out", k.Kind)
	}
	for _, o := range k.Origins {
		if err := checkOrigin(o); err != nil {
			return err
		}
	}
	return k.checkVerifier()
}

func (k *Key) checkVerifier() error {
	want := map[Alg]int{HS256: minSecret, EdDSA: ed25519.PublicKeySize}[k.Alg]
	switch {
	case k.Kind == Write && (k.Alg != "" || len(k.Verifier) != sha256.Size):
		return fmt.Errorf("alg %q with %d bytes of a write key: want no alg and the key's SHA-256", k.Alg, len(k.Verifier))
	case k.Kind == Write:
		return nil
	case want == 0 || k.Alg == EdDSA && k.Kind != Token:
		return fmt.Errorf("alg %q of a %s key: want HS256, or for tokens EdDSA", k.Alg, k.Kind)
	case k.Alg == EdDSA && len(k.Verifier) != want:
		return fmt.Errorf("public key of %d bytes: want the %d of Ed25519", len(k.Verifier), want)
	case len(k.Verifier) < want:
		return fmt.Errorf("secret of %d bytes: want at least %d (RFC 7518, section 3.2)", len(k.Verifier), want)
	}
	return nil
}

// minSecret is the size of HMAC-SHA256's output (RFC 7518, section 3.2).
const minSecret = 32

func isID(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// checkOrigin wants what a browser writes into the header: scheme, host and
// port in lower case, nothing behind (RFC 6454, section 6.2).
func checkOrigin(s string) error {
	scheme, host, ok := strings.Cut(s, "://")
	if !ok || scheme != "https" && scheme != "http" || host == "" || strings.ContainsAny(host, "/?#@* ") || s != strings.ToLower(s) {
		return fmt.Errorf("origin %q: want scheme and host in lower case and no path, such as https://app.example", s)
	}
	return nil
}

// maxActive is how many keys of a kind an app may have: the old and the new one
// of a rotation.
const maxActive = 2

// Add puts a key among the others of its app.
func Add(list []Key, k Key) ([]Key, error) {
	if err := k.Check(); err != nil {
		return nil, err
	}
	var active []string
	for i := range list {
		o := &list[i]
		if o.ID == k.ID {
			return nil, fmt.Errorf("id %q is taken; make the key again", k.ID)
		}
		if o.Kind == k.Kind && o.Active() {
			active = append(active, fmt.Sprintf("%s (of %s)", o.ID, o.CreatedAt.Format(time.RFC3339)))
		}
	}
	if len(active) >= maxActive {
		return nil, fmt.Errorf("app %q has %d active %s keys, %s; at most %d may be: revoke one first",
			k.App, len(active), k.Kind, strings.Join(active, " and "), maxActive)
	}
	return append(slices.Clone(list), k), nil
}

// Revoke ends a key; ok is false where the list does not have it. One that was
// revoked before stays as it is.
func Revoke(now time.Time, list []Key, id string) (changed []Key, k Key, ok bool) {
	i := slices.IndexFunc(list, func(k Key) bool { return k.ID == id })
	if i < 0 {
		return list, Key{}, false
	}
	changed = slices.Clone(list)
	if c := &changed[i]; c.Active() {
		c.RevokedAt = now.UTC().Truncate(time.Second)
		if c.Alg == HS256 {
			c.Verifier = nil // what could still sign has no use any more
		}
	}
	return changed, changed[i], true
}

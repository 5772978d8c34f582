package credentials

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"roomtrail/events"
)

// Limits of a token.
const (
	maxToken = 4096 // bytes
	maxLife  = 15 * time.Minute
	leeway   = 30 * time.Second // by which clocks may differ
	audience = "roomtrail"
)

// checkToken reads a JSON Web Token in its compact form (RFC 7519, RFC 7515):
// first the key that its header names, then the signature by that key's own
// algorithm (RFC 8725, section 3.1), and only then what it claims.
func (s *Set) checkToken(now time.Time, token string) (Sender, error) {
	if len(token) > maxToken {
		return Sender{}, fmt.Errorf("token of %d bytes; want at most %d", len(token), maxToken)
	}
	signedPart, signature, _ := cutLast(token)
	header, payload, _ := strings.Cut(signedPart, ".")
	k, err := s.tokenKey(header)
	if err != nil {
		return Sender{}, err
	}
	sig, err := decode(signature)
	if err != nil || !verifies(k, []byte(signedPart), sig) {
		return Sender{}, fmt.Errorf("token: its signature is not by key %s", k.ID)
	}
	claims, err := members("payload", payload)
	if err != nil {
		return Sender{}, err
	}
	if err := checkTimes(now, claims); err != nil {
		return Sender{}, err
	}
	return k.claim(claims)
}

func cutLast(token string) (before, after string, ok bool) {
	i := strings.LastIndexByte(token, '.')
	if i < 0 {
		return token, "", false
	}
	return token[:i], token[i+1:], true
}

// tokenKey is the key that a header names. What else a header may bring (keys,
// addresses of keys) is not looked at.
func (s *Set) tokenKey(header string) (*Key, error) {
	h, err := members("header", header)
	if err != nil {
		return nil, err
	}
	if _, ok := h["crit"]; ok { // RFC 7515, section 4.1.11
		return nil, errors.New("token: crit asks for what is not understood here; leave it out")
	}
	if raw, ok := h["typ"]; ok {
		if typ, ok := text(raw); !ok || !strings.EqualFold(typ, "JWT") {
			return nil, fmt.Errorf("token: typ is %s; want JWT", shown(string(raw)))
		}
	}
	id, ok := text(h["kid"])
	if !ok || id == "" {
		return nil, errors.New("token: kid is missing; want the id of the key that signs, as `ingest keys list` shows it")
	}
	k, err := s.find(id, Token)
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	if alg, ok := text(h["alg"]); !ok || Alg(alg) != k.Alg {
		return nil, fmt.Errorf("token: alg is %s; key %s signs by %s", shown(string(h["alg"])), k.ID, k.Alg)
	}
	return k, nil
}

func verifies(k *Key, message, sig []byte) bool {
	switch k.Alg {
	case HS256:
		h := hmac.New(sha256.New, k.Verifier)
		h.Write(message)
		return hmac.Equal(h.Sum(nil), sig)
	case EdDSA:
		return ed25519.Verify(k.Verifier, message, sig)
	}
	return false
}

// checkTimes wants iat and exp, at most 15 minutes apart, around now.
func checkTimes(now time.Time, claims map[string]json.RawMessage) error {
	iat, err := instant(claims, "iat")
	if err != nil {
		return err
	}
	exp, err := instant(claims, "exp")
	if err != nil {
		return err
	}
	switch {
	case exp.Sub(iat) > maxLife:
		return fmt.Errorf("token: it lives %v from iat to exp; want at most %v", exp.Sub(iat), maxLife)
	case !exp.After(iat):
		return errors.New("token: exp is not after iat")
	case iat.After(now.Add(leeway)):
		return fmt.Errorf("token: iat is %s, %v in the future; set the clock of what makes it", iat.Format(time.RFC3339), iat.Sub(now).Truncate(time.Second))
	case !now.Before(exp.Add(leeway)):
		return fmt.Errorf("token: it expired at %s; make a new one", exp.Format(time.RFC3339))
	}
	if _, ok := claims["nbf"]; ok {
		nbf, err := instant(claims, "nbf")
		if err != nil {
			return err
		}
		if nbf.After(now.Add(leeway)) {
			return fmt.Errorf("token: nbf is %s; it is not valid yet", nbf.Format(time.RFC3339))
		}
	}
	return nil
}

// claim is the sender that a token of the key stands for.
func (k *Key) claim(claims map[string]json.RawMessage) (Sender, error) {
	if raw, ok := claims["aud"]; ok && !isFor(raw, audience) { // RFC 7519, section 4.1.3
		return Sender{}, fmt.Errorf("token: aud is %s; want %q, or none", shown(string(raw)), audience)
	}
	s := Sender{KeyID: k.ID, App: k.App, Trust: events.TrustToken}
	var app string
	for _, c := range [...]struct {
		name string
		into *string
	}{{"app", &app}, {"user", &s.user}, {"room", &s.room}, {"session", &s.session}} {
		raw, ok := claims[c.name]
		if !ok {
			continue
		}
		// A restriction that cannot be read is not one that does not count.
		if *c.into, ok = text(raw); !ok || *c.into == "" {
			return Sender{}, fmt.Errorf("token: %s is %s; want text that is not empty, or leave it out", c.name, shown(string(raw)))
		}
	}
	if app != "" && app != k.App {
		return Sender{}, fmt.Errorf("token: app is %q; key %s is of app %q", shown(app), k.ID, shown(k.App))
	}
	return s, nil
}

func isFor(raw json.RawMessage, who string) bool {
	if one, ok := text(raw); ok {
		return one == who
	}
	var many []string
	return json.Unmarshal(raw, &many) == nil && slices.Contains(many, who)
}

// members reads a part of a token: an object whose names are exact, unlike a
// struct's in encoding/json.
func members(part, encoded string) (map[string]json.RawMessage, error) {
	b, err := decode(encoded)
	var m map[string]json.RawMessage
	if err != nil || json.Unmarshal(b, &m) != nil || m == nil {
		return nil, fmt.Errorf("token: its %s is no JSON object in base64url without padding", part)
	}
	return m, nil
}

// decode is strict: one text for one value. The decoder itself would skip line
// breaks.
func decode(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, errors.New("line breaks")
	}
	return base64.RawURLEncoding.Strict().DecodeString(s)
}

// text reads a string; a number counts as its literal, as in events (contract 2).
func text(raw json.RawMessage) (string, bool) {
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if len(raw) == 0 || d.Decode(&v) != nil {
		return "", false
	}
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	}
	return "", false
}

// lastSecond is the end of the year 9999.
const lastSecond = 253402300799

// instant reads a NumericDate: seconds, possibly with a fraction (RFC 7519, section 2).
func instant(claims map[string]json.RawMessage, name string) (time.Time, error) {
	var seconds float64
	raw, ok := claims[name]
	if !ok || json.Unmarshal(raw, &seconds) != nil || string(raw) == "null" || seconds < 0 || seconds > lastSecond {
		return time.Time{}, fmt.Errorf("token: %s is %q; want Unix seconds", name, shown(string(raw)))
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)).UTC(), nil
}

package credentials

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"roomtrail/events"
)

// SignatureHeader carries the signature of a request:
//
//	Roomtrail-Signature: keyid=ID,time=UNIX SECONDS,sig=HEX
//
// sig is the HMAC-SHA256 under the server key's secret of
//
//	METHOD "\n" PATH "\n" TIME "\n" hex(SHA-256 of the body as it is sent)
//
// with the path as it reaches the door, without its query. Within the window a
// request that was overheard can be sent again; its events count once all the
// same.
const SignatureHeader = "Roomtrail-Signature"

// window is how far a signature's time may be from ours.
const window = 5 * time.Minute

// signed is a signature that waits for the body.
type signed struct {
	key     *Key
	message string // up to the digest
	sig     []byte
}

// checkSigned does all that can be done before the body is there.
func (s *Set) checkSigned(now time.Time, p Presented) (Sender, error) {
	id, at, sig, err := parseSignature(p.Signature)
	if err != nil {
		return Sender{}, err
	}
	k, err := s.find(id, Server)
	if err != nil {
		return Sender{}, fmt.Errorf("%s: %w", SignatureHeader, err)
	}
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil || seconds < 0 || seconds > lastSecond {
		return Sender{}, fmt.Errorf("%s: time is %q; want Unix seconds", SignatureHeader, shown(at))
	}
	if off := now.Sub(time.Unix(seconds, 0)); off > window || off < -window {
		return Sender{}, fmt.Errorf("%s: time is %v from ours; want at most %v", SignatureHeader, off.Truncate(time.Second), window)
	}
	return Sender{KeyID: k.ID, App: k.App, Trust: events.TrustServer,
		signed: &signed{k, p.Method + "\n" + p.Path + "\n" + at + "\n", sig}}, nil
}

// parseSignature wants the three members once each, in any order.
func parseSignature(header string) (id, at string, sig []byte, err error) {
	got := map[string]string{}
	for part := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if _, twice := got[name]; twice || name != "keyid" && name != "time" && name != "sig" {
			return "", "", nil, fmt.Errorf("%s: %q; want keyid=ID,time=SECONDS,sig=HEX, each once", SignatureHeader, shown(part))
		}
		got[name] = value
	}
	if sig, err = hex.DecodeString(got["sig"]); err != nil || len(sig) != sha256.Size {
		return "", "", nil, fmt.Errorf("%s: sig is not 64 hex digits", SignatureHeader)
	}
	return got["keyid"], got["time"], sig, nil
}

// IsSigned says whether the body has to confirm the sender.
func (s *Sender) IsSigned() bool { return s.signed != nil }

// Confirm holds the signature against the SHA-256 of the body as it was sent.
func (s *Sender) Confirm(body [sha256.Size]byte) error {
	if s.signed == nil {
		return nil
	}
	if !hmac.Equal(s.signed.key.sign(s.signed.message, body), s.signed.sig) {
		return errors.New(SignatureHeader + ": sig is not that of this method, path, time and body under key " + s.KeyID)
	}
	return nil
}

func (k *Key) sign(message string, body [sha256.Size]byte) []byte {
	h := hmac.New(sha256.New, k.Verifier)
	h.Write([]byte(message + hex.EncodeToString(body[:])))
	return h.Sum(nil)
}

// Sign makes the header for a request, as the back end does that holds the key.
func Sign(now time.Time, id, secret, method, path string, body []byte) string {
	at := strconv.FormatInt(now.Unix(), 10)
	k := Key{Verifier: []byte(secret)}
	sig := k.sign(method+"\n"+path+"\n"+at+"\n", sha256.Sum256(body))
	return "keyid=" + id + ",time=" + at + ",sig=" + hex.EncodeToString(sig)
}

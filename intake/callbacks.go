package intake

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"roomtrail/events"
)

// Ledger remembers which body came with which signed triple; it is shared by
// all intakes.
type Ledger interface {
	// Claim notes the triple with its body, and says whether it came with
	// another body before.
	Claim(ctx context.Context, triple, body [32]byte) (isOther bool, err error)
}

// Callbacks is how server callbacks are taken. The zero value takes none.
type Callbacks struct {
	Secrets map[string][]string // by app; two while a secret is changed
	Strict  bool                // refuse another body under a known triple, instead of keeping it as unproven
	Ledger  Ledger
}

// callbackWindow is how far a timestamp may be off (contract 2): retries come
// for a minute, and the signature does not cover the body.
const callbackWindow = 10 * time.Minute

// CallbackSeen is one answered server callback.
type CallbackSeen struct {
	Status int
	Kind   events.Kind // empty where it could not be read
	Trust  events.Trust
}

// ParseCallbackSecrets reads "APP=SECRET,APP=SECRET": an app may be named twice,
// while its secret is changed.
func ParseCallbackSecrets(s string) (map[string][]string, error) {
	secrets := map[string][]string{}
	for i, part := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == '\n' }) {
		if part = strings.TrimSpace(part); part == "" || strings.HasPrefix(part, "#") {
			continue
		}
		app, secret, ok := strings.Cut(part, "=")
		if !ok || app == "" || secret == "" {
			return nil, fmt.Errorf("callback secret %d: want APP=SECRET, such as 1234567890=0123456789abcdef", i+1)
		}
		if secrets[app] = append(secrets[app], secret); len(secrets[app]) > 2 {
			return nil, fmt.Errorf("callback secret %d: app %s has more than two; want the old and the new one at most", i+1, app)
		}
	}
	return secrets, nil
}

// callbacks takes POST /v1/zego/callbacks.
func (d *Door) callbacks(w http.ResponseWriter, r *http.Request) {
	e, f := d.takeCallback(w, r)
	seen := CallbackSeen{Status: http.StatusOK, Kind: e.Kind, Trust: e.Trust}
	if f != nil {
		seen.Status = f.status
	}
	if d.config.Observe.Callback != nil {
		d.config.Observe.Callback(seen)
	}
	client := clientAddr(r, d.config.TrustedProxies)
	if f != nil {
		d.config.Logger.Info("callback refused", "status", f.status, "reason", f.reason, "client", client)
		d.refuse(w, f, nil)
		return
	}
	if e.Trust == events.TrustUnproven {
		d.config.Logger.Warn("another callback came under a timestamp and nonce that are known: kept as unproven", "app", e.AppID, "kind", e.Kind, "client", client)
	}
	writeJSON(w, http.StatusOK, map[string]any{"accepted": 1, "trust": e.Trust})
}

// takeCallback does everything but the answering: body, signature, window,
// ledger, log.
func (d *Door) takeCallback(w http.ResponseWriter, r *http.Request) (e events.Event, f *fault) {
	if f := d.charge(w, d.claimRequest(r, 1)...); f != nil {
		return e, f
	}
	held := d.allow(r)
	defer held.release()
	body, f := readBody(w, r, held, maxCallback)
	if f != nil {
		return e, f
	}
	object, f := callbackObject(body)
	if f != nil {
		return e, f
	}
	now := d.config.Now()
	c, err := events.FromCallback(now, object)
	if err != nil {
		return e, refusedFault(err)
	}
	if f := d.proves(&c, now); f != nil {
		return c.Event, f
	}
	e = c.Event
	if e.Trust, f = d.trustOf(r.Context(), &c); f != nil {
		return e, f
	}
	_, _ = rand.Read(e.Salt[:]) // never fails
	if err := d.append(r.Context(), []events.Event{e}); err != nil {
		return e, d.unavailable(err)
	}
	return e, nil
}

func refusedFault(err error) *fault {
	v := verdictOf(0, err)
	f := faultf(http.StatusBadRequest, "%s", v.Error)
	f.field = v.Field
	return f
}

// proves says why a callback is not believed to be the vendor's.
func (d *Door) proves(c *events.Callback, now time.Time) *fault {
	secrets := d.config.Callbacks.Secrets[c.Event.AppID]
	switch {
	case len(secrets) == 0:
		return faultf(http.StatusUnauthorized, "no callback secret is set for app %s; set ROOMTRAIL_ZEGO_CALLBACK_SECRETS=%[1]s=SECRET", c.Event.AppID)
	case !c.Signed(secrets):
		return faultf(http.StatusUnauthorized, "the signature is not that of the callback secret of app %s", c.Event.AppID)
	case now.Sub(c.SentAt).Abs() > callbackWindow:
		return faultf(http.StatusUnauthorized, "the timestamp %s is %s off; at most %s are taken", c.Timestamp, now.Sub(c.SentAt).Round(time.Second), callbackWindow)
	}
	return nil
}

// trustOf asks the ledger. A body that comes under a triple of another may be
// forged by who has seen one request, or the vendor may use a nonce twice.
func (d *Door) trustOf(ctx context.Context, c *events.Callback) (events.Trust, *fault) {
	if d.config.Callbacks.Ledger == nil {
		return events.TrustVendor, nil
	}
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	isOther, err := d.config.Callbacks.Ledger.Claim(ctx, c.Triple(), c.Digest())
	switch {
	case err != nil:
		return "", d.unavailable(err)
	case isOther && d.config.Callbacks.Strict:
		return events.TrustUnproven, faultf(http.StatusConflict, "another callback came with this timestamp and nonce")
	case isOther:
		return events.TrustUnproven, nil
	}
	return events.TrustVendor, nil
}

// callbackObject brings the body into one JSON object: JSON, URL-encoded JSON
// or a form, whatever the content type says.
func callbackObject(body []byte) ([]byte, *fault) {
	body = bytes.TrimSpace(body)
	if len(body) > 0 && body[0] == '{' {
		return body, nil
	}
	if bytes.HasPrefix(bytes.ToUpper(body[:min(3, len(body))]), []byte("%7B")) {
		plain, err := url.QueryUnescape(string(body))
		if err != nil {
			return nil, faultf(http.StatusBadRequest, "the body is not URL-encoded JSON: %v", err)
		}
		return []byte(plain), nil
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || len(form) < 2 {
		return nil, faultf(http.StatusBadRequest, "the body is neither a JSON object nor a form; want a callback")
	}
	members := make(map[string]string, len(form))
	for name, values := range form {
		if len(values) != 1 {
			f := faultf(http.StatusBadRequest, "%.64s is given %d times", name, len(values))
			f.field = strings.ToValidUTF8(name[:min(len(name), 64)], "")
			return nil, f
		}
		members[name] = values[0]
	}
	object, err := json.Marshal(members)
	if err != nil {
		return nil, faultf(http.StatusBadRequest, "the form cannot be read: %v", err)
	}
	return object, nil
}

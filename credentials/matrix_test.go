package credentials_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"roomtrail/credentials"
	"roomtrail/events"
)

var now = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

// made are the keys of the matrix and what their users hold.
type made struct {
	set     *credentials.Set
	keys    map[string]credentials.Key
	secrets map[string]string
	private ed25519.PrivateKey
}

// make makes one key of each sort for app a, the second halves of rotations,
// revoked ones, and one of app b.
func makeKeys(t testing.TB) made {
	t.Helper()
	m := made{keys: map[string]credentials.Key{}, secrets: map[string]string{}}
	m.private = ed25519.NewKeyFromSeed([]byte("a seed of thirty-two bytes, fine"))
	var list []credentials.Key
	for i, c := range []struct {
		name, app string
		kind      credentials.Kind
		public    ed25519.PublicKey
		origin    string
		isRevoked bool
	}{
		{name: "write", app: "a", kind: credentials.Write},
		{name: "page", app: "a", kind: credentials.Write, origin: "https://app.example"},
		{name: "old write", app: "a", kind: credentials.Write, isRevoked: true},
		{name: "token", app: "a", kind: credentials.Token},
		{name: "ed", app: "a", kind: credentials.Token, public: m.private.Public().(ed25519.PublicKey)},
		{name: "old token", app: "a", kind: credentials.Token, isRevoked: true},
		{name: "server", app: "a", kind: credentials.Server},
		{name: "server 2", app: "a", kind: credentials.Server},
		{name: "old server", app: "a", kind: credentials.Server, isRevoked: true},
		{name: "other token", app: "b", kind: credentials.Token},
	} {
		k, secret := credentials.New(now.Add(-time.Hour), c.app, c.kind, c.public, [credentials.Entropy]byte{byte(i), 37: byte(i)})
		if c.origin != "" {
			k.Origins = []string{c.origin}
		}
		if err := k.Check(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		list = append(list, k)
		if c.isRevoked {
			list, k, _ = credentials.Revoke(now.Add(-time.Minute), list, k.ID)
		}
		m.keys[c.name], m.secrets[c.name] = k, secret
	}
	m.set = credentials.NewSet(list)
	return m
}

type fields map[string]any

// encode is a part of a token.
func encode(t testing.TB, v any) string {
	t.Helper()
	b, ok := v.([]byte)
	if !ok {
		var err error
		if b, err = json.Marshal(v); err != nil {
			t.Fatal(err)
		}
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// hs and ed make tokens as a customer's back end does.
func hs(t testing.TB, header, claims fields, secret string) string {
	t.Helper()
	head := encode(t, header) + "." + encode(t, claims)
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(head))
	return head + "." + encode(t, h.Sum(nil))
}

func ed(t testing.TB, header, claims fields, private ed25519.PrivateKey) string {
	t.Helper()
	head := encode(t, header) + "." + encode(t, claims)
	return head + "." + encode(t, ed25519.Sign(private, []byte(head)))
}

// claims are fresh ones with what is given on top; nil leaves one out.
func claims(more fields) fields {
	c := fields{"iat": now.Unix() - 60, "exp": now.Unix() + 300}
	for k, v := range more {
		if c[k] = v; v == nil {
			delete(c, k)
		}
	}
	return c
}

func (m *made) header(name string, more fields) fields {
	h := fields{"typ": "JWT", "alg": string(m.keys[name].Alg), "kid": m.keys[name].ID}
	for k, v := range more {
		if h[k] = v; v == nil {
			delete(h, k)
		}
	}
	return h
}

// token is a token of an HS256 key of the matrix.
func (m *made) token(t testing.TB, name string, header, c fields) credentials.Presented {
	t.Helper()
	return credentials.Presented{Bearer: hs(t, m.header(name, header), claims(c), m.secrets[name])}
}

func (m *made) request(name string, at time.Time) credentials.Presented {
	return credentials.Presented{Method: "POST", Path: "/v1/events",
		Signature: credentials.Sign(at, m.keys[name].ID, m.secrets[name], "POST", "/v1/events", []byte("body"))}
}

// session is what events of the matrix are about.
var session = events.SetKey{AppID: "a", RoomID: "r", UserID: "u", SessionID: "s"}

func TestAuthenticationMatrix(t *testing.T) {
	t.Parallel()
	m := makeKeys(t)
	type presented = credentials.Presented
	unix := now.Unix()
	changed := func(p presented, old, new string) presented {
		p.Signature, p.Bearer = strings.Replace(p.Signature, old, new, 1), strings.Replace(p.Bearer, old, new, 1)
		return p
	}
	publicAsSecret := string(m.keys["ed"].Verifier)
	none := encode(t, m.header("token", fields{"alg": "none"})) + "." + encode(t, claims(nil)) + "."
	for name, c := range map[string]struct {
		given   presented
		of      events.SetKey // what is reported; zero: session
		trust   events.Trust  // where it is taken
		foreign string        // the field that does not fit
		refused string        // where it is not taken: part of the reason
	}{
		"a write key":                        {given: presented{Bearer: m.secrets["write"]}, trust: "public"},
		"a write key, another app":           {given: presented{Bearer: m.secrets["write"]}, of: events.SetKey{AppID: "b"}, trust: "public", foreign: "app_id"},
		"a write key of any page":            {given: presented{Bearer: m.secrets["write"], Origin: "https://any.example"}, trust: "public"},
		"the second key of a rotation":       {given: presented{Bearer: m.secrets["page"], Origin: "https://app.example"}, trust: "public"},
		"a write key of another origin":      {given: presented{Bearer: m.secrets["page"], Origin: "https://evil.example"}, refused: "https://app.example"},
		"a write key of a longer origin":     {given: presented{Bearer: m.secrets["page"], Origin: "https://app.example.evil"}, refused: "may not use"},
		"a write key of no origin":           {given: presented{Bearer: m.secrets["page"]}, refused: "may not use"},
		"a revoked write key":                {given: presented{Bearer: m.secrets["old write"]}, refused: "was revoked at 2026-03-01T09:59:00Z"},
		"an unknown write key":               {given: presented{Bearer: "rtw_00"}, refused: "not known"},
		"the digest as the write key":        {given: presented{Bearer: string(m.keys["write"].Verifier)}, refused: "not known"},
		"nothing":                            {refused: "missing"},
		"an HS256 secret as the write key":   {given: presented{Bearer: m.secrets["token"]}, refused: "not known"},
		"a token":                            {given: m.token(t, "token", nil, nil), trust: "token"},
		"a token that fits in all":           {given: m.token(t, "token", nil, fields{"app": "a", "user": "u", "room": "r", "session": "s"}), trust: "token"},
		"a token, another app":               {given: m.token(t, "token", nil, nil), of: events.SetKey{AppID: "b"}, trust: "token", foreign: "app_id"},
		"a token for another user":           {given: m.token(t, "token", nil, fields{"user": "v"}), trust: "token", foreign: "user_id"},
		"a token for another room":           {given: m.token(t, "token", nil, fields{"room": "q"}), trust: "token", foreign: "room_id"},
		"a token for another session":        {given: m.token(t, "token", nil, fields{"session": "x"}), trust: "token", foreign: "session_id"},
		"a token with a number as user":      {given: m.token(t, "token", nil, fields{"user": 7}), of: events.SetKey{AppID: "a", UserID: "7"}, trust: "token"},
		"a token that claims another app":    {given: m.token(t, "token", nil, fields{"app": "b"}), refused: `of app "a"`},
		"a token with an empty user":         {given: m.token(t, "token", nil, fields{"user": ""}), refused: "user is"},
		"a token with a list of rooms":       {given: m.token(t, "token", nil, fields{"room": []string{"r"}}), refused: "room is"},
		"a claim in other letters":           {given: m.token(t, "token", nil, fields{"USER": "v"}), trust: "token"},
		"a token of the other app's key":     {given: m.token(t, "other token", nil, nil), trust: "token", foreign: "app_id"},
		"a token that has expired":           {given: m.token(t, "token", nil, fields{"iat": unix - 330, "exp": unix - 30}), refused: "expired at"},
		"within the leeway":                  {given: m.token(t, "token", nil, fields{"iat": unix - 329, "exp": unix - 29}), trust: "token"},
		"a token from the future":            {given: m.token(t, "token", nil, fields{"iat": unix + 31, "exp": unix + 60}), refused: "in the future"},
		"a clock that goes ahead a little":   {given: m.token(t, "token", nil, fields{"iat": unix + 30, "exp": unix + 60}), trust: "token"},
		"a token that lives too long":        {given: m.token(t, "token", nil, fields{"iat": unix - 1, "exp": unix + 900}), refused: "at most 15m0s"},
		"a token that lives backwards":       {given: m.token(t, "token", nil, fields{"iat": unix, "exp": unix}), refused: "not after iat"},
		"a token without an end":             {given: m.token(t, "token", nil, fields{"exp": nil}), refused: "exp is"},
		"a token without a beginning":        {given: m.token(t, "token", nil, fields{"iat": nil}), refused: "iat is"},
		"an end that is text":                {given: m.token(t, "token", nil, fields{"exp": "soon"}), refused: "exp is"},
		"an end beyond all time":             {given: m.token(t, "token", nil, fields{"exp": 1e300}), refused: "exp is"},
		"fractions of seconds":               {given: m.token(t, "token", nil, fields{"iat": float64(unix) - 0.5}), trust: "token"},
		"a token for later":                  {given: m.token(t, "token", nil, fields{"nbf": unix + 100}), refused: "nbf"},
		"a token for somebody else":          {given: m.token(t, "token", nil, fields{"aud": "another"}), refused: "aud is"},
		"a token for us among others":        {given: m.token(t, "token", nil, fields{"aud": []string{"another", "roomtrail"}}), trust: "token"},
		"a token of a revoked key":           {given: m.token(t, "old token", nil, nil), refused: "was revoked"},
		"a token of a key that is not there": {given: m.token(t, "token", fields{"kid": "token-ff"}, nil), refused: "no token key"},
		"a token without a key":              {given: m.token(t, "token", fields{"kid": nil}, nil), refused: "kid is missing"},
		"a token that names a server key":    {given: m.token(t, "server", nil, nil), refused: "no token key"},
		"a token by another secret":          {given: presented{Bearer: hs(t, m.header("token", nil), claims(nil), m.secrets["server"])}, refused: "signature is not by"},
		"a token by the empty secret":        {given: presented{Bearer: hs(t, m.header("old token", nil), claims(nil), "")}, refused: "was revoked"},
		"critical extensions":                {given: m.token(t, "token", fields{"crit": []string{"b64"}, "b64": false}, nil), refused: "crit"},
		"another type":                       {given: m.token(t, "token", fields{"typ": "JWE"}, nil), refused: "typ is"},
		"a key that comes along":             {given: m.token(t, "token", fields{"jwk": fields{"k": "AAAA"}, "jku": "https://evil.example"}, nil), trust: "token"},
		"alg none":                           {given: presented{Bearer: none}, refused: `alg is "none"`},
		"alg NONE with HS256's signature":    {given: m.token(t, "token", fields{"alg": "NONE"}, nil), refused: "alg is"},
		"no alg":                             {given: m.token(t, "token", fields{"alg": nil}, nil), refused: "alg is"},
		"alg HS512":                          {given: m.token(t, "token", fields{"alg": "HS512"}, nil), refused: "alg is"},
		"no signature":                       {given: presented{Bearer: strings.Replace(none, encode(t, m.header("token", fields{"alg": "none"})), encode(t, m.header("token", nil)), 1)}, refused: "signature is not by"},
		"an Ed25519 token":                   {given: presented{Bearer: ed(t, m.header("ed", nil), claims(fields{"user": "u"}), m.private)}, trust: "token"},
		"an Ed25519 token by another key":    {given: presented{Bearer: ed(t, m.header("ed", nil), claims(nil), ed25519.NewKeyFromSeed(make([]byte, 32)))}, refused: "signature is not by"},
		"HS256 under an Ed25519 public key":  {given: presented{Bearer: hs(t, m.header("ed", fields{"alg": "HS256"}), claims(nil), publicAsSecret)}, refused: "signs by EdDSA"},
		"EdDSA said, HS256 done":             {given: presented{Bearer: hs(t, m.header("ed", nil), claims(nil), publicAsSecret)}, refused: "signature is not by"},
		"EdDSA said of an HS256 key":         {given: presented{Bearer: ed(t, m.header("token", fields{"alg": "EdDSA"}), claims(nil), m.private)}, refused: "signs by HS256"},
		"a token whose claims were changed":  {given: changed(m.token(t, "token", nil, nil), "."+encode(t, claims(nil)), "."+encode(t, claims(fields{"user": "u"}))), refused: "signature is not by"},
		"a token with padding":               {given: presented{Bearer: m.token(t, "token", nil, nil).Bearer + "="}, refused: "signature is not by"},
		"a token with a line break":          {given: presented{Bearer: m.token(t, "token", nil, nil).Bearer + "\n"}, refused: "signature is not by"},
		"garbage with two dots":              {given: presented{Bearer: "a.b.c"}, refused: "header is no JSON object"},
		"garbage in the payload":             {given: presented{Bearer: strings.Repeat("x", 3000) + "." + strings.Repeat("y", 3000) + ".z"}, refused: "at most 4096"},
		"a request of a server":              {given: m.request("server", now), trust: "server"},
		"the second server key":              {given: m.request("server 2", now), trust: "server"},
		"a server, another app":              {given: m.request("server", now), of: events.SetKey{AppID: "b"}, trust: "server", foreign: "app_id"},
		"a request just in time":             {given: m.request("server", now.Add(-5*time.Minute)), trust: "server"},
		"a request that is old":              {given: m.request("server", now.Add(-5*time.Minute-time.Second)), refused: "want at most 5m0s"},
		"a request from the future":          {given: m.request("server", now.Add(5*time.Minute+time.Second)), refused: "want at most 5m0s"},
		"a revoked server key":               {given: m.request("old server", now), refused: "was revoked"},
		"a server key that is not there":     {given: changed(m.request("server", now), "keyid=server", "keyid=sever"), refused: "no server key"},
		"a token key that signs a request":   {given: m.request("token", now), refused: "no server key"},
		"a request signed for another time":  {given: changed(m.request("server", now), "time=1772359200", "time=1772359201"), refused: "sig is not that of"},
		"a request to another path":          {given: presented{Method: "POST", Path: "/v1/alive", Signature: m.request("server", now).Signature}, refused: "sig is not that of"},
		"a request by another method":        {given: presented{Method: "PUT", Path: "/v1/events", Signature: m.request("server", now).Signature}, refused: "sig is not that of"},
		"half a signature":                   {given: presented{Signature: "keyid=x,time=1,sig=ab"}, refused: "64 hex digits"},
		"a member twice":                     {given: presented{Signature: m.request("server", now).Signature + ",keyid=y"}, refused: "each once"},
		"a garbled signature":                {given: presented{Signature: ",,,="}, refused: "want keyid="},
		"two credentials at once":            {given: presented{Bearer: m.secrets["write"], Signature: m.request("server", now).Signature}, refused: "send one of them"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, err := m.set.Check(now, c.given)
			if err == nil {
				err = from.Confirm(sha256.Sum256([]byte("body")))
			}
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) {
					t.Fatalf("answered %+v, %v; want a refusal with %q", from, err, c.refused)
				}
				for _, secret := range m.secrets {
					if secret != "" && strings.Contains(err.Error(), secret) {
						t.Errorf("the refusal repeats a secret: %v", err)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			of := c.of
			if of == (events.SetKey{}) {
				of = session
			}
			got := ""
			if r := from.Refuses(of); r != nil {
				got = r.Field
			}
			if from.Trust != c.trust || got != c.foreign || from.KeyID == "" {
				t.Errorf("trust %q of key %q, refused by field %q; want %q and %q", from.Trust, from.KeyID, got, c.trust, c.foreign)
			}
		})
	}
}

func TestAChangedBodyIsNotConfirmed(t *testing.T) {
	t.Parallel()
	m := makeKeys(t)
	from, err := m.set.Check(now, m.request("server", now))
	if err != nil || !from.IsSigned() {
		t.Fatalf("a signed request: %+v, %v", from, err)
	}
	if err := from.Confirm(sha256.Sum256([]byte("another body"))); err == nil {
		t.Error("another body was confirmed")
	}
}

func TestWithoutAnyKeyEverMadeAllMaySend(t *testing.T) {
	t.Parallel()
	empty := credentials.NewSet(nil)
	for _, bearer := range []string{"", "anything", "a.b.c"} {
		from, err := empty.Check(now, credentials.Presented{Bearer: bearer})
		if err != nil || from.Trust != events.TrustPublic || from.Refuses(session) != nil {
			t.Errorf("with %q: %+v, %v", bearer, from, err)
		}
	}
	k, _ := credentials.New(now, "a", credentials.Write, nil, [credentials.Entropy]byte{})
	revoked, _, _ := credentials.Revoke(now, []credentials.Key{k}, k.ID)
	for name, list := range map[string][]credentials.Key{"a revoked key": revoked, "a broken key": {{}}} {
		s := credentials.NewSet(list)
		if _, err := s.Check(now, credentials.Presented{}); err == nil || !s.Made() || s.Active() != 0 {
			t.Errorf("%s: made %v, %d active, %v; want a door that stays closed", name, s.Made(), s.Active(), err)
		}
	}
}

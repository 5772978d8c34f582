package credentials_test

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"roomtrail/credentials"
)

func TestAThirdKeyIsRefusedUntilOneIsRevoked(t *testing.T) {
	t.Parallel()
	var list []credentials.Key
	add := func(kind credentials.Kind, n byte) (credentials.Key, error) {
		k, _ := credentials.New(now, "a", kind, nil, [credentials.Entropy]byte{n})
		longer, err := credentials.Add(list, k)
		if err == nil {
			list = longer
		}
		return k, err
	}
	first, err := add(credentials.Write, 1)
	if err != nil {
		t.Fatal(err)
	}
	second, err := add(credentials.Write, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := add(credentials.Server, 3); err != nil {
		t.Errorf("a key of another kind: %v", err)
	}
	if _, err = add(credentials.Write, 4); err == nil || !strings.Contains(err.Error(), first.ID) || !strings.Contains(err.Error(), second.ID) {
		t.Errorf("the third: %v; want a refusal that names %s and %s", err, first.ID, second.ID)
	}
	list, _, _ = credentials.Revoke(now, list, first.ID)
	if _, err = add(credentials.Write, 4); err != nil {
		t.Errorf("the third after one was revoked: %v", err)
	}
	if _, err = add(credentials.Token, 3); err != nil {
		t.Errorf("an id of another kind is another id: %v", err)
	}
	if _, err = add(credentials.Token, 3); err == nil || !strings.Contains(err.Error(), "is taken") {
		t.Errorf("an id twice: %v", err)
	}
}

func TestRevokingForgetsWhatCouldSign(t *testing.T) {
	t.Parallel()
	m := makeKeys(t)
	if k := m.keys["old token"]; len(k.Verifier) != 0 {
		t.Errorf("the secret of a revoked key is still there: %d bytes", len(k.Verifier))
	}
	list := []credentials.Key{m.keys["old token"]}
	again, k, ok := credentials.Revoke(now.Add(time.Hour), list, list[0].ID)
	if !ok || !k.RevokedAt.Equal(list[0].RevokedAt) || len(again) != 1 {
		t.Errorf("revoked again: %+v, %v; want it as it was", k, ok)
	}
	if _, _, ok := credentials.Revoke(now, list, "write-00"); ok {
		t.Error("a key that is not there was revoked")
	}
}

// What is printed of a write key is not what is kept.
func TestAWriteKeyIsKeptByDigestAlone(t *testing.T) {
	t.Parallel()
	k, secret := credentials.New(now, "a", credentials.Write, nil, [credentials.Entropy]byte{7})
	if bytes.Contains(k.Verifier, []byte(secret)) || len(k.Verifier) != 32 || !strings.HasPrefix(secret, "rtw_") {
		t.Errorf("kept %x of %q", k.Verifier, secret)
	}
}

func TestKeysThatMakeNoSense(t *testing.T) {
	t.Parallel()
	good := func() credentials.Key {
		k, _ := credentials.New(now, "a", credentials.Write, nil, [credentials.Entropy]byte{})
		return k
	}
	for name, c := range map[string]struct {
		spoil func(*credentials.Key)
		want  string
	}{
		"no app":                      {func(k *credentials.Key) { k.App = "" }, "1 to 255 bytes"},
		"an app that no event has":    {func(k *credentials.Key) { k.App = "a\x00" }, "1 to 255 bytes"},
		"an unknown kind":             {func(k *credentials.Key) { k.Kind = "read" }, "want write, token or server"},
		"an id with a dot":            {func(k *credentials.Key) { k.ID = "a.b" }, "letters, digits and dashes"},
		"an origin with a path":       {func(k *credentials.Key) { k.Origins = []string{"https://a.example/x"} }, "no path"},
		"an origin without a scheme":  {func(k *credentials.Key) { k.Origins = []string{"a.example"} }, "https://app.example"},
		"an origin in capitals":       {func(k *credentials.Key) { k.Origins = []string{"https://A.example"} }, "lower case"},
		"any origin":                  {func(k *credentials.Key) { k.Origins = []string{"*"} }, "https://app.example"},
		"a write key that signs":      {func(k *credentials.Key) { k.Alg = credentials.HS256 }, "no alg"},
		"a write key in plain":        {func(k *credentials.Key) { k.Verifier = []byte("rtw_0000") }, "SHA-256"},
		"a server key of Ed25519":     {func(k *credentials.Key) { k.Kind, k.Alg = credentials.Server, credentials.EdDSA }, "want HS256"},
		"a token key of no algorithm": {func(k *credentials.Key) { k.Kind, k.Alg = credentials.Token, "none" }, "want HS256"},
		"a short secret":              {func(k *credentials.Key) { k.Kind, k.Alg, k.Verifier = credentials.Token, "HS256", []byte("short") }, "at least 32"},
		"a public key that is too long": {func(k *credentials.Key) {
			k.Kind, k.Alg, k.Verifier = credentials.Token, "EdDSA", make([]byte, ed25519.PrivateKeySize)
		}, "the 32 of Ed25519"},
		"a token key of one origin": {func(k *credentials.Key) {
			k.Kind, k.Alg, k.Origins = credentials.Token, "EdDSA", []string{"https://a.example"}
		}, "leave them out"},
	} {
		k := good()
		c.spoil(&k)
		if _, err := credentials.Add(nil, k); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want a refusal with %q", name, err, c.want)
		}
	}
	if _, err := credentials.Add(nil, good()); err != nil {
		t.Errorf("a good key: %v", err)
	}
}

package main

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"roomtrail/commandline"
	"roomtrail/commandline/commandlinetest"
	"roomtrail/credentials"
)

// made is what `keys add -o json` says.
type made struct{ ID, Secret string }

func addKey(t *testing.T, args ...string) (k made) {
	t.Helper()
	code, stdout, stderr := command(t, "", append([]string{"keys", "add", "-o", "json"}, args...)...)
	if code != commandline.Done {
		t.Fatalf("keys add %v: exit %d, %s", args, code, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), &k); err != nil {
		t.Fatalf("%s: %v", stdout, err)
	}
	return k
}

// report sends one event and says how it was answered.
func report(t *testing.T, url string, header ...string) int {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url+"/v1/events", strings.NewReader(lines(1)))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

func bearerOf(secret string) []string { return []string{"Authorization", "Bearer " + secret} }

// signToken makes a token as a customer's back end does.
func signToken(kid, alg string, sign func([]byte) []byte) string {
	part := base64.RawURLEncoding.EncodeToString
	head := part(fmt.Appendf(nil, `{"alg":%q,"kid":%q}`, alg, kid)) + "." +
		part(fmt.Appendf(nil, `{"iat":%d,"exp":%d,"user":"u0"}`, time.Now().Unix(), time.Now().Unix()+60))
	return head + "." + part(sign([]byte(head)))
}

// Keys are made, rotated and revoked while the stack takes events, and the door
// hears of it without a restart.
func TestKeysOfARunningStack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	url, stop := serving(t, dir)
	if got := report(t, url); got != http.StatusOK {
		t.Fatalf("before any key: %d", got)
	}
	first := addKey(t, "--data-dir", dir, "--app", "app")
	eventually(t, "a door that wants a key", func() bool { return report(t, url) == http.StatusUnauthorized })
	if got := report(t, url, bearerOf(first.Secret)...); got != http.StatusOK {
		t.Errorf("with the key: %d", got)
	}

	second := addKey(t, "--data-dir", dir, "--app", "app", "--origin", "https://app.example")
	eventually(t, "the second key", func() bool {
		return report(t, url, append(bearerOf(second.Secret), "Origin", "https://app.example")...) == http.StatusOK
	})
	if got := report(t, url, bearerOf(second.Secret)...); got != http.StatusUnauthorized {
		t.Errorf("the second key from elsewhere: %d", got)
	}
	code, _, stderr := command(t, "", "keys", "add", "--data-dir", dir, "--app", "app")
	if code != commandline.Failed || !strings.Contains(stderr, first.ID) || !strings.Contains(stderr, second.ID) || !strings.Contains(stderr, "revoke one first") {
		t.Errorf("a third key: exit %d, %s", code, stderr)
	}

	code, stdout, stderr := command(t, "", "keys", "revoke", "--data-dir", dir, first.ID)
	if code != commandline.Done || !strings.Contains(stdout, first.ID) {
		t.Errorf("revoke: exit %d, %s%s", code, stdout, stderr)
	}
	eventually(t, "the end of the first key", func() bool { return report(t, url, bearerOf(first.Secret)...) == http.StatusUnauthorized })

	token := addKey(t, "--data-dir", dir, "--app", "app", "--kind", "token")
	jwt := signToken(token.ID, "HS256", func(b []byte) []byte {
		h := hmac.New(sha256.New, []byte(token.Secret))
		h.Write(b)
		return h.Sum(nil)
	})
	eventually(t, "a token", func() bool { return report(t, url, bearerOf(jwt)...) == http.StatusOK })
	server := addKey(t, "--data-dir", dir, "--app", "app", "--kind", "server")
	signature := credentials.Sign(time.Now(), server.ID, server.Secret, "POST", "/v1/events", []byte(lines(1)))
	eventually(t, "a signature", func() bool { return report(t, url, credentials.SignatureHeader, signature) == http.StatusOK })
	eventually(t, "trust", func() bool {
		return rows(t, dir, "SELECT count(DISTINCT trust) FROM room_events WHERE trust IN ('public','token','server')") == 3
	})

	code, stdout, stderr = command(t, "", "keys", "list", "--data-dir", dir)
	for _, want := range []string{first.ID, second.ID, token.ID, server.ID, "https://app.example", "HS256"} {
		if code != commandline.Done || !strings.Contains(stdout, want) {
			t.Errorf("list: exit %d, without %s: %s%s", code, want, stdout, stderr)
		}
	}
	for _, secret := range []string{first.Secret, second.Secret, token.Secret, server.Secret} {
		if strings.Contains(stdout, secret) {
			t.Error("the list shows a secret")
		}
	}
	if res, err := http.Get(url + "/internal/keys"); err != nil || res.StatusCode != http.StatusUnauthorized {
		t.Errorf("keys without the owner's key: %v, %v", res, err)
	}
	if got := report(t, url+"/internal/keys?", bearerOf(second.Secret)...); got == http.StatusOK {
		t.Error("a write key makes keys")
	}

	// Without a stack the same keys, and they count when it is back.
	stop()
	if code, _, stderr := command(t, "", "keys", "revoke", "--data-dir", dir, second.ID, "-o", "json"); code != commandline.Done {
		t.Errorf("revoke without a stack: exit %d, %s", code, stderr)
	}
	url, _ = serving(t, dir)
	if got := report(t, url); got != http.StatusUnauthorized {
		t.Errorf("without a key after a restart: %d", got)
	}
	if got := report(t, url, bearerOf(jwt)...); got != http.StatusOK {
		t.Errorf("the token after a restart: %d", got)
	}
	if got := report(t, url, append(bearerOf(second.Secret), "Origin", "https://app.example")...); got != http.StatusUnauthorized {
		t.Errorf("the second key after it was revoked: %d", got)
	}
}

// The keys of the bucket are enough for an address that others reach.
func TestADoorForAllOpensOnceAKeyIsThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	args := []string{"serve", "--role", "intake", "--data-dir", dir, "--listen", "0.0.0.0:0"}
	if code, _, stderr := command(t, "", args...); code != commandline.Usage || !strings.Contains(stderr, "ingest keys add") {
		t.Fatalf("without a key: exit %d, %s", code, stderr)
	}
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, filepath.Join(t.TempDir(), "public.pem"), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	k := addKey(t, "--data-dir", dir, "--app", "app", "--kind", "token", "--alg", "EdDSA", "--public-key", file)
	if k.Secret != "" || k.ID == "" {
		t.Errorf("an EdDSA key is made as %+v; want no secret", k)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out, errs commandlinetest.Output
	if code := run(ctx, args, strings.NewReader(""), &out, &errs, nil); code == commandline.Usage {
		t.Errorf("with a key: exit %d, %s", code, errs.String())
	}
}

func TestKeysThatCannotBeMade(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rsa := write(t, filepath.Join(dir, "private.pem"), []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no app":                 {[]string{}, "--app"},
		"an empty app":           {[]string{"--app", ""}, "1 to 255 bytes"},
		"an unknown kind":        {[]string{"--app", "a", "--kind", "read"}, "write"},
		"an origin with a path":  {[]string{"--app", "a", "--origin", "https://a.example/page"}, "https://app.example"},
		"an origin of a server":  {[]string{"--app", "a", "--kind", "server", "--origin", "https://a.example"}, "leave them out"},
		"EdDSA of a write key":   {[]string{"--app", "a", "--alg", "EdDSA"}, "--kind token"},
		"EdDSA without its key":  {[]string{"--app", "a", "--kind", "token", "--alg", "EdDSA"}, "--public-key FILE"},
		"a public key for HS256": {[]string{"--app", "a", "--kind", "token", "--public-key", rsa}, "--alg EdDSA"},
		"a private key":          {[]string{"--app", "a", "--kind", "token", "--alg", "EdDSA", "--public-key", rsa}, "openssl pkey"},
	} {
		code, _, stderr := command(t, "", append([]string{"keys", "add", "--data-dir", dir}, c.args...)...)
		if code != commandline.Usage || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit %d, %s; want 2 and %q", name, code, stderr, c.want)
		}
	}
	code, _, stderr := command(t, "", "keys", "revoke", "--data-dir", dir, "write-00")
	if code != commandline.Failed || !strings.Contains(stderr, "keys list") {
		t.Errorf("revoke what is not there: exit %d, %s", code, stderr)
	}
	if code, stdout, stderr := command(t, "", "keys", "list", "--data-dir", dir); code != commandline.Done || !strings.Contains(stdout, "No key") {
		t.Errorf("an empty list: exit %d, %s%s", code, stdout, stderr)
	}
}

// With a server that is named, no stack has to run.
func TestKeysOfANamedServer(t *testing.T) {
	t.Parallel()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, JetStream: true, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server is not ready")
	}
	k := addKey(t, "--nats-url", s.ClientURL(), "--app", "app", "--kind", "server")
	code, stdout, stderr := command(t, "", "keys", "list", "--nats-url", s.ClientURL(), "-o", "json")
	if code != commandline.Done || !strings.Contains(stdout, k.ID) || strings.Contains(stdout, "verifier") {
		t.Errorf("list: exit %d, %s%s", code, stdout, stderr)
	}
	if code, _, stderr := command(t, "", "keys", "list", "--nats-url", "nats://127.0.0.1:1"); code != commandline.Failed || !strings.Contains(stderr, "connect to NATS_URL") {
		t.Errorf("a server that is not there: exit %d, %s", code, stderr)
	}
}

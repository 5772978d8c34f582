package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"roomtrail/commandline"
	"roomtrail/credentials"
)

// keys makes, shows and ends the credentials of those who send events.
type keys struct {
	Add    keysAdd    `cmd:"" help:"Make a key for an app, and show its secret this once."`
	List   keysList   `cmd:"" help:"Show the keys of all apps; never a secret."`
	Revoke keysRevoke `cmd:"" help:"End a key; intakes stop taking it within a second."`
}

// keysFlags are where the keys are, and how they are shown.
type keysFlags struct {
	NATSURL string `name:"nats-url" env:"NATS_URL" placeholder:"URL" help:"NATS server that keeps the keys. Without it those of the stack under --data-dir, running or not."`
	DataDir string `env:"ROOMTRAIL_DATA_DIR" default:".roomtrail" placeholder:"DIR" help:"Where the embedded servers keep their data (default ${default})."`
	Output  string `short:"o" enum:"table,json" default:"table" help:"table or json."`
}

// keysAdd makes a key: a public one for pages, one that signs tokens, or one
// that signs a server's requests.
type keysAdd struct {
	keysFlags
	App       string   `required:"" help:"App whose events it is for: their app_id."`
	Kind      string   `enum:"write,token,server" default:"write" help:"write (public, for pages and apps), token (signs short-lived tokens of users) or server (signs requests of a back end)."`
	Alg       string   `enum:"HS256,EdDSA" default:"HS256" help:"How tokens are signed: HS256 by a secret that is made here, EdDSA by a key of your own."`
	PublicKey string   `placeholder:"FILE" help:"Ed25519 public key in PEM, for EdDSA: openssl pkey -in key.pem -pubout."`
	Origin    []string `placeholder:"ORIGIN,…" help:"Pages that alone may use a write key, such as https://app.example; all unless set."`
}

func (a *keysAdd) Run(t *terminal) error {
	public, err := a.public()
	if err != nil {
		return &commandline.UsageError{Err: err}
	}
	var entropy [credentials.Entropy]byte
	_, _ = rand.Read(entropy[:]) // never fails
	k, secret := credentials.New(time.Now(), a.App, credentials.Kind(a.Kind), public, entropy)
	k.Origins = a.Origin
	if err := k.Check(); err != nil {
		return &commandline.UsageError{Err: err}
	}
	err = a.with(t, func(ring keyring) error { return ring.Add(t.ctx, k) })
	if err != nil {
		return fmt.Errorf("add key: %w", err)
	}
	k.Verifier = nil
	if a.Output == "json" {
		return printJSON(t, struct {
			credentials.Key
			Secret string `json:"secret,omitempty"`
		}{k, secret})
	}
	printKeys(t, []credentials.Key{k})
	if secret != "" {
		fmt.Fprintf(t.stdout, "\nIts secret, which is shown this once:\n\n  %s\n", secret)
	}
	fmt.Fprintf(t.stdout, "\n%s\n", howTo(k))
	return nil
}

// public is the key of --public-key, which goes with EdDSA alone.
func (a *keysAdd) public() (ed25519.PublicKey, error) {
	switch isEdDSA := a.Alg == string(credentials.EdDSA); {
	case isEdDSA && a.Kind != string(credentials.Token):
		return nil, fmt.Errorf("--alg EdDSA with --kind %s: only tokens are signed by it; add --kind token", a.Kind)
	case isEdDSA && a.PublicKey == "":
		return nil, errors.New("--alg EdDSA: its public key is missing; add --public-key FILE")
	case !isEdDSA && a.PublicKey != "":
		return nil, fmt.Errorf("--public-key with --alg %s: add --alg EdDSA", a.Alg)
	case !isEdDSA:
		return nil, nil
	}
	text, err := os.ReadFile(a.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("read public key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PUBLIC KEY" {
		return nil, fmt.Errorf("public key %s: want PEM with a block PUBLIC KEY, as `openssl pkey -in key.pem -pubout` writes", a.PublicKey)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("public key %s: %w", a.PublicKey, err)
	}
	public, ok := key.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("public key %s: it is a %T; want Ed25519", a.PublicKey, key)
	}
	return public, nil
}

// howTo says how a new key is used.
func howTo(k credentials.Key) string {
	switch k.Kind {
	case credentials.Token:
		return fmt.Sprintf(`Tokens (JWT) that your back end signs with it by %s are taken as "Authorization: Bearer TOKEN":
header kid %s; claims iat and exp, at most 15 minutes apart; of user, room and session those it is restricted to.`, k.Alg, k.ID)
	case credentials.Server:
		return fmt.Sprintf(`Send each request with the header
  %s: keyid=%s,time=UNIX SECONDS,sig=HEX
where sig is the HMAC-SHA256 by the secret of METHOD\nPATH\nTIME\nHEX SHA-256 OF THE BODY AS SENT.`, credentials.SignatureHeader, k.ID)
	}
	return `Send it with each report as "Authorization: Bearer SECRET", or where headers cannot be set as ?key=SECRET.`
}

type keysList struct{ keysFlags }

func (l *keysList) Run(t *terminal) error {
	var list []credentials.Key
	err := l.with(t, func(ring keyring) (err error) {
		list, err = ring.List(t.ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("list keys: %w", err)
	}
	for i := range list {
		list[i].Verifier = nil
	}
	if l.Output == "json" {
		return printJSON(t, append([]credentials.Key{}, list...)) // [] where there are none
	}
	if len(list) == 0 {
		fmt.Fprintln(t.stdout, "No key has been made here. Those of ROOMTRAIL_WRITE_KEYS are known to the intake alone.")
		return nil
	}
	printKeys(t, list)
	return nil
}

type keysRevoke struct {
	keysFlags
	ID string `arg:"" help:"Id of the key, as keys list shows it."`
}

func (r *keysRevoke) Run(t *terminal) error {
	var k credentials.Key
	err := r.with(t, func(ring keyring) (err error) {
		k, err = ring.Revoke(t.ctx, time.Now(), r.ID)
		return err
	})
	if err != nil {
		return fmt.Errorf("revoke key: %w", err)
	}
	k.Verifier = nil
	if r.Output == "json" {
		return printJSON(t, k)
	}
	printKeys(t, []credentials.Key{k})
	return nil
}

func printKeys(t *terminal, list []credentials.Key) {
	w := table.NewWriter()
	w.SetStyle(table.StyleLight)
	w.AppendHeader(table.Row{"id", "app", "kind", "alg", "origins", "made", "revoked"})
	for _, k := range list {
		revoked := ""
		if !k.Active() {
			revoked = k.RevokedAt.Local().Format("2006-01-02 15:04:05")
		}
		w.AppendRow(table.Row{k.ID, k.App, k.Kind, k.Alg, strings.Join(k.Origins, "\n"), k.CreatedAt.Local().Format("2006-01-02 15:04:05"), revoked})
	}
	fmt.Fprintln(t.stdout, w.Render())
}

func printJSON(t *terminal, v any) error {
	e := json.NewEncoder(t.stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

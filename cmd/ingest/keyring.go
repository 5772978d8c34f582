package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"roomtrail/credentials"
	"roomtrail/embedded"
	"roomtrail/pipeline"
)

// keyring is where the keys are: in the bucket, or behind the door of the
// process that has it.
type keyring interface {
	List(ctx context.Context) ([]credentials.Key, error)
	Add(ctx context.Context, k credentials.Key) error
	Revoke(ctx context.Context, now time.Time, id string) (credentials.Key, error)
}

// with chooses as an import does: the server that is named, the running stack,
// or the stack's own NATS, started for this one command.
func (f *keysFlags) with(t *terminal, do func(keyring) error) error {
	if f.NATSURL != "" {
		conn, err := nats.Connect(f.NATSURL, nats.Name("roomtrail keys"))
		if err != nil {
			return fmt.Errorf("connect to NATS_URL: %w", err)
		}
		defer conn.Close()
		return onBucket(t, conn, do)
	}
	running, err := embedded.Find(f.DataDir)
	switch {
	case err == nil && running.IntakeURL != "" && running.ImportKey != "":
		return do(&doorKeys{url: running.IntakeURL + pipeline.KeysPath, key: running.ImportKey})
	case err == nil:
		return fmt.Errorf("process %d runs the stack in %s without an intake, through which its keys are reached; stop it, or set NATS_URL", running.PID, f.DataDir)
	case !errors.Is(err, embedded.ErrNotRunning):
		return err
	}
	return f.embedded(t, do)
}

// embedded starts no more than the bucket needs.
func (f *keysFlags) embedded(t *terminal, do func(keyring) error) (err error) {
	dir, err := embedded.OpenDir(f.DataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	server, err := embedded.StartNATS(embedded.NATSConfig{Dir: filepath.Join(f.DataDir, "nats"), Logger: t.logger()})
	if err != nil {
		return err
	}
	defer server.Close()
	conn, err := server.Connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	return onBucket(t, conn, do)
}

func onBucket(t *terminal, conn *nats.Conn, do func(keyring) error) error {
	ring, err := pipeline.OpenKeyring(t.ctx, conn, 0)
	if err != nil {
		return err
	}
	return do(ring)
}

// doorKeys asks the process that has the bucket.
type doorKeys struct{ url, key string }

func (d *doorKeys) List(ctx context.Context) (list []credentials.Key, err error) {
	return list, askOwnersDoor(ctx, http.MethodGet, d.url, d.key, nil, &list)
}

func (d *doorKeys) Add(ctx context.Context, k credentials.Key) error {
	return askOwnersDoor(ctx, http.MethodPost, d.url, d.key, k, nil)
}

// Revoke leaves the time to the process that does it.
func (d *doorKeys) Revoke(ctx context.Context, _ time.Time, id string) (k credentials.Key, err error) {
	return k, askOwnersDoor(ctx, http.MethodPost, d.url+"/"+url.PathEscape(id)+"/revoke", d.key, nil, &k)
}

// askOwnersDoor asks what only the owner of the data directory may, with the
// key of endpoint.json.
func askOwnersDoor(ctx context.Context, method, url, key string, send, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var body io.Reader
	if send != nil {
		b, err := json.Marshal(send)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		said, err := io.ReadAll(res.Body)
		if err != nil {
			return err
		}
		if text := strings.TrimSpace(string(said)); res.StatusCode == http.StatusConflict {
			return errors.New(text) // as the bucket itself would say it
		}
		return fmt.Errorf("the intake answers %s: %s", res.Status, bytes.TrimSpace(said))
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(into)
}

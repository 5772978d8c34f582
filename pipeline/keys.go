package pipeline

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"roomtrail/credentials"
	"roomtrail/eventlog"
	"roomtrail/intake"
)

// Keyring is the keys of all apps in their bucket beside the log. A change is
// one compare-and-swap of its app's list, so that two at once cannot make three
// keys of two.
type Keyring struct{ bucket *eventlog.Keys }

// OpenKeyring opens the keys of the log that a server keeps.
func OpenKeyring(ctx context.Context, nc *nats.Conn, replicas int) (*Keyring, error) {
	bucket, err := eventlog.OpenKeys(ctx, nc, replicas)
	if err != nil {
		return nil, err
	}
	return &Keyring{bucket}, nil
}

// RefusedKeyError is a change that the rules of keys refuse.
type RefusedKeyError struct{ err error }

func (e *RefusedKeyError) Error() string { return e.err.Error() }
func (e *RefusedKeyError) Unwrap() error { return e.err }

// List reads all keys, by app and age. An error beside keys says which cannot be
// read.
func (r *Keyring) List(ctx context.Context) ([]credentials.Key, error) {
	values, err := r.bucket.List(ctx)
	if err != nil {
		return nil, err
	}
	return readKeys(values)
}

// readKeys reads the lists of all apps. One that cannot be read is an empty key:
// it lets nobody in, and keeps a door closed that has no other.
func readKeys(values [][]byte) (all []credentials.Key, err error) {
	for _, v := range values {
		var keys []credentials.Key
		if wrong := json.Unmarshal(v, &keys); wrong != nil {
			err = errors.Join(err, fmt.Errorf("the keys of an app cannot be read: %w", wrong))
			keys = []credentials.Key{{}}
		}
		all = append(all, keys...)
	}
	slices.SortFunc(all, func(a, b credentials.Key) int {
		return cmp.Or(cmp.Compare(a.App, b.App), a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return all, err
}

// Add adds a key to its app's.
func (r *Keyring) Add(ctx context.Context, k credentials.Key) error {
	return r.change(ctx, k.App, func(list []credentials.Key) ([]credentials.Key, error) {
		return credentials.Add(list, k)
	})
}

// Revoke ends the key of the id. Intakes hear of it within a second.
func (r *Keyring) Revoke(ctx context.Context, now time.Time, id string) (revoked credentials.Key, err error) {
	all, err := r.List(ctx)
	i := slices.IndexFunc(all, func(k credentials.Key) bool { return k.ID == id })
	if i < 0 {
		return revoked, cmp.Or(err, error(&RefusedKeyError{fmt.Errorf("key %q is not there; `ingest keys list` shows those that are", id)}))
	}
	err = r.change(ctx, all[i].App, func(list []credentials.Key) ([]credentials.Key, error) {
		list, revoked, _ = credentials.Revoke(now, list, id) // keys are never taken away
		return list, nil
	})
	return revoked, err
}

// change replaces the list of an app, and decides again where another did so
// meanwhile.
func (r *Keyring) change(ctx context.Context, app string, decide func([]credentials.Key) ([]credentials.Key, error)) error {
	for {
		value, revision, err := r.bucket.Get(ctx, app)
		if err != nil {
			return err
		}
		var list []credentials.Key
		if value != nil {
			if err := json.Unmarshal(value, &list); err != nil {
				return fmt.Errorf("read keys of app %s: %w", app, err)
			}
		}
		if list, err = decide(list); err != nil {
			return &RefusedKeyError{err}
		}
		if value, err = json.Marshal(list); err != nil {
			return fmt.Errorf("write keys of app %s: %w", app, err)
		}
		if err = r.bucket.Put(ctx, app, value, revision); !errors.Is(err, eventlog.ErrChanged) {
			return err
		}
	}
}

// openKeys reads who may send. It comes before the slow servers: a door that
// would be open to everybody is refused at once.
func (p *Pipeline) openKeys(ctx context.Context) (err error) {
	if !p.config.Intake || p.config.Listen == "" {
		return nil
	}
	if p.keyring, err = OpenKeyring(ctx, p.conn, p.config.Replicas); err != nil {
		return err
	}
	values, err := p.keyring.bucket.List(ctx)
	if err != nil {
		return err
	}
	p.useKeys(values)
	if err := intake.CheckListen(p.config.Listen, p.Keys().Made()); err != nil {
		return err
	}
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	p.stopKeys = stop
	p.following.Go(func() { p.followKeys(following) })
	return nil
}

// useKeys makes the keys of the bucket, beside those of the settings, the ones
// that count. A revoked one comes last, so that it counts as that.
func (p *Pipeline) useKeys(values [][]byte) {
	keys, err := readKeys(values)
	if err != nil {
		p.config.Logger.Error("keys of an app let nobody in", "error", err)
	}
	p.keys.Store(credentials.NewSet(append(p.config.Keys.Credentials(), keys...)))
}

// followKeys hears of changes. Now and then it reads all anew: a watch that has
// silently come to nothing must not keep a revoked key alive. While the server
// does not answer, the keys of before count.
func (p *Pipeline) followKeys(ctx context.Context) {
	for ctx.Err() == nil {
		reading, enough := context.WithTimeout(ctx, rereadKeys)
		err := p.keyring.bucket.Follow(reading, p.useKeys)
		enough()
		if ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
			p.config.Logger.Warn("changes of keys are not heard; trying again", "error", err)
			_ = wait(ctx, time.Second)
		}
	}
}

// rereadKeys is how long one watch is trusted.
const rereadKeys = time.Minute

// Keys are those that count now.
func (p *Pipeline) Keys() *credentials.Set { return p.keys.Load() }

// KeysPath is where a command on the same machine reaches the keys of a log
// that runs inside this process, by the key of endpoint.json.
const KeysPath = "/internal/keys"

// handleKeys opens that way.
func (p *Pipeline) handleKeys(door *intake.Door) {
	if p.dir == nil {
		return // no endpoint is published: commands reach the server itself
	}
	door.Handle("GET "+KeysPath, p.ownersOnly(func(r *http.Request) (any, error) {
		keys, err := p.keyring.List(r.Context())
		for i := range keys {
			keys[i].Verifier = nil
		}
		return keys, err
	}))
	door.Handle("POST "+KeysPath, p.ownersOnly(func(r *http.Request) (any, error) {
		var k credentials.Key
		if err := json.NewDecoder(r.Body).Decode(&k); err != nil {
			return nil, &RefusedKeyError{fmt.Errorf("read key: %w", err)}
		}
		return nil, p.keyring.Add(r.Context(), k)
	}))
	door.Handle("POST "+KeysPath+"/{id}/revoke", p.ownersOnly(func(r *http.Request) (any, error) {
		k, err := p.keyring.Revoke(r.Context(), time.Now(), r.PathValue("id"))
		k.Verifier = nil
		return k, err
	}))
}

// ownersOnly answers who can read endpoint.json.
func (p *Pipeline) ownersOnly(do func(*http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte("Bearer "+p.importKey)) != 1 {
			http.Error(w, "this is for commands of the owner of the data directory", http.StatusUnauthorized)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		answer, err := do(r)
		var refused *RefusedKeyError
		switch {
		case errors.As(err, &refused):
			http.Error(w, err.Error(), http.StatusConflict)
		case err != nil:
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		default:
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Cache-Control", "no-store")
			_ = json.NewEncoder(w).Encode(answer) // who asked may have gone
		}
	})
}

package eventlog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// keysBucket is where the keys of senders stand.
const keysBucket = "ROOM_KEYS"

// Keys is a bucket beside the log, so that an intake needs no database to know
// who may send: one value for each app, whose meaning is its users'.
type Keys struct{ bucket jetstream.KeyValue }

// ErrChanged says that a value was not put, since another stands there by now.
var ErrChanged = errors.New("changed by somebody else")

// OpenKeys opens the bucket, and makes it where it is missing. It gets as many
// replicas as are asked for, never fewer than it has: the command that adds the
// first key knows nothing of the cluster.
func OpenKeys(ctx context.Context, nc *nats.Conn, replicas int) (*Keys, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", keysBucket, err)
	}
	want := jetstream.KeyValueConfig{
		Bucket: keysBucket, Description: "Roomtrail: who may send events, by app",
		// Of a value that was replaced nothing is kept: a revoked secret is gone.
		History: 1, Storage: jetstream.FileStorage, Replicas: max(replicas, 1),
	}
	bucket, err := js.KeyValue(ctx, keysBucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		bucket, err = js.CreateKeyValue(ctx, want)
		if errors.Is(err, jetstream.ErrBucketExists) { // another was faster
			bucket, err = js.KeyValue(ctx, keysBucket)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", keysBucket, err)
	}
	status, err := bucket.Status(ctx)
	if err == nil && status.Config().Replicas < want.Replicas {
		bucket, err = js.UpdateKeyValue(ctx, want)
	}
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", keysBucket, err)
	}
	return &Keys{bucket}, nil
}

// Get reads the value of an app and its revision; nil and 0 where it has none.
func (k *Keys) Get(ctx context.Context, app string) (value []byte, revision uint64, err error) {
	entry, err := k.bucket.Get(ctx, nameOf(app))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read keys of app %s: %w", app, err)
	}
	return entry.Value(), entry.Revision(), nil
}

// Put replaces the value that has the revision; the error is ErrChanged where
// another has.
func (k *Keys) Put(ctx context.Context, app string, value []byte, revision uint64) error {
	var err error
	if revision == 0 {
		_, err = k.bucket.Create(ctx, nameOf(app), value)
	} else {
		_, err = k.bucket.Update(ctx, nameOf(app), value, revision)
	}
	if errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		err = ErrChanged
	}
	if err != nil {
		return fmt.Errorf("put keys of app %s: %w", app, err)
	}
	return nil
}

// List reads the values of all apps.
func (k *Keys) List(ctx context.Context) ([][]byte, error) {
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	var all [][]byte
	var whole bool
	err := k.Follow(ctx, func(values [][]byte) {
		if !whole {
			all, whole = values, true
		}
		enough()
	})
	if !whole {
		return nil, err
	}
	return all, nil
}

// Follow tells the values of all apps, and tells them again after each change,
// until the context ends or the server takes the watch away.
func (k *Keys) Follow(ctx context.Context, told func(values [][]byte)) error {
	watch, err := k.bucket.WatchAll(ctx)
	if err != nil {
		return fmt.Errorf("watch bucket %s: %w", keysBucket, err)
	}
	defer func() { _ = watch.Stop() }() // the context has ended it, or the server
	values := map[string][]byte{}
	for whole := false; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case entry, open := <-watch.Updates():
			switch {
			case !open:
				return fmt.Errorf("watch bucket %s: it has ended", keysBucket)
			case entry == nil: // all that was there has been told
				whole = true
			case entry.Operation() == jetstream.KeyValuePut:
				values[entry.Key()] = entry.Value()
			default:
				delete(values, entry.Key())
			}
		}
		if whole {
			told(slices.Collect(maps.Values(values)))
		}
	}
}

// nameOf is the name under which the value of an app stands.
func nameOf(app string) string {
	var b strings.Builder
	safeToken(&b, app)
	return b.String()
}

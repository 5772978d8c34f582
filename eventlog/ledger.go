package eventlog

import (
	"context"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ledgerKeeps is how long a claim is remembered. A callback is taken while its
// timestamp is at most ten minutes off, either way; a clock may be wrong by the rest.
const ledgerKeeps = 25 * time.Minute

// Ledger remembers which body came with which signed triple, for all intakes
// of a log.
type Ledger struct{ bucket jetstream.KeyValue }

// Ledger opens the ledger of server callbacks, a bucket beside the streams.
func (l *Log) Ledger(ctx context.Context) (*Ledger, error) {
	bucket, err := l.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: "ROOM_CALLBACKS", Description: "Roomtrail: which callback came under which timestamp and nonce",
		TTL: ledgerKeeps, Storage: jetstream.FileStorage, Replicas: l.config.Replicas,
	})
	if err != nil {
		return nil, fmt.Errorf("open ledger of callbacks: %w", err)
	}
	return &Ledger{bucket}, nil
}

// Claim notes that a triple came with a body, and says whether it came with
// another one before. The first to create a key wins, whichever intake it is;
// an error means that nobody knows, and may be tried again.
func (l *Ledger) Claim(ctx context.Context, triple, body [32]byte) (isOther bool, err error) {
	key := hex.EncodeToString(triple[:])
	_, err = l.bucket.Create(ctx, key, body[:])
	if err == nil {
		return false, nil
	}
	if !errors.Is(err, jetstream.ErrKeyExists) {
		return false, fmt.Errorf("claim callback: %w", err)
	}
	entry, err := l.bucket.Get(ctx, key)
	if err != nil {
		return false, fmt.Errorf("look up callback: %w", err)
	}
	return subtle.ConstantTimeCompare(entry.Value(), body[:]) == 0, nil
}

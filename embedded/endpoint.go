package embedded

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Endpoint is how other programs reach the owner of a data directory.
type Endpoint struct {
	PID         int       `json:"pid"`
	StartedAt   time.Time `json:"started_at"`
	IntakeURL   string    `json:"intake_url,omitempty"`
	QueryURL    string    `json:"query_url,omitempty"`
	DatabaseURL string    `json:"database_url"`         // the owner's role, on the private socket
	ReaderURL   string    `json:"reader_url"`           // the read-only role, on the same socket
	ImportKey   string    `json:"import_key,omitempty"` // marks what is sent with it as an import
}

// ErrNotRunning says that a data directory has no owner one could talk to.
var ErrNotRunning = errors.New("not running")

// Publish writes e where [Find] looks for it, as the endpoint of this process:
// PID is set to ours. It may be called again when something has changed; a
// reader sees the old endpoint or the new one, never half of each.
func (d *Dir) Publish(e Endpoint) error {
	e.PID = os.Getpid()
	text, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return fmt.Errorf("publish endpoint: %w", err)
	}
	path := filepath.Join(d.path, endpointName)
	// One fixed name is enough, since only the owner writes. What a killed
	// owner left there may have any mode.
	temp := path + ".tmp"
	if err := os.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("publish endpoint: %w", err)
	}
	if err := os.WriteFile(temp, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("publish endpoint: %w", err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("publish endpoint: %w", err)
	}
	return nil
}

// Find returns the endpoint of the process that owns the directory at path.
// If there is none, or it has published nothing yet, the error wraps
// [ErrNotRunning].
func Find(path string) (Endpoint, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return Endpoint{}, fmt.Errorf("find endpoint: %w", err)
	}
	owner, held, err := ownerOf(path, lockName)
	if err != nil {
		return Endpoint{}, fmt.Errorf("find endpoint: %w", err)
	}
	if !held {
		return Endpoint{}, fmt.Errorf("find endpoint in %s: %w: start it with `go run ./cmd/demo` or `ingest serve`, or choose another directory with --data-dir",
			path, ErrNotRunning)
	}
	text, err := os.ReadFile(filepath.Join(path, endpointName))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return Endpoint{}, fmt.Errorf("find endpoint: %w", err)
	}
	var e Endpoint
	if err == nil {
		if err := json.Unmarshal(text, &e); err != nil {
			return Endpoint{}, fmt.Errorf("read endpoint %s: %w", filepath.Join(path, endpointName), err)
		}
	}
	// Between its lock and its first Publish an owner has no endpoint, or for
	// an instant still that of the owner before.
	if e.PID != owner || owner == 0 {
		return Endpoint{}, fmt.Errorf("find endpoint in %s: %w: process %d is starting or stopping, try again in a moment",
			path, ErrNotRunning, owner)
	}
	return e, nil
}

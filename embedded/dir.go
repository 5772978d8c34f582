package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

const (
	lockName     = "LOCK"
	endpointName = "endpoint.json"
)

// Dir is a data directory that this process owns.
type Dir struct {
	path string
	lock *fileLock
}

// OpenDir takes ownership of the directory at path and makes it if it is
// absent. If it has an owner already, the error is a *[LockedError].
func OpenDir(path string) (*Dir, error) {
	path, err := makeDir(path)
	if err != nil {
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	lock, err := takeLock(path, lockName)
	if err != nil {
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	d := &Dir{path: path, lock: lock}
	// What an owner that was killed has published is not true any more.
	if err := d.unpublish(); err != nil {
		lock.release()
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	return d, nil
}

// Path returns the absolute path of the directory.
func (d *Dir) Path() string { return d.path }

// Close gives the directory up: no endpoint, no lock. The servers on it must
// have ended before. A second Close does nothing.
func (d *Dir) Close() error {
	if d.lock.file == nil {
		return nil
	}
	// The endpoint goes first. Once the lock is free there can be another's.
	err := errors.Join(d.unpublish(), d.lock.release())
	if err != nil {
		return fmt.Errorf("close data directory %s: %w", d.path, err)
	}
	return nil
}

func (d *Dir) unpublish() error {
	err := os.Remove(filepath.Join(d.path, endpointName))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove endpoint: %w", err)
	}
	return nil
}

// makeDir makes the directory unless it exists and returns its absolute path.
func makeDir(path string) (string, error) {
	if path == "" {
		return "", errors.New("make directory: no path given")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("make directory: %w", err)
	}
	info, err := os.Stat(path)
	if err == nil && !info.IsDir() {
		return "", fmt.Errorf("make directory: %s is a file: want a directory", path)
	}
	if err == nil {
		return path, nil
	}
	// The Postgres that root starts runs as another user. That user has to
	// pass through, but need not see what is there.
	mode := os.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o711
	}
	if err := os.MkdirAll(path, mode); err != nil {
		return "", fmt.Errorf("make directory: %w", err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask took away
		return "", fmt.Errorf("make directory: %w", err)
	}
	return path, nil
}

package embedded

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

func TestDirHasOneOwner(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a", "b")
	d, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = OpenDir(path)
	var locked *LockedError
	if !errors.As(err, &locked) {
		t.Fatalf("second OpenDir: got %v, want a LockedError", err)
	}
	if locked.Path != path || locked.PID != os.Getpid() {
		t.Errorf("got %+v, want path %s and process %d", *locked, path, os.Getpid())
	}
	wantWords(t, err, path, strconv.Itoa(os.Getpid()), "--data-dir")

	if got := startOther(t, "dir", path).line; got == "owner" {
		t.Error("another process became owner of an owned directory")
	}
	for range 2 {
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	again, err := OpenDir(path)
	if err != nil {
		t.Fatalf("OpenDir after Close: %v", err)
	}
	again.Close()
}

func TestDirIsFreeAfterKill(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	owner := startOther(t, "dir", path)
	_, err := OpenDir(path)
	wantWords(t, err, strconv.Itoa(owner.cmd.Process.Pid))
	owner.kill(t)

	if _, err := Find(path); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Find after kill: got %v, want ErrNotRunning", err)
	}
	d, err := OpenDir(path)
	if err != nil {
		t.Fatalf("OpenDir after kill: %v", err)
	}
	defer d.Close()
	// The endpoint of the dead is there no more, so nobody is sent to it.
	_, err = Find(path)
	if !errors.Is(err, ErrNotRunning) {
		t.Errorf("Find before Publish: got %v, want ErrNotRunning", err)
	}
	wantWords(t, err, "starting")
}

// A looker-on must not keep an owner from starting, whatever the moment.
func TestOpenDirWhileOthersLook(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
				Find(path)
			}
		}
	}()
	for range 100 {
		d, err := OpenDir(path)
		if err != nil {
			t.Fatal(err)
		}
		d.Close()
	}
	close(stop)
	<-ended
}

func TestEndpoint(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	_, err := Find(path)
	if !errors.Is(err, ErrNotRunning) {
		t.Errorf("Find without owner: got %v, want ErrNotRunning", err)
	}
	wantWords(t, err, path, "go run ./cmd/demo", "ingest serve")
	if _, err := Find(filepath.Join(path, "absent")); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Find without directory: got %v, want ErrNotRunning", err)
	}

	d, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	// What a crash during Publish may leave must not lend its mode.
	file := filepath.Join(path, endpointName)
	if err := os.WriteFile(file+".tmp", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	want := Endpoint{
		PID: os.Getpid(), StartedAt: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC),
		IntakeURL: "http://127.0.0.1:8080", DatabaseURL: "host=/tmp user=a", ReaderURL: "host=/tmp user=b", ImportKey: "k",
	}
	published := want
	published.PID = 0
	for range 2 {
		if err := d.Publish(published); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("mode of endpoint: got %o, want 600", got)
	}
	got, err := Find(path)
	if err != nil || got != want {
		t.Errorf("Find: got %+v, %v, want %+v", got, err, want)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("endpoint after Close: got %v, want it gone", err)
	}
	if _, err := Find(path); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Find after Close: got %v, want ErrNotRunning", err)
	}
}

func TestFindStaleEndpoint(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	text := []byte(`{"pid": ` + strconv.Itoa(os.Getpid()) + `}`)
	if err := os.WriteFile(filepath.Join(path, endpointName), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(path); !errors.Is(err, ErrNotRunning) {
		t.Errorf("got %v, want ErrNotRunning: nobody holds the lock", err)
	}
}

func TestOpenDirRefusesFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := OpenDir(path)
	wantWords(t, err, path, "is a file", "want a directory")
	_, err = OpenDir("")
	wantWords(t, err, "no path")
}

func TestDirModes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data")
	d, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	wantDir := os.FileMode(0o700)
	if os.Geteuid() == 0 {
		wantDir = 0o711 // for the Postgres that runs as another user
	}
	for name, want := range map[string]os.FileMode{path: wantDir, filepath.Join(path, lockName): 0o600} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("mode of %s: got %o, want %o", name, got, want)
		}
	}
}

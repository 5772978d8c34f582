package embedded

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNoAccountForDirectory(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	if os.Geteuid() != 0 {
		t.Skip("only root has to change users")
	}
	found, err := findPrograms(t.Context(), defaultPlaces())
	if err != nil {
		t.Fatal(err)
	}
	// Closed by a third: even in its namespace root is not let through.
	closed := filepath.Join(reachableDir(t), "closed")
	dir := filepath.Join(closed, "postgres")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(closed, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	_, err = chooseAccount(t.Context(), found[0], dir)
	wantWords(t, err, "as postgres: ", "as nobody: ", closed+" is closed to this user", "--data-dir", "DATABASE_URL")
}

func TestClosedParent(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(reachableDir(t), "a", "b")
	if err := os.MkdirAll(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	stranger := account{uid: 12345, gid: 12345}
	middle := filepath.Dir(dir)
	for mode, want := range map[os.FileMode]string{0o711: "", 0o701: "", 0o710: middle, 0o700: middle} {
		if err := os.Chmod(middle, mode); err != nil {
			t.Fatal(err)
		}
		if got := stranger.closedParent(dir); got != want {
			t.Errorf("mode %o: got %q, want %q", mode, got, want)
		}
		we := account{uid: os.Geteuid(), gid: os.Getegid()}
		if got := we.closedParent(dir); got != "" {
			t.Errorf("mode %o, as the owner: got %q, want none", mode, got)
		}
	}
}

func TestServerLog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := openServerLog(path)
	if err != nil {
		t.Fatal(err)
	}
	from := l.size()
	l.file.WriteString(strings.Repeat("line\n", 10_000) + "last\n")
	if got := l.since(from); strings.Contains(got, "before") || !strings.HasSuffix(got, "line\nlast\n") {
		t.Errorf("got a log that ends in %q, want what was written since", got[max(0, len(got)-20):])
	}
	if got := strings.Count(lastLines(l.since(from)), "\n"); got != 12 {
		t.Errorf("last words: got %d lines, want 12", got)
	}
	if err := os.Truncate(path, serverLogMax+1); err != nil {
		t.Fatal(err)
	}
	l.file.Close()
	if l, err = openServerLog(path); err != nil {
		t.Fatal(err)
	}
	defer l.file.Close()
	if got := l.size(); got != 0 {
		t.Errorf("a log too long: got %d bytes, want a new one", got)
	}
	if _, err := os.Stat(path + ".1"); err != nil {
		t.Errorf("the log before: %v, want it kept", err)
	}
}

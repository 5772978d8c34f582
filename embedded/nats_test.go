package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

func startNATS(t *testing.T, cfg NATSConfig) *NATS {
	t.Helper()
	n, err := StartNATS(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

func stored(t *testing.T, n *NATS) uint64 {
	t.Helper()
	js, err := openStream(n)
	if err != nil {
		t.Fatal(err)
	}
	defer js.Conn().Close()
	s, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

func TestNATSFlushesUnlessToldOtherwise(t *testing.T) {
	t.Parallel()
	for _, lazy := range []bool{false, true} {
		n := startNATS(t, NATSConfig{Dir: t.TempDir(), LazySync: lazy})
		vars, err := n.server.Varz(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := vars.JetStream.Config.SyncAlways; got != !lazy {
			t.Errorf("LazySync %v: the server says SyncAlways %v, want %v", lazy, got, !lazy)
		}
	}
}

func TestNATSKeepsMessages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := startNATS(t, NATSConfig{Dir: dir})
	js, err := openStream(n)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if _, err := js.Publish(t.Context(), "s.x", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	_, err = StartNATS(NATSConfig{Dir: dir})
	var locked *LockedError
	if !errors.As(err, &locked) {
		t.Errorf("second server on the same files: got %v, want a LockedError", err)
	}
	js.Conn().Close()
	n.Close()
	n.Close() // does nothing

	n = startNATS(t, NATSConfig{Dir: dir})
	if got := stored(t, n); got != 10 {
		t.Errorf("after a restart: got %d messages, want 10", got)
	}
}

func TestNATSKeepsMessagesAfterKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := startOther(t, "nats", dir)
	if o.line != "stored 20" {
		t.Fatal(o.line)
	}
	o.kill(t)
	n := startNATS(t, NATSConfig{Dir: dir})
	if got := stored(t, n); got != 20 {
		t.Errorf("after kill: got %d messages, want 20", got)
	}
}

// Not parallel, so that every listener of the process is the server's.
func TestNATSDoesNotListen(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc, which only Linux has")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if got := listeners(t); len(got) != 1 {
		t.Errorf("the test does not see a listener: got %q, want 1", got)
	}
	l.Close()
	n := startNATS(t, NATSConfig{Dir: t.TempDir()})
	if got := n.server.Addr(); got != nil {
		t.Errorf("the server listens on %v, want no listener", got)
	}
	if got := listeners(t); len(got) > 0 {
		t.Errorf("the process listens: %q, want no listener", got)
	}
}

// listeners returns the lines of /proc about listening sockets of this process.
func listeners(t *testing.T) []string {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	own := make(map[string]bool)
	for _, fd := range fds {
		if link, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil {
			own[link] = true
		}
	}
	const state, listening, inode = 3, "0A", 9
	var found []string
	for _, name := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // no IPv6 here
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) > inode && f[state] == listening && own["socket:["+f[inode]+"]"] {
				found = append(found, line)
			}
		}
	}
	return found
}

func TestNATSRoom(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := roomFor(dir); got <= 1000 || got > defaultMaxStore {
		t.Errorf("room: got %d, want more than what is stored, 1000, and at most %d", got, int64(defaultMaxStore))
	}
}

func TestNATSRefusesWhenFull(t *testing.T) {
	t.Parallel()
	const room = 1 << 20
	n := startNATS(t, NATSConfig{Dir: t.TempDir(), MaxStore: room, LazySync: true})
	js, err := openStream(n)
	if err != nil {
		t.Fatal(err)
	}
	defer js.Conn().Close()
	message, accepted := make([]byte, room/8), uint64(0)
	for range 16 {
		if _, err = js.Publish(t.Context(), "s.x", message); err != nil {
			break
		}
		accepted++
	}
	var refusal *jetstream.APIError
	if !errors.As(err, &refusal) || refusal.Code != 503 {
		t.Errorf("publish beyond MaxStore: got %v, want code 503", err)
	}
	if got := stored(t, n); got != accepted || got == 0 {
		t.Errorf("after the refusal: got %d messages, want the %d that were accepted", got, accepted)
	}
}

func TestNATSLog(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := &natsLog{logger: slog.New(slog.NewTextHandler(&out, nil))}
	log.Noticef("notice %d", 1)
	log.Warnf("warning %d", 2)
	log.Errorf("error %d", 3)
	if err := log.failure(); err != nil {
		t.Errorf("failure: got %v, want none before a fatal message", err)
	}
	log.Fatalf("fatal %d", 4)
	for _, want := range []string{`level=WARN msg="warning 2"`, `level=ERROR msg="error 3"`, `level=ERROR msg="fatal 4"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("got log %q, want %q", out.String(), want)
		}
	}
	if strings.Contains(out.String(), "notice") {
		t.Errorf("got log %q, want notices at debug", out.String())
	}
	wantWords(t, log.failure(), "fatal 4")
}

func TestNATSSaysWhyItCannotStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// The streams' directory is a file.
	if err := os.WriteFile(filepath.Join(dir, "jetstream"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first attempt must not keep the lock
		_, err := StartNATS(NATSConfig{Dir: dir})
		wantWords(t, err, dir, "storage directory is not a directory")
	}
}

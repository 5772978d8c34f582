package intake_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"roomtrail/embedded"
	"roomtrail/eventlog"
	"roomtrail/events"
	"roomtrail/intake"
)

// The hostile tests open the door in a process of its own and attack it from
// this one, so that its memory is its own and a crash is seen for one.

// hostileDir makes this test binary a door on a log in that directory.
const hostileDir = "ROOMTRAIL_TEST_HOSTILE_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(hostileDir); dir != "" {
		if err := attacked(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// What the door may take of the memory, and how many connections it holds.
const (
	maxResident    = 512 << 20
	maxConnections = 3000
	attackedSecret = "callback-secret"
)

// attacked is the door that is attacked; it ends with its standard input.
func attacked(dir string) error {
	ctx := context.Background()
	nats, err := embedded.StartNATS(embedded.NATSConfig{Dir: dir, LazySync: true})
	if err != nil {
		return err
	}
	defer nats.Close()
	conn, err := nats.Connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	log, err := eventlog.Open(ctx, conn, eventlog.Config{MaxBytes: 512 << 20})
	if err != nil {
		return err
	}
	defer log.Close()
	ledger, err := log.Ledger(ctx)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	handler := intake.New(log, intake.Config{
		Callbacks: intake.Callbacks{Secrets: map[string][]string{"1": {attackedSecret}}, Ledger: ledger},
		Signs:     func([]events.Sign) error { return nil },

		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, // so that attacks may come from addresses
		Logger:         slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	handler.Handle("GET /goroutines", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, runtime.NumGoroutine())
	}))
	server := intake.Server(handler) // with less patience, so that its end is seen
	server.ReadHeaderTimeout /= 5
	server.ReadTimeout /= 5
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); os.Exit(0) }()
	fmt.Println(listener.Addr())
	return server.Serve(intake.Listen(listener, intake.Connections{Total: maxConnections}))
}

// victim is the process that is attacked.
type victim struct {
	door
	address string
	pid     int
	logFile string
	ended   chan error
	sent    *atomic.Int64 // good requests, so that each is another
}

func startVictim(t *testing.T) *victim {
	t.Helper()
	dir := t.TempDir()
	v := &victim{logFile: filepath.Join(dir, "log"), ended: make(chan error, 1), sent: new(atomic.Int64)}
	logs, err := os.Create(v.logFile)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { logs.Close() })
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), hostileDir+"="+filepath.Join(dir, "nats"))
	cmd.Stderr = logs
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	go func() { v.ended <- cmd.Wait() }()
	t.Cleanup(func() {
		stdin.Close()
		if err := <-v.ended; err != nil {
			text, _ := os.ReadFile(v.logFile)
			t.Errorf("the door crashed: %v\n%s", err, text[max(0, len(text)-4000):])
		}
	})
	if err != nil {
		t.Fatalf("the door did not open: %v", err)
	}
	v.address, v.pid = strings.TrimSpace(line), cmd.Process.Pid
	v.url = "http://" + v.address
	return v
}

// good is traffic of good clients, one request to each route, each on a
// connection of its own. Whoever is attacked answers it in seconds.
func (v *victim) good(ctx context.Context) error {
	n := v.sent.Add(1)
	client := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	at := time.Now()
	for path, body := range map[string]string{
		"/v1/events":         strings.Replace(event(int(n%1000), ""), `"s1"`, fmt.Sprintf(`"good-%d"`, n), 1),
		"/v1/alive":          `{"app_id":"app","room_id":"r","user_id":"u","session_id":"s","last_seq":7,"every_ms":15000}`,
		"/v1/zego/callbacks": string(stay.Body("1", at, strconv.FormatInt(n, 10), attackedSecret)),
	} {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, v.url+path, strings.NewReader(body))
		if err != nil {
			return err
		}
		res, err := client.Do(req)
		if err != nil {
			return fmt.Errorf("%s after %s: %w", path, time.Since(at).Round(time.Millisecond), err)
		}
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusOK || !bytes.Contains(text, []byte(`"accepted":1`)) {
			return fmt.Errorf("%s: %d %s", path, res.StatusCode, text)
		}
	}
	return nil
}

// beside runs good traffic while the attack goes on, and looks at the memory
// afterwards.
func (v *victim) beside(t *testing.T, attack func()) {
	t.Helper()
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", v.pid), []byte("5"), 0) // the high water mark begins anew
	ctx, stop := context.WithCancel(context.Background())
	answered, done := 0, make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if err := v.good(ctx); err != nil && ctx.Err() == nil {
				done <- err
				return
			}
			answered++
		}
		done <- nil
	}()
	attack()
	err := v.good(context.Background()) // at least once while what the attack has left is there
	stop()
	if besideErr := <-done; besideErr != nil {
		t.Errorf("good traffic beside it: %v", besideErr)
	} else if err != nil {
		t.Errorf("good traffic after it: %v", err)
	}
	resident := v.resident(t)
	t.Logf("%d rounds of good traffic beside it; at most %d MiB resident", answered, resident>>20)
	if resident > maxResident && !testing.Short() {
		t.Errorf("the door took %d MiB; want at most %d", resident>>20, maxResident>>20)
	}
}

// resident is the most memory that the door ever had, 0 where the system does
// not tell: that is for Linux alone. A run with -short may be one under the
// race detector, whose shadow memory is not the door's.
func (v *victim) resident(t *testing.T) int {
	if runtime.GOOS != "linux" {
		return 0
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", v.pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// many is how many of a thing an attack brings.
func many(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

// get asks on a connection of its own.
func (v *victim) get(path string) (*http.Response, error) {
	client := http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	return client.Get(v.url + path)
}

// goroutines asks the door how many it runs.
func (v *victim) goroutines(t *testing.T) int {
	t.Helper()
	res, err := v.get("/goroutines")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	n, err := strconv.Atoi(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// dial opens n connections and sends each the text.
func (v *victim) dial(t *testing.T, n int, text string) []net.Conn {
	t.Helper()
	list := make([]net.Conn, n)
	for i := range list {
		c, err := net.Dial("tcp", v.address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_, _ = io.WriteString(c, text)
		list[i] = c
	}
	return list
}

// awaitClosed waits until the door has hung up on all of them, and returns
// what it said to the last.
func awaitClosed(t *testing.T, list []net.Conn, within time.Duration) string {
	t.Helper()
	var said []byte
	deadline := time.Now().Add(within)
	for i, c := range list {
		_ = c.SetReadDeadline(deadline)
		var err error
		if said, err = io.ReadAll(c); os.IsTimeout(err) {
			t.Fatalf("connection %d of %d is still open after %s", i+1, len(list), within)
		}
	}
	return string(said)
}

// raw sends the bytes of one request, as they are, and returns the answer's
// status; 0 where the door hung up without one.
func (v *victim) raw(t *testing.T, request io.Reader) (status int, body string) {
	t.Helper()
	c, err := net.Dial("tcp", v.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	go func() { _, _ = io.Copy(c, request) }() // it ends with the connection
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if os.IsTimeout(err) {
		t.Fatal("the door neither answers nor hangs up")
	}
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(text)
}

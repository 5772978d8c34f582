package intake_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// posts are the routes that read a body.
var posts = []string{"/v1/events", "/v1/alive", "/v1/zego/callbacks"}

// TestHostile is every attack on one door; the connections come first, the
// bodies after them, and the log is read when all is over.
func TestHostile(t *testing.T) {
	t.Parallel()
	v := startVictim(t)
	if err := v.good(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := v.goroutines(t)
	for _, attack := range []struct {
		name string
		run  func(*testing.T, *victim)
	}{
		{"slow headers", slowHeaders},
		{"slow bodies", slowBodies},
		{"stalled bodies", stalledBodies},
		{"idle sockets", idleSockets},
		{"chunked without end", endlessChunks},
		{"wrong content-length", wrongLengths},
		{"oversized headers", oversizedHeaders},
		{"huge query strings", hugeQueries},
		{"CRLF in headers and ids", lineBreaks},
		{"odd Content-Encoding", oddEncodings},
		{"path and method confusion", confusion},
		{"gzip bombs", gzipBombs},
		{"zstd bombs", zstdBombs},
		{"slow zstd frames", slowFrames},
		{"bodies of 100 MiB", hundredMiB},
		{"many bodies of 8 MiB", largestBodies},
		{"depth 10 000", deep},
		{"a million keys", millionKeys},
		{"a million blank lines", blankLines},
		{"duplicate keys, NUL, no UTF-8, long numbers", oddJSON},
	} {
		t.Run(attack.name, func(t *testing.T) { attack.run(t, v) })
	}
	v.awaitGoroutines(t, before)
	v.checkLog(t)
}

// awaitGoroutines waits until what the attacks started has ended.
func (v *victim) awaitGoroutines(t *testing.T, before int) {
	t.Helper()
	const some = 20 // connections of this process that are being closed, the log's own
	n := 0
	for range 300 {
		if n = v.goroutines(t); n <= before+some {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("%d goroutines run after the attacks, %d before", n, before)
}

// checkLog reads what the door wrote: each line is its own, and short.
func (v *victim) checkLog(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(v.logFile)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		// net/http names an attack on its own in the standard logger.
		if !strings.HasPrefix(line, "time=") || strings.Contains(line, "panic") {
			t.Fatalf("a log line is not the door's: %.300q", line)
		}
		if len(line) > 1000 {
			t.Fatalf("a log line has %d bytes: %.300q…", len(line), line)
		}
	}
}

// drip sends one byte at a time to each until all are hung up on.
func drip(list []net.Conn, b string) {
	for open := true; open; {
		open = false
		for _, c := range list {
			if _, err := io.WriteString(c, b); err == nil {
				open = true
			}
		}
	}
}

func slowHeaders(t *testing.T, v *victim) {
	v.beside(t, func() {
		list := v.dial(t, many(2000), "POST /v1/events HTTP/1.1\r\nHost: x\r\nX-Slow: "+strings.Repeat("x", 8<<10))
		var dripping sync.WaitGroup
		dripping.Go(func() { drip(list, "x") })
		awaitClosed(t, list, 10*time.Second)
		dripping.Wait()
	})
}

// Three thousand bodies that come byte by byte hold no more memory than they
// have sent.
func slowBodies(t *testing.T, v *victim) {
	v.beside(t, func() {
		var list []net.Conn
		for _, path := range posts {
			list = append(list, v.dial(t, many(900), "POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n[")...)
		}
		var dripping sync.WaitGroup
		dripping.Go(func() { drip(list, " ") })
		awaitClosed(t, list, 20*time.Second)
		dripping.Wait()
	})
}

// Bodies that stall after enough of each to fill all the room there is: an
// address fills its own share, and batches from others are taken beside them.
func stalledBodies(t *testing.T, v *victim) {
	batch := []byte("[" + strings.Repeat(event(1, "")+",", 300) + event(1, "") + "]")
	v.beside(t, func() {
		for _, path := range posts {
			v.dial(t, 400, "POST "+path+" HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.66\r\nContent-Length: 250000\r\n\r\n"+strings.Repeat(" ", 66<<10))
		}
		if status, answer := v.post(t, "/v1/events", "", batch); status != 200 {
			t.Errorf("a batch beside them: %d %s", status, answer)
		}
	})
}

// Far more sockets than the door holds, which have asked once and may be silent
// for a minute: the longest silent ones have to go, and no good one does.
func idleSockets(t *testing.T, v *victim) {
	v.beside(t, func() {
		const ask = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
		older, younger := v.dial(t, maxConnections+500, ask), v.dial(t, maxConnections+500, ask)
		awaitClosed(t, older, 10*time.Second)
		last := younger[len(younger)-1]
		_ = last.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := last.Read(make([]byte, 1)); err != nil {
			t.Errorf("the last of many is not answered: %v", err)
		}
	})
}

func endlessChunks(t *testing.T, v *victim) {
	v.beside(t, func() {
		for _, path := range posts {
			head := "POST " + path + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
			chunk := fmt.Sprintf("%x\r\n%s\r\n", 64<<10, strings.Repeat(" ", 64<<10))
			if status, _ := v.raw(t, io.MultiReader(strings.NewReader(head), endless(chunk))); status != 413 && status != 0 {
				t.Errorf("%s: chunks without end: %d, want 413", path, status)
			}
			// A chunk's own line may be without end too.
			if status, _ := v.raw(t, io.MultiReader(strings.NewReader(head), strings.NewReader("1;"), endless("x"))); status != 400 {
				t.Errorf("%s: a chunk's line without end: %d, want 400", path, status)
			}
			if status, _ := v.raw(t, io.MultiReader(strings.NewReader(head+"1\r\n[\r\n0\r\n"), endless("X: y\r\n"))); status != 400 && status != 0 {
				t.Errorf("%s: trailers without end: %d, want 400", path, status)
			}
		}
	})
}

// endless is the text again and again.
func endless(text string) io.Reader { return &repeated{text: text} }

type repeated struct {
	text string
	at   int
}

func (r *repeated) Read(b []byte) (int, error) {
	n := copy(b, r.text[r.at:])
	r.at = (r.at + n) % len(r.text)
	return n, nil
}

func wrongLengths(t *testing.T, v *victim) {
	v.beside(t, func() {
		for _, path := range posts {
			for header, want := range map[string]int{
				"Content-Length: -1":                             400,
				"Content-Length: 1e9":                            400,
				"Content-Length: 99999999999999999999":           400,
				"Content-Length: 2\r\nContent-Length: 3":         400,
				"Content-Length: 9223372036854775807":            413,
				"Content-Length: 2\r\nTransfer-Encoding: gzip":   501, // net/http's own answer
				"Transfer-Encoding: chunked, chunked":            501,
				"Content-Length: 0":                              400,
				"Content-Length: 5\r\nExpect: nothing-of-a-kind": 417,
			} {
				if status, _ := v.raw(t, strings.NewReader("POST "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"+header+"\r\n\r\n[]")); status != want {
					t.Errorf("%s, %q: %d, want %d", path, header, status, want)
				}
			}
			// What follows a body that is shorter than sent is no event.
			status, _ := v.raw(t, strings.NewReader("POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n[]GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"))
			if status != 400 {
				t.Errorf("%s: a length too short: %d, want 400", path, status)
			}
		}
	})
}

func oversizedHeaders(t *testing.T, v *victim) {
	v.beside(t, func() {
		for _, path := range posts {
			for name, header := range map[string]string{
				"one of a MiB":      "X-Long: " + strings.Repeat("x", 1<<20) + "\r\n",
				"ten thousand":      strings.Repeat("X-Many: y\r\n", 10_000),
				"one name of a MiB": strings.Repeat("x", 1<<20) + ": y\r\n",
			} {
				if status, _ := v.raw(t, strings.NewReader("POST "+path+" HTTP/1.1\r\nHost: x\r\n"+header+"\r\n")); status != 431 && status != 0 {
					t.Errorf("%s, %s: %d, want 431", path, name, status)
				}
			}
			// Nearly as large as they may be: none of it comes back or into the log.
			header := "Authorization: Bearer " + strings.Repeat("k", 4000) + "\r\nOrigin: https://" + strings.Repeat("o", 4000) + "\r\nX-Forwarded-For: " + strings.Repeat("1.2.3.4,", 400) + "\r\n"
			status, body := v.raw(t, strings.NewReader("POST "+path+" HTTP/1.1\r\nHost: x\r\n"+header+"Content-Length: 1\r\n\r\n["))
			if status != 400 || len(body) > 500 {
				t.Errorf("%s: long headers: %d with %d bytes, want 400", path, status, len(body))
			}
		}
	})
}

func hugeQueries(t *testing.T, v *victim) {
	v.beside(t, func() {
		for _, path := range posts {
			for name, c := range map[string]struct {
				query string
				want  []int
			}{
				"a MiB":            {strings.Repeat("q", 1<<20), []int{414, 431, 0}},
				"11 KiB":           {"key=" + strings.Repeat("k", 11<<10), []int{400}},
				"thousands":        {strings.Repeat("k&", 5<<10), []int{400}},
				"bad escapes":      {"key=%zz%00%0d%0a&dry_run=%", []int{400}},
				"semicolons":       {strings.Repeat(";", 1<<10), []int{400}},
				"a break, encoded": {"key=%0d%0aSet-Cookie:%20x", []int{400}},
			} {
				status, body := v.raw(t, strings.NewReader("POST "+path+"?"+c.query+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n["))
				if !contains(c.want, status) || len(body) > 500 {
					t.Errorf("%s, %s: %d with %d bytes, want %v", path, name, status, len(body), c.want)
				}
			}
		}
	})
}

func contains(list []int, n int) bool {
	for _, m := range list {
		if m == n {
			return true
		}
	}
	return false
}

// Each method on each path, and paths that look like others, are answered by
// net/http's rules; none is taken for an event and none is the server's fault.
func confusion(t *testing.T, v *victim) {
	v.beside(t, func() {
		for _, path := range append([]string{"/healthz", "/readyz", "/", "/nothing"}, posts...) {
			for _, method := range []string{"GET", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH", "TRACE", "post", "POST"} {
				status, _ := v.raw(t, strings.NewReader(method+" "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nConnection: close\r\n\r\n["))
				isRead := method == "GET" || method == "HEAD"
				want := 405
				switch {
				case path == "/" || path == "/nothing":
					want = 404
				case isRead && (path == "/healthz" || path == "/readyz"):
					want = 200
				case method == "OPTIONS" && (path == "/v1/events" || path == "/v1/alive"):
					want = 204
				case method == "POST" && strings.HasPrefix(path, "/v1/"):
					want = 400
				}
				if status != want {
					t.Errorf("%s %s: %d, want %d", method, path, status, want)
				}
			}
		}
		if status, _ := v.raw(t, strings.NewReader("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")); status < 400 {
			t.Errorf("the preface of HTTP/2: %d", status)
		}
		for _, path := range []string{"/v1//events", "/v1/./events", "/v1/alive/../events", "/V1/events", "/v1/events/", "/v1/events%00", "/v1%2fevents", "//evil.example/v1/events", "*", "http://evil.example/v1/nothing"} {
			if status, _ := v.raw(t, strings.NewReader("POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]")); status < 300 || status >= 500 {
				t.Errorf("POST %s: %d", path, status)
			}
		}
	})
}

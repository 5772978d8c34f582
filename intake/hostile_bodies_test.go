package intake_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// post sends a body to a path, with further header lines.
func (v *victim) post(t *testing.T, path, headers string, body []byte) (status int, answer string) {
	t.Helper()
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n%s\r\n", path, len(body), headers)
	return v.raw(t, io.MultiReader(strings.NewReader(head), bytes.NewReader(body)))
}

// atOnce sends the same body n times to each of the routes at the same time,
// and wants one of the statuses from all, or that they come back later.
func (v *victim) atOnce(t *testing.T, n int, headers string, body []byte, want ...int) {
	t.Helper()
	want = append(want, 408, 429)
	v.beside(t, func() {
		var senders sync.WaitGroup
		for i := range n * len(posts) {
			senders.Go(func() {
				if status, answer := v.post(t, posts[i%len(posts)], headers, body); !contains(want, status) {
					t.Errorf("%s: %d %.200s, want %v", posts[i%len(posts)], status, answer, want)
				}
			})
		}
		senders.Wait()
	})
}

// A thousand to one: blanks are not unpacked beyond what is taken.
func gzipBombs(t *testing.T, v *victim) {
	bomb := zip(bytes.Repeat([]byte(" "), many(160<<20)))
	v.atOnce(t, many(30), "Content-Encoding: gzip\r\n", bomb, 413)
	// One that is packed twice is no JSON.
	v.atOnce(t, 1, "Content-Encoding: gzip\r\n", zip(zip([]byte("[]"))), 400)
}

func zstdBombs(t *testing.T, v *victim) {
	e, err := zstd.NewWriter(nil, zstd.WithWindowSize(8<<20))
	if err != nil {
		t.Fatal(err)
	}
	v.atOnce(t, many(30), "Content-Encoding: zstd\r\n", e.EncodeAll(make([]byte, many(160<<20)), nil), 413)
	v.atOnce(t, 1, "Content-Encoding: zstd\r\n", frame(1<<40, nil), 400, 413)
}

// frame begins a frame of zstd (RFC 8878, 3.1.1) that promises size bytes, and
// thereby a window as large.
func frame(size uint64, blocks []byte) []byte {
	b := []byte{0x28, 0xb5, 0x2f, 0xfd, 3<<6 | 1<<5}
	return append(binary.LittleEndian.AppendUint64(b, size), blocks...)
}

// Frames that promise a window of 8 MiB, and then stall.
func slowFrames(t *testing.T, v *victim) {
	start := frame(8<<20, []byte{1<<1 | 8<<3&0xff, 0, 0, 'x', 8 << 3, 0, 0}) // a block of a repeated byte, and half of another
	v.beside(t, func() {
		for _, path := range posts {
			v.dial(t, many(300), "POST "+path+" HTTP/1.1\r\nHost: x\r\nContent-Encoding: zstd\r\nContent-Length: 1000000\r\n\r\n"+string(start))
		}
		for range 10 {
			if err := v.good(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

func hundredMiB(t *testing.T, v *victim) {
	v.beside(t, func() {
		var senders sync.WaitGroup
		for _, path := range posts {
			for _, header := range []string{"Content-Length: 104857600", "Content-Length: 104857600\r\nExpect: 100-continue", "Content-Length: 104857600\r\nContent-Encoding: gzip"} {
				senders.Go(func() {
					head := "POST " + path + " HTTP/1.1\r\nHost: x\r\n" + header + "\r\n\r\n"
					status, _ := v.raw(t, io.MultiReader(strings.NewReader(head), io.LimitReader(endless("[0,0,0,0,"), 100<<20)))
					// Where the door hangs up while the sender goes on, the answer may get lost.
					if !contains([]int{413, 400, 0}, status) {
						t.Errorf("%s, %s: %d, want 413", path, header, status)
					}
				})
			}
		}
		senders.Wait()
	})
}

// The largest bodies that are taken, many at a time and in the shapes that cost
// most: their memory is set aside before it is used.
func largestBodies(t *testing.T, v *victim) {
	short := `{"app_id":"a"},`
	for name, body := range map[string]string{
		"white space":    strings.Repeat(" ", 8<<20),
		"5 000 refusals": "[" + strings.Repeat(`{"`+strings.Repeat(`\u0001`, 260)+`":x},`, 4999) + "0]",
		"short events":   "[" + strings.Repeat(short, 4999) + "0]",
		"4 000 events":   "[" + strings.Repeat(event(0, `,"extended_data":"`+strings.Repeat("x", 1800)+`"`)+",", 3999) + "0]",
		"a form":         strings.Repeat("a&b&c&d&", 1<<20),
		"a long name":    strings.Repeat("n", 2<<20) + "=1&" + strings.Repeat("n", 2<<20) + "=2",
		"percent":        "%7B" + strings.Repeat("%01", 2<<20),
	} {
		t.Run(name, func(t *testing.T) {
			v.atOnce(t, many(10), "", []byte(body), 200, 400, 413)
		})
	}
}

func deep(t *testing.T, v *victim) {
	for _, body := range []string{
		strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000),
		strings.Repeat("[", 4<<20) + strings.Repeat("]", 4<<20-1) + " ",
		strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000),
		event(0, `,"extended_data":`+strings.Repeat("[", 10_000)+strings.Repeat("]", 10_000)),
	} {
		v.atOnce(t, 2, "", []byte(body), 200, 400, 413) // 200 where it is one event of a batch that is refused
	}
}

func millionKeys(t *testing.T, v *victim) {
	var object, form bytes.Buffer
	for i := range many(1_000_000) {
		fmt.Fprintf(&object, `,"%x":0`, i)
		if form.Len() < 8<<20-20 {
			fmt.Fprintf(&form, "%x&", i)
		}
	}
	v.atOnce(t, 2, "", []byte("{"+object.String()[1:min(object.Len(), 8<<20-2)]+"}"), 200, 400, 413)
	v.atOnce(t, 2, "Content-Type: application/x-www-form-urlencoded\r\n", form.Bytes(), 400, 413)
}

func blankLines(t *testing.T, v *victim) {
	for _, lines := range []string{strings.Repeat("\n", 1_000_000), strings.Repeat("\r\n \t", 1_000_000), event(0, "") + strings.Repeat("\n", 1_000_000) + event(1, "")} {
		v.atOnce(t, 2, "Content-Type: application/x-ndjson\r\n", []byte(lines), 200, 400, 413)
		v.atOnce(t, 2, "", []byte(lines), 200, 400, 413)
	}
}

func oddJSON(t *testing.T, v *victim) {
	digits := strings.Repeat("9", 10_000)
	for name, body := range map[string]string{
		"duplicate keys":        `{"room_id":"r","room_id":"s","nonce":"1","nonce":"2"}`,
		"a thousand duplicates": "{" + strings.Repeat(`"app_id":"a",`, 1000) + `"app_id":"a"}`,
		"duplicate by escape":   `{"room_id":"r","room\u005fid":"s","nonce":1,"nonc\u0065":2}`,
		"NUL in a string":       "{\"app_id\":\"a\x00b\"}",
		"NUL by escape":         `{"app_id":"a\u0000b","event":"\u0000"}`,
		"nothing but NUL":       strings.Repeat("\x00", 64<<10),
		"no UTF-8":              "{\"app_id\":\"\xff\xfe\xc0\x80\xed\xa0\x80\"}",
		"no UTF-8 in a name":    "{\"\xff\":1,\"\xff\":2}",
		"half a surrogate":      `{"app_id":"\ud800","user_id":"\udfff\ud800"}`,
		"a byte order mark":     "\xef\xbb\xbf{}",
		"UTF-16":                "{\x00\"\x00a\x00\"\x00:\x001\x00}\x00",
		"long numbers": fmt.Sprintf(`{"app_id":%[1]s,"room_id":%[1]s,"seq":%[1]s,"error_code":-%[1]s,"occurred_at":%[1]s,"timestamp":%[1]s,"last_seq":%[1]s}`,
			digits),
		"long fractions and exponents": fmt.Sprintf(`{"occurred_at":0.%[1]s,"seq":1e%[1]s,"error_code":1e-%[1]s,"timestamp":1e%[1]s}`, digits),
		"a number and no more":         digits,
	} {
		for _, path := range posts {
			for _, body := range []string{body, "[" + body + "]", `{"events":[` + body + `],"alive":[` + body + `]}`} {
				status, answer := v.post(t, path, "", []byte(body))
				if status != 400 && (status != 200 || !strings.Contains(answer, `"accepted":0,"rejected":1`)) {
					t.Errorf("%s, %s: %d %.300s", path, name, status, answer)
				}
				if len(answer) > 1000 {
					t.Errorf("%s, %s: the answer has %d bytes", path, name, len(answer))
				}
			}
		}
	}
	if err := v.good(t.Context()); err != nil {
		t.Error(err)
	}
}

// lineBreaks tries to get a line of its own into headers and log.
func lineBreaks(t *testing.T, v *victim) {
	const forged = "\r\ntime=2026-01-01T00:00:00Z level=ERROR msg=forged\r\nSet-Cookie: forged=1\r\n\r\n"
	escaped := strings.ReplaceAll(strings.ReplaceAll(forged, "\r", `\r`), "\n", `\n`)
	for _, path := range posts {
		for name, c := range map[string]struct{ headers, body string }{
			"ids":                  {"", strings.ReplaceAll(`{"app_id":"X","room_id":"X","user_id":"X","session_id":"X","event":"X","appid":"X","timestamp":1772359200,"nonce":"X","signature":"X","reason":"X"}`, "X", escaped)},
			"a name":               {"", `[{"` + escaped + `":x}]`},
			"a form's name, twice": {"", url.QueryEscape(forged) + "=1&" + url.QueryEscape(forged) + "=2"},
			"bare CR in a header":  {"X-Forwarded-For: 1.2.3.4\rSet-Cookie: forged=1\r\n", "["},
			"bare LF in a header":  {"Content-Encoding: x\nSet-Cookie: forged=1\r\n", "["},
			"a folded header":      {"Content-Encoding: x\r\n Set-Cookie: forged=1\r\n", "["},
			"an origin":            {"Origin: https://x%0d%0aSet-Cookie: forged=1\r\n", "["},
			"a space in a name":    {"Set-Cookie : forged=1\r\n", "["},
		} {
			status, answer := v.post(t, path, c.headers, []byte(c.body))
			if status != 200 && status != 400 && status != 401 && status != 415 || strings.Contains(answer, "\r") || strings.Count(answer, "\n") > 1 {
				t.Errorf("%s, %s: %d %q", path, name, status, answer)
			}
		}
	}
	res, err := v.get("/nothing%0d%0aSet-Cookie:forged=1?a=%0d%0ab")
	if err != nil || res.StatusCode != 404 || res.Header.Get("Set-Cookie") != "" {
		t.Errorf("a break in the path: %+v, %v", res, err)
	}
}

func oddEncodings(t *testing.T, v *victim) {
	plain, packed := []byte("[]"), zip([]byte("[]"))
	for _, path := range posts {
		ok := 200
		if path == "/v1/zego/callbacks" {
			ok = 400 // an array is no callback
		}
		for name, c := range map[string]struct {
			headers string
			body    []byte
			want    int
		}{
			"none":             {"Content-Encoding:\r\n", plain, ok},
			"identity":         {"Content-Encoding: IDENTITY\r\n", plain, ok},
			"any case":         {"Content-Encoding: \tGzIp \r\n", packed, ok},
			"nested":           {"Content-Encoding: gzip, gzip\r\n", zip(packed), 415},
			"two headers":      {"Content-Encoding: gzip\r\nContent-Encoding: zstd\r\n", packed, 415},
			"the same twice":   {"Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n", zip(packed), 415},
			"identity, hidden": {"Content-Encoding: identity\r\nContent-Encoding: br\r\n", plain, 415},
			"unknown":          {"Content-Encoding: " + strings.Repeat("x", 10_000) + "\r\n", plain, 415},
			"half a gzip":      {"Content-Encoding: gzip\r\n", packed[:12], 400},
			"a gzip and more":  {"Content-Encoding: gzip\r\n", append(bytes.Clone(packed), "more"...), 400},
			"many gzips":       {"Content-Encoding: gzip\r\n", append(bytes.Repeat(zip(nil), 10_000), packed...), ok},
			"many frames":      {"Content-Encoding: zstd\r\n", append(bytes.Repeat([]byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0}, 10_000), 0x28), 400},
			"not packed":       {"Content-Encoding: zstd\r\n", plain, 400},
			"nothing at all":   {"Content-Encoding: gzip\r\n", nil, 400},
		} {
			if status, answer := v.post(t, path, c.headers, c.body); status != c.want || len(answer) > 500 {
				t.Errorf("%s, %s: %d %.200s (%d bytes), want %d", path, name, status, answer, len(answer), c.want)
			}
		}
	}
	if err := v.good(t.Context()); err != nil {
		t.Error(err)
	}
}

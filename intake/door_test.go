package intake_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"roomtrail/eventlog"
	"roomtrail/eventlog/eventlogtest"
	"roomtrail/events"
	"roomtrail/intake"
)

var now = time.Date(2026, 3, 1, 10, 0, 10, 0, time.UTC)

// door is a real door on a real log.
type door struct {
	url string
	log *eventlog.Log
}

func open(t testing.TB, config intake.Config, logConfig eventlog.Config) door {
	t.Helper()
	log := eventlogtest.Open(t, eventlogtest.Server(t), logConfig)
	config.Now = func() time.Time { return now }
	config.IsFull = func(err error) bool { return errors.Is(err, eventlog.ErrFull) }
	server := httptest.NewServer(intake.New(log, config))
	t.Cleanup(server.Close)
	return door{server.URL, log}
}

type answer struct {
	Status   int
	Header   http.Header
	Accepted int
	Rejected int
	Results  []struct {
		Index                int
		Status, Error, Field string
	}
	AliveEvery int64 `json:"alive_every_ms"`
	Error      string
	Field      string
	Understood []json.RawMessage
}

func (d door) send(t testing.TB, method, path string, header map[string]string, body []byte) answer {
	t.Helper()
	req, err := http.NewRequest(method, d.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{Status: res.StatusCode, Header: res.Header}
	if len(text) > 0 && strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(text, &a); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	return a
}

func (d door) post(t testing.TB, body string) answer {
	t.Helper()
	return d.send(t, "POST", "/v1/events", nil, []byte(body))
}

// stored reads what the log holds.
func (d door) stored(t testing.TB) []events.Stored {
	t.Helper()
	r := d.log.Reader(1, 0, 100*time.Millisecond)
	defer r.Close()
	batch, err := r.Read(context.Background(), events.Position{Generation: 1}, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	return batch.Facts
}

func event(seq int, extra string) string {
	return fmt.Sprintf(`{"app_id":"app","room_id":"r1","user_id":"u1","session_id":"s1","seq":%d,"reason":"LOGINING","error_code":0,"occurred_at":"2026-03-01T10:00:00Z","platform":"web"%s}`, seq, extra)
}

func TestAllBodyShapesAreTaken(t *testing.T) {
	t.Parallel()
	two := event(0, "") + "," + event(1, "")
	lines := event(0, "") + "\r\n\n" + event(1, "") + "\n"
	for name, c := range map[string]struct {
		header map[string]string
		body   string
		want   int
	}{
		"one event":                {nil, event(0, ""), 1},
		"one event over lines":     {nil, strings.ReplaceAll(event(0, ""), ",", ",\n"), 1},
		"an array":                 {nil, " [" + two + "] ", 2},
		"an empty array":           {nil, "[]", 0},
		"an envelope":              {nil, `{"sent_at":"2026-03-01T10:00:03Z","events":[` + two + `]}`, 2},
		"an empty envelope":        {nil, `{"events":[]}`, 0},
		"NDJSON by type":           {map[string]string{"Content-Type": "application/x-ndjson; charset=utf-8"}, lines, 2},
		"NDJSON by look":           {map[string]string{"Content-Type": "application/json"}, lines, 2},
		"a beacon":                 {map[string]string{"Content-Type": "text/plain;charset=UTF-8"}, event(0, ""), 1},
		"one line of NDJSON":       {map[string]string{"Content-Type": "application/ndjson"}, event(0, ""), 1},
		"no events at all, NDJSON": {map[string]string{"Content-Type": "application/ndjson"}, "\n\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t, intake.Config{}, eventlog.Config{})
			a := d.send(t, "POST", "/v1/events", c.header, []byte(c.body))
			if a.Status != 200 || a.Accepted != c.want || a.Rejected != 0 || a.AliveEvery != 30_000 || a.Results == nil {
				t.Fatalf("answered %+v; want %d accepted", a, c.want)
			}
			if got := len(d.stored(t)); got != c.want {
				t.Errorf("%d events are in the log, want %d", got, c.want)
			}
		})
	}
}

func TestABadEventHarmsNoNeighbour(t *testing.T) {
	t.Parallel()
	long := event(9, `,"x":"`+strings.Repeat("x", 64<<10)+`"`)
	deep := event(8, `,"extended_data":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000))
	d := open(t, intake.Config{}, eventlog.Config{})
	a := d.post(t, "["+strings.Join([]string{
		event(0, ""), `{"app_id":1}`, "5", "null", event(1, `,"room_id":"again"`), long, deep,
		event(7, `,"carrier":"`+"\xff"+`"`), event(2, `,"carrier":"\u0000"`),
	}, ",")+"]")
	if a.Status != 200 || a.Accepted != 2 || a.Rejected != 7 {
		t.Fatalf("answered %+v", a)
	}
	for i, want := range []struct {
		index       int
		field, text string
	}{
		{1, "room_id", "missing"}, {2, "", "an event is a JSON object"}, {3, "", "an event is a JSON object"},
		{4, "room_id", "given twice"}, {5, "", "at most 65536"}, {6, "extended_data", "at most 32"}, {7, "carrier", "UTF-8"},
	} {
		got := a.Results[i]
		if got.Index != want.index || got.Status != "rejected" || got.Field != want.field || !strings.Contains(got.Error, want.text) {
			t.Errorf("verdict %d is %+v; want %+v", i, got, want)
		}
	}
	stored := d.stored(t)
	if len(stored) != 2 || stored[1].Carrier != "\uFFFD" {
		t.Errorf("the log holds %+v", stored)
	}
}

func TestAMalformedLineIsRejectedByItself(t *testing.T) {
	t.Parallel()
	d := open(t, intake.Config{}, eventlog.Config{})
	a := d.post(t, event(0, "")+"\n\n{\"app_id\":\n"+event(1, "")+"\n")
	if a.Status != 200 || a.Accepted != 2 || a.Rejected != 1 || a.Results[0].Index != 1 {
		t.Fatalf("answered %+v; want line 1 rejected, blank lines not counted", a)
	}
}

func TestIDsComeThroughAsTheyAre(t *testing.T) {
	t.Parallel()
	user := strings.Repeat("用", 85)
	d := open(t, intake.Config{}, eventlog.Config{})
	a := d.post(t, `{"app_id":4000000001,"room_id":"r%1 'x' \\","user_id":"`+user+`","session_id":1,"seq":"0","reason":0,"error_code":"0","occurred_at":1772359200000,"platform":"Flutter","extended_data":"{broken"}`)
	if a.Status != 200 || a.Accepted != 1 {
		t.Fatalf("answered %+v", a)
	}
	e := d.stored(t)[0]
	if e.AppID != "4000000001" || e.RoomID != `r%1 'x' \` || e.UserID != user || e.SessionID != "1" || string(e.ExtendedData) != `"{broken"` {
		t.Errorf("stored %+v", e)
	}
	if e.Trust != events.TrustPublic || e.Source != events.FromClient || e.Salt == [16]byte{} || !e.ReceivedAt.Equal(now) {
		t.Errorf("the intake added %+v", e)
	}
}

func TestSentAtGivesTheOffset(t *testing.T) {
	t.Parallel()
	d := open(t, intake.Config{}, eventlog.Config{})
	if a := d.post(t, `{"sent_at":"2026-03-01T10:00:03.5Z","events":[`+event(0, "")+`]}`); a.Status != 200 {
		t.Fatalf("answered %+v", a)
	}
	if e := d.stored(t)[0]; !e.HasClockOff || e.ClockOffsetMS != 6500 {
		t.Errorf("offset is %d, %v; want 6500", e.ClockOffsetMS, e.HasClockOff)
	}
	if a := d.post(t, `{"sent_at":"yesterday","events":[`+event(0, "")+`]}`); a.Status != 400 || a.Field != "sent_at" {
		t.Errorf("an unreadable sent_at is answered %+v; want 400", a)
	}
}

func TestCompressedBodies(t *testing.T) {
	t.Parallel()
	d := open(t, intake.Config{}, eventlog.Config{})
	pack := map[string]func([]byte) []byte{"gzip": zip, "zstd": func(b []byte) []byte {
		e, _ := zstd.NewWriter(nil)
		return e.EncodeAll(b, nil)
	}}
	for encoding, f := range pack {
		header := map[string]string{"Content-Encoding": encoding}
		if a := d.send(t, "POST", "/v1/events", header, f([]byte(event(0, "")))); a.Status != 200 || a.Accepted != 1 {
			t.Errorf("%s: answered %+v", encoding, a)
		}
		bomb := f(bytes.Repeat([]byte(" "), 64<<20))
		if len(bomb) > 1<<20 {
			t.Fatalf("%s: the bomb has %d bytes", encoding, len(bomb))
		}
		if a := d.send(t, "POST", "/v1/events", header, bomb); a.Status != 413 {
			t.Errorf("%s: a bomb is answered %+v; want 413", encoding, a)
		}
		if a := d.send(t, "POST", "/v1/events", header, []byte(event(0, ""))); a.Status != 400 {
			t.Errorf("%s: plain text is answered %+v; want 400", encoding, a)
		}
	}
	if a := d.send(t, "POST", "/v1/events", map[string]string{"Content-Encoding": "br"}, []byte(event(0, ""))); a.Status != 415 {
		t.Errorf("brotli is answered %+v; want 415", a)
	}
}

func zip(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

func TestBodiesThatCannotBeTaken(t *testing.T) {
	t.Parallel()
	d := open(t, intake.Config{}, eventlog.Config{})
	for name, c := range map[string]struct {
		body string
		want int
	}{
		"empty":           {"", 400},
		"half an array":   {"[" + event(0, ""), 400},
		"a number":        {"5", 400},
		"two values":      {"[] []", 400},
		"events no array": {`{"events":5}`, 400},
		"events twice":    {`{"events":[],"events":[]}`, 400},
		"5001 events":     {"[" + strings.Repeat("0,", 5000) + "0]", 413},
		"more than 8 MiB": {strings.Repeat(" ", 8<<20) + event(0, ""), 413},
	} {
		if a := d.post(t, c.body); a.Status != c.want || a.Error == "" {
			t.Errorf("%s: answered %+v; want %d", name, a, c.want)
		}
	}
	if n := len(d.stored(t)); n != 0 {
		t.Errorf("%d events were stored", n)
	}
}

func TestWriteKeys(t *testing.T) {
	t.Parallel()
	keys, err := intake.ParseKeys("secret-1=app, secret-2=other\n# a comment\n")
	if err != nil {
		t.Fatal(err)
	}
	d := open(t, intake.Config{Keys: keys}, eventlog.Config{})
	mixed := "[" + event(0, "") + "," + strings.Replace(event(1, ""), `"app"`, `"other"`, 1) + "]"
	for name, c := range map[string]struct {
		key, query, body           string
		status, accepted, rejected int
	}{
		"no key":                  {"", "", mixed, 401, 0, 0},
		"a wrong key":             {"Bearer secret-3", "", mixed, 401, 0, 0},
		"a key":                   {"Bearer secret-1", "", mixed, 200, 1, 1},
		"any case of the scheme":  {"bearer secret-2", "", mixed, 200, 1, 1},
		"a beacon's key":          {"", "?key=secret-1", mixed, 200, 1, 1},
		"nothing of its app":      {"Bearer secret-2", "", event(0, ""), 403, 0, 0},
		"nothing at all":          {"Bearer secret-2", "", "[]", 200, 0, 0},
		"nothing but broken ones": {"Bearer secret-2", "", "[1]", 200, 0, 1},
	} {
		a := d.send(t, "POST", "/v1/events"+c.query, map[string]string{"Authorization": c.key}, []byte(c.body))
		if a.Status != c.status || a.Accepted != c.accepted || a.Rejected != c.rejected {
			t.Errorf("%s: answered %+v", name, a)
		}
		if c.status == 200 && c.accepted == 1 && a.Results[0].Field != "app_id" {
			t.Errorf("%s: verdict %+v", name, a.Results[0])
		}
	}
	for _, bad := range []string{"short=app", "nokey", "=app", "secret-key="} {
		if _, err := intake.ParseKeys(bad); err == nil {
			t.Errorf("ParseKeys(%q) took it", bad)
		}
	}
}

func TestDryRunStoresNothing(t *testing.T) {
	t.Parallel()
	d := open(t, intake.Config{}, eventlog.Config{})
	a := d.send(t, "POST", "/v1/events?dry_run=1", nil, []byte("["+event(0, "")+",{}]"))
	if a.Status != 200 || a.Accepted != 1 || a.Rejected != 1 || len(a.Understood) != 1 || !strings.Contains(string(a.Understood[0]), `"reason":"Logining"`) {
		t.Errorf("answered %+v", a)
	}
	if n := len(d.stored(t)); n != 0 {
		t.Errorf("%d events were stored", n)
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	d := open(t, intake.Config{AllowedOrigins: []string{"https://app.example"}}, eventlog.Config{})
	for origin, want := range map[string]string{"https://app.example": "https://app.example", "https://evil.example": "", "": ""} {
		for _, method := range []string{"OPTIONS", "POST"} {
			a := d.send(t, method, "/v1/events", map[string]string{"Origin": origin}, []byte(event(0, "")))
			if got := a.Header.Get("Access-Control-Allow-Origin"); got != want {
				t.Errorf("%s from %q: allowed origin %q, want %q", method, origin, got, want)
			}
			if want != "" && a.Header.Get("Access-Control-Allow-Credentials") != "true" {
				t.Errorf("%s from %q: credentials are not allowed", method, origin)
			}
			if a.Header.Get("Vary") != "Origin" || method == "OPTIONS" && a.Status != 204 {
				t.Errorf("%s from %q: status %d, Vary %q", method, origin, a.Status, a.Header.Get("Vary"))
			}
			if method == "OPTIONS" && want != "" && !strings.Contains(a.Header.Get("Access-Control-Allow-Headers"), "content-type") {
				t.Errorf("preflight allows no content-type")
			}
		}
	}
}

func TestALogThatIsFullOrSilentIs503(t *testing.T) {
	t.Parallel()
	full := open(t, intake.Config{}, eventlog.Config{MaxBytes: 16 << 10})
	var a answer
	for i := 0; i < 200 && a.Status != 503; i++ {
		a = full.post(t, event(i, ""))
	}
	if a.Status != 503 || a.Header.Get("Retry-After") != "30" || !strings.Contains(a.Error, "full") {
		t.Errorf("a full log is answered %+v", a)
	}
	stored := len(full.stored(t))
	if a := full.send(t, "GET", "/healthz", nil, nil); a.Status != 200 || stored == 0 {
		t.Errorf("healthz of a full log: %d; %d events", a.Status, stored)
	}

	nc := eventlogtest.Server(t)
	log := eventlogtest.Open(t, nc, eventlog.Config{Timeout: 200 * time.Millisecond})
	server := httptest.NewServer(intake.New(log, intake.Config{}))
	defer server.Close()
	nc.Close()
	a = door{url: server.URL}.post(t, event(0, ""))
	if a.Status != 503 || a.Header.Get("Retry-After") != "1" || !strings.Contains(a.Error, "send them again") {
		t.Errorf("a silent log is answered %+v", a)
	}
}

func TestOtherRequests(t *testing.T) {
	t.Parallel()
	d := open(t, intake.Config{}, eventlog.Config{})
	for path, want := range map[string]int{"GET /healthz": 200, "GET /readyz": 200, "GET /v1/events": 405, "GET /nothing": 404} {
		method, path, _ := strings.Cut(path, " ")
		if a := d.send(t, method, path, nil, nil); a.Status != want {
			t.Errorf("%s %s: %d, want %d", method, path, a.Status, want)
		}
	}
}

func TestCheckListen(t *testing.T) {
	t.Parallel()
	for listen, keyless := range map[string]bool{"127.0.0.1:8080": true, "localhost:1": true, "[::1]:8080": true, "0.0.0.0:8080": false, ":8080": false, "10.0.0.1:80": false} {
		if err := intake.CheckListen(listen, false); (err == nil) != keyless {
			t.Errorf("CheckListen(%q) without keys: %v", listen, err)
		}
		if err := intake.CheckListen(listen, true); err != nil {
			t.Errorf("CheckListen(%q) with keys: %v", listen, err)
		}
	}
	if err := intake.CheckListen("8080", true); err == nil {
		t.Error("CheckListen took an address without a host")
	}
}

// Many senders that promise much and send nothing keep nobody out, and a small
// body that unpacks to millions of elements takes no memory for them. It runs
// alone, since it looks at the memory of the process.
func TestGreedySendersHarmNobody(t *testing.T) {
	d := open(t, intake.Config{}, eventlog.Config{})
	address := strings.TrimPrefix(d.url, "http://")
	for range 40 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "POST /v1/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n")
	}
	if a := d.post(t, event(0, "")); a.Status != 200 {
		t.Errorf("beside slow senders: %+v", a)
	}
	elements := zip([]byte("[" + strings.Repeat("0,", 4_000_000) + "0]"))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if a := d.send(t, "POST", "/v1/events", map[string]string{"Content-Encoding": "gzip"}, elements); a.Status != 413 {
		t.Errorf("four million elements: %+v; want 413", a)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 96<<20 {
		t.Errorf("four million elements took %d MiB", used>>20)
	}
}

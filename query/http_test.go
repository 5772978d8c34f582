package query

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func serveWith(m *memory, c Config) http.Handler {
	return NewHandler(m, func() time.Time { return threeTwelve }, c)
}

func get(h http.Handler, method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	r.Host = "127.0.0.1:8081"
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestEveryQuestionIsServed(t *testing.T) {
	t.Parallel()
	for _, q := range Questions() {
		m := memory{answers: []Answer{{Columns: []string{"app_id", "age_ms"}, Rows: [][]any{{"demo", int64(90_000)}}, More: true}}}
		w := get(serveWith(&m, Config{}), "GET", strings.NewReplacer("{app}", "demo", "{session}", "s1").Replace(q.Path))
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s: %s", q.Path, w.Code, w.Header().Get("Content-Type"), w.Body)
			continue
		}
		var doc struct {
			Question     string
			Since, Until time.Time
			More         bool
			Rows         []map[string]any
		}
		if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
			t.Errorf("%s: %v", q.Path, err)
			continue
		}
		if doc.Question != q.Name || !doc.More || len(doc.Rows) != 1 || doc.Rows[0]["age_ms"] != 90_000.0 {
			t.Errorf("%s answers %s", q.Path, w.Body)
		}
		if q.Takes("since") && (!doc.Until.Equal(threeTwelve) || !doc.Since.Equal(threeTwelve.Add(-time.Hour))) {
			t.Errorf("%s answers since %s until %s", q.Path, doc.Since, doc.Until)
		}
		if m.asked[0].sql != q.SQL {
			t.Errorf("%s asks something else", q.Path)
		}
		for _, beside := range q.With {
			if !strings.Contains(w.Body.String(), fmt.Sprintf("%q:[", beside)) {
				t.Errorf("%s answers without %s", q.Path, beside)
			}
		}
	}
}

func TestParametersReachTheQuestion(t *testing.T) {
	t.Parallel()
	var m memory
	w := get(serveWith(&m, Config{}), "GET", "/v1/kicks?since=03:00&until=2026-03-01T03:10:00Z&room=%E4%BC%9A%E8%AE%AE+1&limit=5&user=")
	if w.Code != http.StatusOK {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	args := m.asked[0].args
	if args["room"] != "会议 1" || args["user"] != nil || args["limit"] != int64(6) || args["since"] != threeTwelve.Add(-12*time.Minute) {
		t.Errorf("asked with %v", args)
	}
}

func TestSessionPath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string][2]string{
		"/v1/sessions/demo/s1":                    {"demo", "s1"},
		"/v1/sessions/a%2Fb/c%2F%2Fd":             {"a/b", "c//d"},
		"/v1/sessions/demo/%E4%BC%9A%20%3F":       {"demo", "会 ?"},
		"/v1/sessions/demo/%2E%2E?user=u&limit=1": {"demo", ".."},
	} {
		var m memory
		w := get(serveWith(&m, Config{}), "GET", path)
		if len(m.asked) != 1 || m.asked[0].args["app"] != want[0] || m.asked[0].args["session"] != want[1] {
			t.Errorf("%s asks %v", path, m.asked)
		}
		if w.Code != http.StatusNotFound {
			t.Errorf("%s: a session that is not there is %d, want 404", path, w.Code)
		}
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		method, target string
		err            error
		status         int
		parameter      string
		detail         string
	}{
		"unreadable time":           {"GET", "/v1/kicks?since=soon", nil, 400, "since", "want a duration back"},
		"unknown parameter":         {"GET", "/v1/kicks?rooom=r", nil, 400, "rooom", "one of since"},
		"parameter it does not use": {"GET", "/v1/anomalies?network=wifi", nil, 400, "network", "one of since"},
		"limit too high":            {"GET", "/v1/kicks?limit=10001", nil, 400, "limit", "1 to 10000"},
		"twice":                     {"GET", "/v1/kicks?room=a&room=b", nil, 400, "room", "more than once"},
		"beside the path":           {"GET", "/v1/sessions/demo/s1?app=other", nil, 400, "app", "beside the path"},
		"unreadable query":          {"GET", "/v1/kicks?room=%zz", nil, 400, "query", "percent-encoded"},
		"unreadable text":           {"GET", "/v1/kicks?room=%ff", nil, 400, "room", "UTF-8"},
		"unknown path":              {"GET", "/v1/nothing", nil, 404, "", "listed at /"},
		"unknown method":            {"POST", "/v1/kicks", nil, 405, "", "want GET"},
		"no database":               {"GET", "/v1/kicks", fmt.Errorf("%w: secret host", ErrUnavailable), 503, "", "try again"},
		"slow database":             {"GET", "/v1/kicks", ErrTimeout, 504, "", "shorter time range"},
		"broken question":           {"GET", "/v1/kicks", errors.New("syntax error in secret SQL"), 500, "", "log of the server"},
		"broken page":               {"GET", "/", ErrUnavailable, 503, "", "try again"},
	} {
		w := get(serveWith(&memory{err: tc.err}, Config{}), tc.method, tc.target)
		var p problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Errorf("%s: %v: %s", name, err, w.Body)
			continue
		}
		if w.Code != tc.status || p.Status != tc.status || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d, problem %d, %s; want %d", name, w.Code, p.Status, w.Header().Get("Content-Type"), tc.status)
		}
		if p.Parameter != tc.parameter || !strings.Contains(p.Detail, tc.detail) || strings.Contains(p.Detail, "secret") {
			t.Errorf("%s: parameter %q, detail %q; want %q, %q", name, p.Parameter, p.Detail, tc.parameter, tc.detail)
		}
		if tc.parameter != "" && p.Expected == "" {
			t.Errorf("%s does not say what would be right", name)
		}
	}
}

func TestTimeLimitOfARequest(t *testing.T) {
	t.Parallel()
	h := NewHandler(slow{}, func() time.Time { return threeTwelve }, Config{Timeout: time.Millisecond})
	if w := get(h, "GET", "/v1/kicks"); w.Code != http.StatusGatewayTimeout {
		t.Errorf("a question without end is %d, want 504", w.Code)
	}
}

// slow answers when the time is up.
type slow struct{}

func (slow) Ask(ctx context.Context, _ string, _ map[string]any, _ int) (Answer, error) {
	<-ctx.Done()
	return Answer{}, ctx.Err()
}

func TestKeys(t *testing.T) {
	t.Parallel()
	with, without := Config{Keys: []string{"k1", "k2"}}, Config{}
	for name, tc := range map[string]struct {
		config Config
		path   string
		header []string
		status int
	}{
		"first key":                  {with, "/v1/kicks", []string{"Authorization", "Bearer k1"}, 200},
		"second key":                 {with, "/v1/kicks", []string{"Authorization", "bearer k2"}, 200},
		"page with key":              {with, "/", []string{"Authorization", "Bearer k1"}, 200},
		"any host with key":          {with, "/v1/kicks", []string{"Authorization", "Bearer k1", "Host", "rooms.example"}, 200},
		"no key":                     {with, "/v1/kicks", nil, 401},
		"page without key":           {with, "/", nil, 401},
		"unknown path without key":   {with, "/nothing", nil, 401},
		"wrong key":                  {with, "/v1/kicks", []string{"Authorization", "Bearer k3"}, 401},
		"start of a key":             {with, "/v1/kicks", []string{"Authorization", "Bearer k"}, 401},
		"empty key":                  {with, "/v1/kicks", []string{"Authorization", "Bearer "}, 401},
		"another scheme":             {with, "/v1/kicks", []string{"Authorization", "Basic k1"}, 401},
		"health check without key":   {with, "/healthz", nil, 200},
		"localhost":                  {without, "/v1/kicks", []string{"Host", "localhost:8081"}, 200},
		"IPv6 loopback":              {without, "/v1/kicks", []string{"Host", "[::1]:8081"}, 200},
		"IPv6 loopback, no port":     {without, "/v1/kicks", []string{"Host", "[::1]"}, 200},
		"a name that points here":    {without, "/v1/kicks", []string{"Host", "evil.example:8081"}, 421},
		"an address that is outside": {without, "/v1/kicks", []string{"Host", "192.0.2.1:8081"}, 421},
	} {
		w := get(serveWith(&memory{}, tc.config), "GET", tc.path, tc.header...)
		if w.Code != tc.status {
			t.Errorf("%s: %d, want %d: %s", name, w.Code, tc.status, w.Body)
		}
		if got := w.Header().Get("WWW-Authenticate") != ""; got != (tc.status == 401) {
			t.Errorf("%s: WWW-Authenticate is %q", name, w.Header().Get("WWW-Authenticate"))
		}
	}
}

func TestPage(t *testing.T) {
	t.Parallel()
	m := memory{answers: []Answer{{
		Columns: []string{"platform", "logins", "login_success_rate", "reconnect_finished_p50_ms"},
		Rows:    [][]any{{"<web>", int64(3), 0.5, int64(90_000)}, {"total", int64(3), 0.5, nil}},
	}}}
	w := get(serveWith(&m, Config{}), "GET", "/")
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
		t.Fatalf("%d %s", w.Code, w.Header().Get("Content-Type"))
	}
	page := w.Body.String()
	for _, want := range []string{"&lt;web&gt;", "<td>50.0 %</td>", "<td>1m 30s</td>", "<td>–</td>", `http-equiv="refresh"`, "2026-03-01 02:12:00 to 03:12:00 UTC"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, q := range Questions() {
		if !strings.Contains(page, "<code>"+q.Path+"</code>") {
			t.Errorf("the page does not list %s", q.Path)
		}
	}
	for _, outside := range []string{"<script", "src=", "http://", "https://", "<link", "url("} {
		if strings.Contains(page, outside) {
			t.Errorf("the page asks for something outside: %s", outside)
		}
	}
}

func TestHealthz(t *testing.T) {
	t.Parallel()
	var m memory
	w := get(serveWith(&m, Config{}), "GET", "/healthz")
	if w.Code != http.StatusOK || len(m.asked) != 0 {
		t.Errorf("%d after %d questions, want 200 after none", w.Code, len(m.asked))
	}
}

package query

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A Source wraps these where it knows why it has no answer.
var (
	ErrUnavailable = errors.New("the read model does not answer")
	ErrTimeout     = errors.New("the question took too long")
)

var (
	errNotFound     = errors.New("there is no such thing")
	errUnauthorized = errors.New("a valid read key is required: send it as Authorization: Bearer KEY")
	errMisdirected  = errors.New("without read keys only loopback is served")
)

// Config holds what NewHandler can do without.
type Config struct {
	Keys    []string      // bearer keys; without one only loopback names are served
	Timeout time.Duration // for one request, 30 s if 0
	Logger  *slog.Logger  // nil logs nothing
}

// NewHandler serves the questions (contract 6). It reads the clock through now,
// whose zone is that of the clock times in since and until.
func NewHandler(source Source, now func() time.Time, c Config) http.Handler {
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	h := &handler{source: source, now: now, timeout: c.Timeout, logger: c.Logger}
	for _, k := range c.Keys {
		h.keys = append(h.keys, sha256.Sum256([]byte(k)))
	}
	mux := http.NewServeMux()
	for _, q := range questions {
		mux.Handle("GET "+q.Path, h.answer(func(r *http.Request, w *response) error { return h.question(q, r, w) }))
	}
	mux.Handle("GET /{$}", h.answer(h.page))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.Handle("/", h.answer(func(r *http.Request, w *response) error {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			return &methodError{r.Method}
		}
		return fmt.Errorf("%w as %s; the questions are listed at /", errNotFound, r.URL.Path)
	}))
	return mux
}

type handler struct {
	source  Source
	now     func() time.Time
	timeout time.Duration
	logger  *slog.Logger
	keys    [][sha256.Size]byte
}

// response is an answer that is complete before its first byte is sent, so that
// a failure can still choose the status.
type response struct {
	bytes.Buffer
	contentType string
}

type methodError struct{ method string }

func (e *methodError) Error() string { return "method " + e.method + " is not allowed; want GET" }

// answer wraps what every request has: the key, the time limit, the problem.
func (h *handler) answer(serve func(*http.Request, *response) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), h.timeout)
		defer cancel()
		var out response
		err := h.authorize(r)
		if err == nil {
			err = serve(r.WithContext(ctx), &out)
		}
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		if err != nil {
			h.problem(w, r, err)
			return
		}
		header.Set("Content-Type", out.contentType)
		header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
		if _, err := w.Write(out.Bytes()); err != nil {
			h.logger.Debug("write answer", "path", r.URL.Path, "error", err)
		}
	})
}

// authorize compares digests, so that neither the time nor the length tells how
// near a guess is. Without keys it serves loopback names alone: a page of
// another site that points its own name here must not read the answers.
func (h *handler) authorize(r *http.Request) error {
	if len(h.keys) == 0 {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		ip := net.ParseIP(strings.Trim(host, "[]"))
		if !strings.EqualFold(host, "localhost") && (ip == nil || !ip.IsLoopback()) {
			return fmt.Errorf("%w, not %s", errMisdirected, r.Host)
		}
		return nil
	}
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	digest := sha256.Sum256([]byte(strings.TrimSpace(key)))
	found := 0
	for _, k := range h.keys {
		found |= subtle.ConstantTimeCompare(k[:], digest[:])
	}
	if found == 0 || !strings.EqualFold(scheme, "Bearer") {
		return errUnauthorized
	}
	return nil
}

func (h *handler) question(q Question, r *http.Request, w *response) error {
	given, err := parameters(q, r)
	if err != nil {
		return err
	}
	request, err := q.Request(h.now(), given)
	if err != nil {
		return err
	}
	result, err := request.Ask(r.Context(), h.source)
	if err != nil {
		return err
	}
	if len(result.Rows) == 0 && r.PathValue("session") != "" {
		return fmt.Errorf("%w as session %q in app %q", errNotFound, r.PathValue("session"), r.PathValue("app"))
	}
	w.contentType = "application/json"
	return WriteDocument(w, result)
}

// parameters reads a question's parameters from the path and the query, each
// once.
func parameters(q Question, r *http.Request) (map[string]string, error) {
	values, err := url.ParseQuery(r.URL.RawQuery) // r.URL.Query drops what it cannot read
	if err != nil {
		return nil, &InvalidError{"query", r.URL.RawQuery, "is not readable", "name=value&name=value, percent-encoded"}
	}
	given := make(map[string]string)
	for name, all := range values {
		if len(all) > 1 {
			return nil, &InvalidError{name, strings.Join(all, ", "), "is given more than once", "one value"}
		}
		given[name] = all[0]
	}
	for _, name := range q.Names() {
		inPath := r.PathValue(name)
		if inPath == "" {
			continue
		}
		if twice, ok := given[name]; ok {
			return nil, &InvalidError{name, twice, "is given beside the path", "it in the path alone"}
		}
		given[name] = inPath
	}
	return given, nil
}

// statusOf is the one place that chooses a status.
func statusOf(err error) int {
	var invalid *InvalidError
	var method *methodError
	switch {
	case errors.As(err, &invalid):
		return http.StatusBadRequest
	case errors.As(err, &method):
		return http.StatusMethodNotAllowed
	case errors.Is(err, errUnauthorized):
		return http.StatusUnauthorized
	case errors.Is(err, errMisdirected):
		return http.StatusMisdirectedRequest
	case errors.Is(err, errNotFound):
		return http.StatusNotFound
	case errors.Is(err, ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout
	case errors.Is(err, ErrUnavailable), errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// problem is RFC 9457, with the parameter, its value and what would be right.
type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	Parameter string `json:"parameter,omitempty"`
	Value     string `json:"value,omitempty"`
	Expected  string `json:"expected,omitempty"`
}

func (h *handler) problem(w http.ResponseWriter, r *http.Request, err error) {
	status := statusOf(err)
	p := problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: err.Error()}
	if invalid := (*InvalidError)(nil); errors.As(err, &invalid) {
		p.Parameter, p.Value, p.Expected = invalid.Param, invalid.Value, invalid.Want
	}
	header := w.Header()
	switch status {
	case http.StatusUnauthorized:
		header.Set("WWW-Authenticate", `Bearer realm="roomtrail"`)
	case http.StatusMethodNotAllowed:
		header.Set("Allow", "GET, HEAD")
	case http.StatusInternalServerError, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		// What the database said is for the log, not for whoever asked.
		h.logger.Error("answer question", "path", r.URL.Path, "status", status, "error", err)
		p.Detail = publicDetail[status]
		if status != http.StatusInternalServerError {
			header.Set("Retry-After", "5")
		}
	}
	header.Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if err := e.Encode(p); err != nil {
		h.logger.Debug("write problem", "path", r.URL.Path, "error", err)
	}
}

var publicDetail = map[int]string{
	http.StatusInternalServerError: "the question could not be answered; the log of the server says why",
	http.StatusServiceUnavailable:  "the read model does not answer; try again",
	http.StatusGatewayTimeout:      "the question took too long; ask for a shorter time range or set a filter",
}

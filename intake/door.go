package intake

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"roomtrail/credentials"
	"roomtrail/events"
)

// Log is what the door needs of the log: nil means that all events are durable.
type Log interface {
	Append(ctx context.Context, list []events.Event) error
}

// Config is how the door is opened. The zero value takes events of every app
// without a key: fit for loopback alone, see CheckListen.
type Config struct {
	Keys           Keys
	Credentials    func() *credentials.Set // the keys of now; nil: Keys for ever
	Limits         Limits
	AllowedOrigins []string // browsers' origins; "*" allows all
	TrustedProxies []netip.Prefix
	// AliveEvery is how often the reporters of an app and platform are asked to
	// say that they live, in milliseconds; nil, and 0, is 30 000.
	AliveEvery func(app, platform string) int64
	// Signs takes signs of life; nil: none are taken.
	Signs     func([]events.Sign) error
	ImportKey string           // marks what is sent with it as an import, of any app; empty: none
	Now       func() time.Time // nil means time.Now
	Callbacks Callbacks
	Ready     func(context.Context) Readiness
	IsFull    func(error) bool // tells a full log from a silent one
	Logger    *slog.Logger
	Observe   Observer
}

// Readiness is what /readyz says.
type Readiness struct {
	Ready      bool             `json:"ready"`
	Log        string           `json:"log"`
	Database   string           `json:"database,omitempty"`
	Durability string           `json:"durability"`
	Partitions []PartitionState `json:"partitions,omitempty"`
}

// PartitionState is how much a partition of the log holds.
type PartitionState struct {
	Generation int       `json:"generation"`
	Partition  int       `json:"partition"`
	IsRetired  bool      `json:"retired,omitempty"` // it takes no more events
	Messages   uint64    `json:"messages"`
	LastSeq    uint64    `json:"last_seq"`
	Created    time.Time `json:"created"`
	Bytes      uint64    `json:"bytes"`
	MaxBytes   int64     `json:"max_bytes"`
}

// Observer is told what the door did; nil functions are skipped.
type Observer struct {
	Request  func(Request)
	Callback func(CallbackSeen)
}

// Request is one answered report.
type Request struct {
	Status, Accepted, Rejected, Bytes int
	Took                              time.Duration
}

func (o Observer) request(r Request) {
	if o.Request != nil {
		o.Request(r)
	}
}

// Door is the HTTP handler.
type Door struct {
	log    Log
	config Config
	mux    *http.ServeMux
	memory *memory

	limiter *limiter
}

// New makes a door to the log.
func New(log Log, config Config) *Door {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.Credentials == nil {
		keys := credentials.NewSet(config.Keys.Credentials())
		config.Credentials = func() *credentials.Set { return keys }
	}
	config.Limits = config.Limits.withDefaults()
	d := &Door{log: log, config: config, mux: http.NewServeMux(), memory: newMemory(), limiter: newLimiter(time.Now())}
	d.mux.HandleFunc("POST /v1/events", d.reports)
	d.mux.HandleFunc("POST /v1/zego/callbacks", d.callbacks)
	d.mux.HandleFunc("POST /v1/alive", d.alive)
	for _, path := range []string{"/v1/events", "/v1/alive"} {
		d.mux.HandleFunc("OPTIONS "+path, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	}
	d.mux.HandleFunc("POST /v1/messages", d.messages)
	d.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]bool{"live": true})
	})
	d.mux.HandleFunc("GET /readyz", d.ready)
	d.mux.HandleFunc("GET /v1/schema", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/schema+json")
		_, _ = w.Write(events.Schema()) // the asker may have gone
	})
	return d
}

// Handle adds a route, for what belongs to the program and not to the door.
func (d *Door) Handle(pattern string, h http.Handler) { d.mux.Handle(pattern, h) }

func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.cors(w, r)
	d.mux.ServeHTTP(w, r)
}

// cors echoes an allowed origin, credentials included: browsers send beacons
// with them, and refuse the answer "*" for those.
func (d *Door) cors(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if origin == "" || !d.allows(origin) {
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "retry-after, ratelimit-limit, ratelimit-remaining, ratelimit-reset")
	h.Set("Access-Control-Allow-Credentials", "true")
	if r.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", "POST")
		h.Set("Access-Control-Allow-Headers", "authorization, content-encoding, content-type")
		h.Set("Access-Control-Max-Age", "7200")
	}
}

// allows says whether pages of the origin may report: by the list, or because a
// key names them.
func (d *Door) allows(origin string) bool {
	list := d.config.AllowedOrigins
	return slices.Contains(list, origin) || slices.Contains(list, "*") || d.config.Credentials().HasOrigin(origin)
}

func (d *Door) ready(w http.ResponseWriter, r *http.Request) {
	state := Readiness{Ready: true, Log: "unknown", Durability: "unverified"}
	if d.config.Ready != nil {
		ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
		defer cancel()
		state = d.config.Ready(ctx)
	}
	status := http.StatusOK
	if !state.Ready {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, state)
}

// refuse answers a request that was not taken.
func (d *Door) refuse(w http.ResponseWriter, f *fault, results []verdict) {
	if f.wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(f.wait.Seconds())))
	}
	if f.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	writeJSON(w, f.status, struct {
		Error   string    `json:"error"`
		Field   string    `json:"field,omitempty"`
		Results []verdict `json:"results,omitempty"`
	}{f.reason, f.field, results})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // the sender may have gone
}

// Server wraps a handler with a limit on every stage of a connection. It speaks
// HTTP/1 alone: then a connection brings one request at a time, and what limits
// connections limits requests. A report is one request, and gains nothing by
// HTTP/2; a proxy may speak that.
func Server(h http.Handler) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
		Protocols:         protocols,
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       20 * time.Second,
		WriteTimeout:      40 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    8 << 10, // as nginx takes; net/http adds 4 KiB. Ten thousand connections may all bring them
	}
}

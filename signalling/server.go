package signalling

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"roomtrail/room"
)

// Config is how a server is set up.
type Config struct {
	Apps           map[string]App   // by AppId
	AllowedOrigins []string         // of web pages that may connect, such as https://app.example, beside those of the server's own host
	MaxConnections int              // of all apps together; zero is 10 000
	Now            func() time.Time // nil is time.Now
	Logger         *slog.Logger     // nil is none
}

// App is one app of the server.
type App struct {
	ServerSecret   string // signs calls of the server API; without one there are none
	Rules          room.Rules
	CallbackURL    string // where server callbacks are posted; empty is nowhere
	CallbackSecret string
	CallbackDelays []time.Duration // waits before each retry; nil is 2, 4, 8, 16 and 32 s
}

const (
	maxConnections = 10_000
	// What one client may say: it beats every few seconds, and 50 messages at
	// once is more than any app has reason for.
	messagesPerSecond = 20
	messagesAtOnce    = 50
)

// Server is the room service. It is an http.Handler:
//
//	GET  /v1/connect?app=APP&user=U&device=D&instance=I  a WebSocket, for Client
//	GET  /?Action=...                                    the server API, also POST
//	GET  /healthz                                        200 while it serves
type Server struct {
	apps    map[string]*app
	origins []string
	most    int
	logger  *slog.Logger
	mux     *http.ServeMux

	mu       sync.Mutex
	lines    map[*line]struct{} // also those that were replaced and still end
	serving  sync.WaitGroup
	isClosed bool
}

// New returns a server that serves until Close.
func New(c Config) *Server {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = maxConnections
	}
	s := &Server{
		apps: map[string]*app{}, origins: c.AllowedOrigins, most: c.MaxConnections,
		logger: c.Logger, mux: http.NewServeMux(), lines: map[*line]struct{}{},
	}
	for name, a := range c.Apps {
		s.apps[name] = newApp(name, a, c.Now, c.Logger)
	}
	s.mux.HandleFunc("GET /v1/connect", s.connect)
	s.mux.HandleFunc("GET /{$}", s.call)
	s.mux.HandleFunc("POST /{$}", s.call)
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, map[string]bool{"live": true}) })
	return s
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// connect serves one line from its first byte to its last.
func (s *Server) connect(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	a := s.apps[q.Get("app")]
	at := room.Endpoint{User: q.Get("user"), Device: q.Get("device"), Instance: q.Get("instance")}
	if a == nil {
		http.Error(w, "app is not one that is served here", http.StatusNotFound)
		return
	}
	if why := checkEndpoint(at); why != "" {
		http.Error(w, why, http.StatusBadRequest)
		return
	}
	ctx, l := newLine(context.WithoutCancel(r.Context()))
	if !s.enter(l) {
		http.Error(w, "there are too many connections, or the server stops; try again later", http.StatusServiceUnavailable)
		return
	}
	defer s.leave(l)
	defer l.drop(errFinished)
	idle := time.AfterFunc(a.idleAfter, func() { l.drop(errSilent) })
	defer idle.Stop()
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		OriginPatterns: s.origins,
		OnPingReceived: func(context.Context, []byte) bool { idle.Reset(a.idleAfter); return true },
	})
	if err != nil {
		s.logger.Info("connection refused", "app", a.name, "error", err)
		return // Accept has answered
	}
	conn.SetReadLimit(maxFromClient)
	a.attach(at, l)
	s.logger.Info("connected", "app", a.name, "user", at.User, "device", at.Device)
	pace := rate.NewLimiter(messagesPerSecond, messagesAtOnce)
	why := l.run(ctx, conn, func(m room.Message) error {
		idle.Reset(a.idleAfter)
		if err := pace.Wait(ctx); err != nil {
			return err
		}
		return a.receive(at, l, m)
	})
	a.detach(at, l)
	s.logger.Info("disconnected", "app", a.name, "user", at.User, "device", at.Device, "why", why)
}

// checkEndpoint says what is wrong with an endpoint, if anything is. The limit
// of a user is that of the vendor's SDK (1002007).
func checkEndpoint(at room.Endpoint) string {
	switch {
	case at.User == "" || len(at.User) >= 64:
		return "user has no name, or one of 64 bytes or more"
	case len(at.Device) > 255 || len(at.Instance) > 255:
		return "device or instance has more than 255 bytes"
	case !utf8.ValidString(at.User + "\x00" + at.Device + "\x00" + at.Instance):
		return "user, device or instance is not UTF-8"
	}
	return ""
}

// enter counts a line in, unless there are too many or the server stops.
func (s *Server) enter(l *line) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isClosed || len(s.lines) >= s.most {
		return false
	}
	s.lines[l] = struct{}{}
	s.serving.Add(1)
	return true
}

func (s *Server) leave(l *line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.lines, l)
	s.serving.Done()
}

// Close ends all lines, politely as long as the context lasts, and posts what
// callbacks wait, without retries. Calls under way end by themselves.
func (s *Server) Close(ctx context.Context) {
	s.mu.Lock()
	wasClosed := s.isClosed
	s.isClosed = true
	lines := maps.Clone(s.lines)
	s.mu.Unlock()
	for l := range lines {
		l.finish(websocket.StatusGoingAway)
	}
	ended := make(chan struct{})
	go func() { s.serving.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-ctx.Done():
		for l := range lines {
			l.drop(context.Cause(ctx))
		}
		<-ended
	}
	if wasClosed {
		return
	}
	// Stop order: lines, rooms, what the rooms still had to tell.
	for _, a := range s.apps {
		if a.stop(); a.posts != nil {
			a.posts.close(ctx)
		}
	}
}

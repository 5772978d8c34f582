package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"roomtrail/commandline"
	"roomtrail/intake"
	"roomtrail/room"
	"roomtrail/signalling"
)

// serve runs the rooms until it is told to stop.
type serve struct {
	Listen           string        `from:"ROOMTRAIL_ROOMS_LISTEN,ROOMTRAIL_LISTEN" default:"127.0.0.1:8090" placeholder:"HOST:PORT" help:"Where to listen (default ${default})."`
	Apps             []string      `name:"app" from:"ROOMTRAIL_ROOMS_APPS" placeholder:"APP=SECRET" help:"An app and its server secret; may be given several times (default demo, with a secret made for this run)."`
	HeartbeatTimeout time.Duration `from:"ROOMTRAIL_HEARTBEAT_TIMEOUT" default:"90s" placeholder:"DURATION" help:"H: a user who is not heard of for so long is out (default ${default})."`
	CallbackURL      string        `name:"callback-url" from:"ROOMTRAIL_CALLBACK_URL" placeholder:"URL" help:"Where server callbacks are posted."`
	CallbackSecret   string        `from:"ROOMTRAIL_CALLBACK_SECRET" placeholder:"SECRET" help:"Signs server callbacks."`
	TokenSecret      string        `from:"ROOMTRAIL_TOKEN_SECRET" placeholder:"SECRET" help:"Signs tokens, for all apps; without it any token is good. Needed unless only loopback is served."`
	KickOnExpiry     bool          `from:"ROOMTRAIL_KICK_ON_EXPIRY" help:"Kick a user whose token ends (a switch on the vendor's side)."`
	MultiRoom        bool          `from:"ROOMTRAIL_MULTI_ROOM" help:"Let a user be in several rooms."`
	MaxMembers       int           `from:"ROOMTRAIL_MAX_MEMBERS" placeholder:"N" help:"Users of one room at most (default no limit)."`
	TLSCert          string        `name:"tls-cert" from:"ROOMTRAIL_TLS_CERT" placeholder:"FILE" help:"Certificate chain in PEM; the rooms then speak wss and HTTPS."`
	TLSKey           string        `name:"tls-key" from:"ROOMTRAIL_TLS_KEY" placeholder:"FILE" help:"Its private key in PEM."`
	AllowedOrigins   []string      `from:"ROOMTRAIL_ALLOWED_ORIGINS" placeholder:"ORIGIN" help:"Origins of web pages that may connect, such as https://app.example, beside the server's own."`
}

// Help is shown below the flags.
func (s *serve) Help() string {
	return `Clients connect to ws://HOST:PORT/v1/connect?app=APP&user=USER&device=DEVICE&instance=START.

The server API is the vendor's: KickoutUser, CloseRoom, DescribeUserList, DescribeUserNum. A call is signed with the lower-case hex MD5 of AppId, SignatureNonce, the app's server secret and Timestamp, joined:

    app=demo secret=SECRET nonce=$(openssl rand -hex 8) now=$(date +%s)
    sign=$(printf %s "$app$nonce$secret$now" | md5sum | cut -c1-32)
    curl -G http://127.0.0.1:8090/ -d Action=KickoutUser -d AppId=$app \
      -d SignatureNonce=$nonce -d Timestamp=$now -d Signature=$sign \
      -d SignatureVersion=2.0 -d RoomId=r1 -d 'UserId[]=u1' -d CustomReason=bye

A token is hex(HMAC-SHA256(token secret, "USER|ROOM|EXPIRES")).EXPIRES, with the expiry in Unix seconds.`
}

// stopWithin is how long a stop may take: lines close, callbacks go out.
const stopWithin = 10 * time.Second

func (s *serve) Run(t *terminal) error {
	logger := t.logger()
	config, made, err := s.config(logger)
	if err != nil {
		return &commandline.UsageError{Err: err}
	}
	listener, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", s.Listen, err)
	}
	// Judged by what the name came to, not by how it was spelled.
	if at, ok := listener.Addr().(*net.TCPAddr); s.TokenSecret == "" && (!ok || !at.IP.IsLoopback()) {
		listener.Close()
		return commandline.Usagef("listen on %s: anybody there could take any user's name, for no token secret is set; set --token-secret or listen on 127.0.0.1", s.Listen)
	}
	rooms := signalling.New(config)
	server := intake.Server(rooms)
	server.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelWarn)
	scheme, err := s.secure(&listener)
	if err != nil {
		return errors.Join(&commandline.UsageError{Err: err}, listener.Close())
	}
	s.welcome(t, scheme, listener.Addr().String(), config, made)
	return serveUntil(t.ctx, server, listener, rooms)
}

// config checks the flags and turns them into what the server wants. made is
// the secret of the app demo, where it had to be made.
func (s *serve) config(logger *slog.Logger) (c signalling.Config, made string, err error) {
	if s.HeartbeatTimeout <= 0 {
		return c, "", fmt.Errorf("--heartbeat-timeout is %s; want more than 0, such as 90s", s.HeartbeatTimeout)
	}
	if s.MaxMembers < 0 {
		return c, "", fmt.Errorf("--max-members is %d; want 0 for no limit, or more", s.MaxMembers)
	}
	if s.KickOnExpiry && s.TokenSecret == "" {
		return c, "", errors.New("--kick-on-expiry has no effect without --token-secret: only tokens that are read can end")
	}
	if (s.CallbackURL == "") != (s.CallbackSecret == "") {
		return c, "", errors.New("--callback-url and --callback-secret belong together; only one is set")
	}
	if u, err := url.Parse(s.CallbackURL); s.CallbackURL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return c, "", fmt.Errorf("--callback-url is %q; want an address such as https://backend.example/callback", s.CallbackURL)
	}
	secrets, err := parseApps(s.Apps)
	if err != nil {
		return c, "", err
	}
	if len(secrets) == 0 {
		made = rand.Text()
		secrets = map[string]string{"demo": made}
	}
	rules := room.Rules{
		HeartbeatTimeout: s.HeartbeatTimeout, KickOnExpiry: s.KickOnExpiry, MultiRoom: s.MultiRoom, MaxMembers: s.MaxMembers,
	}
	if s.TokenSecret != "" {
		rules.Check = signalling.TokenCheck(s.TokenSecret)
	}
	c = signalling.Config{Apps: map[string]signalling.App{}, AllowedOrigins: s.AllowedOrigins, Logger: logger}
	for app, secret := range secrets {
		r := rules
		r.First = firstNumber(time.Now())
		c.Apps[app] = signalling.App{ServerSecret: secret, Rules: r, CallbackURL: s.CallbackURL, CallbackSecret: s.CallbackSecret}
	}
	return c, made, nil
}

// firstNumber is where numbers of rooms and sessions start, so that after a
// restart none is given out that was used before: there are fewer of them than
// microseconds.
func firstNumber(now time.Time) uint64 { return uint64(now.UnixMicro()) }

// parseApps reads APP=SECRET.
func parseApps(list []string) (map[string]string, error) {
	secrets := map[string]string{}
	for i, one := range list {
		app, secret, _ := strings.Cut(one, "=")
		if app == "" || secret == "" {
			return nil, fmt.Errorf("--app %d: want APP=SECRET, such as demo=9193cc662a4c0ec135ec71fb57194b38", i+1)
		}
		if _, ok := secrets[app]; ok {
			return nil, fmt.Errorf("--app %d: app %s is there twice", i+1, app)
		}
		secrets[app] = secret
	}
	return secrets, nil
}

// secure wraps the listener in TLS where a certificate is named, and returns
// what the addresses end their scheme with.
func (s *serve) secure(l *net.Listener) (string, error) {
	if (s.TLSCert == "") != (s.TLSKey == "") {
		return "", errors.New("--tls-cert and --tls-key belong together; only one is set")
	}
	if s.TLSCert == "" {
		return "", nil
	}
	pair, err := tls.LoadX509KeyPair(s.TLSCert, s.TLSKey)
	if err != nil {
		return "", fmt.Errorf("load TLS certificate: %w", err)
	}
	*l = tls.NewListener(*l, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	return "s", nil
}

// welcome says where the rooms are and how to get in.
func (s *serve) welcome(t *terminal, secure, address string, c signalling.Config, made string) {
	fmt.Fprintf(t.stdout, "listening on http%s://%s/\n", secure, address)
	for app := range c.Apps {
		token := ""
		if s.TokenSecret != "" {
			token = " --token-secret …"
		}
		fmt.Fprintf(t.stdout, "  app %s: rooms join --url ws%s://%s --app %s --room r1 --user u1%s\n", app, secure, address, app, token)
	}
	if made != "" {
		fmt.Fprintf(t.stdout, "  server secret of demo, for this run: %s\n", made)
	}
}

// serveUntil runs the server until the context ends.
func serveUntil(ctx context.Context, server *http.Server, listener net.Listener, rooms *signalling.Server) error {
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	var err error
	select {
	case err = <-done:
		err = fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	// Stop order: the door and its calls here, then the lines, the rooms and
	// what callbacks wait.
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if stopErr := server.Shutdown(stopping); err == nil && stopErr != nil {
		err = fmt.Errorf("stop: calls were still under way after %s: %w", stopWithin, stopErr)
	}
	rooms.Close(stopping)
	return err
}

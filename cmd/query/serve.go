package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"roomtrail/commandline"
	"roomtrail/query"
)

// serveCommand serves the questions over HTTP.
type serveCommand struct {
	Listen   string `from:"ROOMTRAIL_QUERY_LISTEN,ROOMTRAIL_LISTEN" default:"127.0.0.1:8081" placeholder:"HOST:PORT" help:"Address to listen on (default ${default})."`
	TLSCert  string `name:"tls-cert" from:"ROOMTRAIL_TLS_CERT" placeholder:"FILE" help:"Certificate chain in PEM; the answers then come by HTTPS."`
	TLSKey   string `name:"tls-key" from:"ROOMTRAIL_TLS_KEY" placeholder:"FILE" help:"Its private key in PEM."`
	ReadKeys string `from:"ROOMTRAIL_READ_KEYS" placeholder:"KEY,…" help:"Bearer keys that may read; without one only loopback is served."`
}

// Limits of one request and of the stop.
const (
	answerTimeout = 30 * time.Second
	stopTimeout   = 10 * time.Second
)

func (c *serveCommand) Run(p *program) error {
	if _, err := (query.Question{Name: "serve"}).Request(p.now(), p.given()); err != nil {
		return err // the questions' parameters come with each request
	}
	certificate, err := c.certificate()
	if err != nil {
		return &commandline.UsageError{Err: err}
	}
	keys := readKeys(c.ReadKeys)
	source, err := p.open()
	if err != nil {
		return err
	}
	defer source.Close()
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", c.Listen, err)
	}
	// Judged by what the name came to, not by how it was spelled.
	if at, ok := listener.Addr().(*net.TCPAddr); len(keys) == 0 && (!ok || !at.IP.IsLoopback()) {
		listener.Close()
		return fmt.Errorf("listen on %s: others can reach it and no read keys are set; set ROOMTRAIL_READ_KEYS or listen on 127.0.0.1", c.Listen)
	}
	logger := slog.New(slog.NewTextHandler(p.stderr, nil))
	server := &http.Server{
		Handler: query.NewHandler(source, func() time.Time { return time.Now().UTC() }, query.Config{
			Keys: keys, Timeout: answerTimeout, Logger: logger,
		}),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      answerTimeout + 10*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	scheme := "http"
	if c.TLSCert != "" {
		scheme = "https"
		listener = tls.NewListener(listener, certificate)
	}
	fmt.Fprintf(p.stdout, "listening on %s://%s/\n", scheme, listener.Addr())
	return serve(p.ctx, server, listener)
}

// certificate is what HTTPS needs, where both files are named.
func (c *serveCommand) certificate() (*tls.Config, error) {
	switch {
	case c.TLSCert == "" && c.TLSKey == "":
		return nil, nil
	case c.TLSCert == "" || c.TLSKey == "":
		return nil, errors.New("--tls-cert and --tls-key belong together; only one is set")
	}
	pair, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("load TLS certificate: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// serve runs the server until the context ends, then lets the answers that are
// under way finish.
func serve(ctx context.Context, server *http.Server, listener net.Listener) error {
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	// Stop order: the door here, the connections to Postgres when Run returns.
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := server.Shutdown(stopping); err != nil {
		server.Close()
		return fmt.Errorf("stop: answers were still under way after %s: %w", stopTimeout, err)
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

func readKeys(list string) []string {
	var keys []string
	for key := range strings.SplitSeq(list, ",") {
		if key = strings.TrimSpace(key); key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

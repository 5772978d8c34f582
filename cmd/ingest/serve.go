package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"roomtrail/commandline"
	"roomtrail/intake"
	"roomtrail/pipeline"
)

// serve runs the write side until it is told to stop. What it wires is drawn
// in package pipeline.
type serve struct {
	servers
	Role                []string `env:"ROOMTRAIL_ROLE" default:"all" help:"Parts to run: all, intake, project; several may be named."`
	Listen              string   `env:"ROOMTRAIL_LISTEN" default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Where the intake listens (default ${default})."`
	WriteKeys           string   `env:"ROOMTRAIL_WRITE_KEYS" placeholder:"KEY=APP,…" help:"Write keys, each for one app, beside those of ingest keys. One is needed unless the intake listens on loopback."`
	WriteKeysFile       string   `env:"ROOMTRAIL_WRITE_KEYS_FILE" placeholder:"FILE" help:"The same, one KEY=APP a line."`
	AllowedOrigins      []string `env:"ROOMTRAIL_ALLOWED_ORIGINS" placeholder:"ORIGIN,…" help:"Origins of web pages that may report, such as https://app.example; * for all."`
	CallbackSecrets     string   `name:"zego-callback-secrets" env:"ROOMTRAIL_ZEGO_CALLBACK_SECRETS" placeholder:"APP=SECRET,…" help:"Secrets that sign the vendor's server callbacks; an app may be named twice while its secret is changed."`
	CallbackSecretsFile string   `name:"zego-callback-secrets-file" env:"ROOMTRAIL_ZEGO_CALLBACK_SECRETS_FILE" placeholder:"FILE" help:"The same, one APP=SECRET a line."`
	StrictNonce         bool     `name:"zego-strict-nonce" env:"ROOMTRAIL_ZEGO_STRICT_NONCE" help:"Refuse a callback whose timestamp and nonce came with another body before, instead of keeping it as unproven."`
	TLSCert             string   `name:"tls-cert" env:"ROOMTRAIL_TLS_CERT" placeholder:"FILE" help:"Certificate chain in PEM; the intake then speaks HTTPS."`
	TLSKey              string   `name:"tls-key" env:"ROOMTRAIL_TLS_KEY" placeholder:"FILE" help:"Its private key in PEM."`
	TrustedProxies      []string `env:"ROOMTRAIL_TRUSTED_PROXIES" placeholder:"CIDR,…" help:"Proxies whose X-Forwarded-For is believed."`
	NoMigrate           bool     `env:"ROOMTRAIL_NO_MIGRATE" help:"Do not bring the schema up; fail where it does not fit."`
	ReaderPassword      string   `env:"ROOMTRAIL_READER_PASSWORD" placeholder:"PASSWORD" help:"Password to set for the role roomtrail_reader."`
	NATSMonitorURL      string   `name:"nats-monitor-url" env:"ROOMTRAIL_NATS_MONITOR_URL" placeholder:"URL" help:"Monitoring port of the NATS server, to verify that it flushes before it acknowledges."`
	Partitions          int      `env:"ROOMTRAIL_PARTITIONS" placeholder:"N" help:"Partitions of a new log: 1 embedded, 4 on a real server unless set. One that exists keeps its number, which ingest partitions changes."`
	LogMaxBytes         int64    `env:"ROOMTRAIL_LOG_MAX_BYTES" placeholder:"N" help:"Size at which a partition refuses events (default 10 GiB)."`
	LogReplicas         int      `env:"ROOMTRAIL_LOG_REPLICAS" placeholder:"N" help:"Copies of each partition in a NATS cluster (default 1)."`
	doorLimits
}

// callbacks are how server callbacks are taken.
func (s *serve) callbacks() (c intake.Callbacks, err error) {
	secrets := s.CallbackSecrets
	if s.CallbackSecretsFile != "" {
		b, err := os.ReadFile(s.CallbackSecretsFile)
		if err != nil {
			return c, fmt.Errorf("read callback secrets: %w", err)
		}
		secrets += "\n" + string(b)
	}
	c.Strict = s.StrictNonce
	c.Secrets, err = intake.ParseCallbackSecrets(secrets)
	return c, err
}

// intakeMemory is from where on the collector works harder in a process that is
// an intake alone: ten thousand stalled connections with all the headers they
// may bring then stay under 512 MiB. GOMEMLIMIT says otherwise.
const intakeMemory = 400 << 20

// A projector makes much that is soon gone: at three times the usual heap it
// drains a backlog an eighth faster. From projectorMemory on the collector works
// as hard as it must. GOGC and GOMEMLIMIT say otherwise.
const (
	projectorGC     = 300
	projectorMemory = 512 << 20
)

// useMemory sets the collector to what the parts need.
func useMemory(config *pipeline.Config) {
	limit := int64(intakeMemory)
	if config.Project {
		limit = projectorMemory
		if os.Getenv("GOGC") == "" {
			debug.SetGCPercent(projectorGC)
		}
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit)
	}
}

// stopWithin is how long a stop may take: requests end, batches commit.
const stopWithin = 30 * time.Second

func (s *serve) Run(t *terminal) error {
	config, err := s.config(t)
	if err != nil {
		return &commandline.UsageError{Err: err}
	}
	useMemory(&config)
	p, err := pipeline.Start(t.ctx, config)
	if errors.Is(err, intake.ErrNoKey) {
		return &commandline.UsageError{Err: err}
	}
	if err != nil {
		return err
	}
	if url := p.IntakeURL(); url != "" {
		config.Logger.Info("taking events", "url", url+"/v1/events", "keys", p.Keys().Active())
		if !p.Keys().Made() {
			config.Logger.Warn("no key has been made: anybody on this machine may write; `ingest keys add --app APP` or ROOMTRAIL_WRITE_KEYS=KEY=APP changes that")
		}
	}
	err = p.Wait(t.ctx)
	config.Logger.Info("stopping")
	stopping, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), stopWithin)
	defer cancel()
	if stopErr := p.Stop(stopping); err == nil {
		err = stopErr
	}
	return err
}

// config checks the flags and turns them into what the pipeline wants.
func (s *serve) config(t *terminal) (c pipeline.Config, err error) {
	c = pipeline.Config{
		DatabaseURL: s.DatabaseURL, NATSURL: s.NATSURL, DataDir: s.DataDir, Listen: s.Listen,
		AllowedOrigins: s.AllowedOrigins, NoMigrate: s.NoMigrate, ReaderPassword: s.ReaderPassword,
		NATSMonitorURL: s.NATSMonitorURL, Partitions: s.Partitions, MaxBytes: s.LogMaxBytes, Replicas: s.LogReplicas,
		Limits: s.limits(), Connections: s.connections(), Logger: t.logger(),
	}
	if err := c.Parts(s.Role); err != nil {
		return c, err
	}
	keys := s.WriteKeys
	if s.WriteKeysFile != "" {
		b, err := os.ReadFile(s.WriteKeysFile)
		if err != nil {
			return c, fmt.Errorf("read write keys: %w", err)
		}
		keys += "\n" + string(b)
	}
	if c.Keys, err = intake.ParseKeys(keys); err != nil {
		return c, err
	}
	if c.Callbacks, err = s.callbacks(); err != nil {
		return c, err
	}
	if c.TrustedProxies, err = intake.ParseProxies(s.TrustedProxies); err != nil {
		return c, err
	}
	if c.Intake {
		if err := intake.CheckListen(s.Listen, true); err != nil { // keys are seen later
			return c, err
		}
	}
	switch {
	case s.TLSCert != "" && s.TLSKey != "":
		pair, err := tls.LoadX509KeyPair(s.TLSCert, s.TLSKey)
		if err != nil {
			return c, fmt.Errorf("load TLS certificate: %w", err)
		}
		c.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	case s.TLSCert != "" || s.TLSKey != "":
		return c, fmt.Errorf("--tls-cert and --tls-key belong together; only one is set")
	}
	return c, nil
}

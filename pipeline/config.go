package pipeline

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"roomtrail/intake"
)

// Config is what to start. The zero value is the embedded default without a
// door: set Listen to open one.
type Config struct {
	DatabaseURL string // empty: a private Postgres under DataDir
	NATSURL     string // empty: NATS in this process, its files under DataDir
	DataDir     string // used where one of the two is empty
	Throwaway   bool   // tests: the embedded servers do not flush to the disk

	Intake, Project bool // which parts run

	Listen         string // of the door; port 0 chooses one
	TLS            *tls.Config
	Keys           intake.Keys // beside those of the bucket
	Limits         intake.Limits
	Connections    intake.Connections // its Proxies and Cut are set here
	AllowedOrigins []string
	Callbacks      intake.Callbacks // its Ledger is opened here
	TrustedProxies []netip.Prefix

	NoMigrate      bool
	ReaderPassword string
	NATSMonitorURL string // where the server's settings can be seen

	Partitions int   // 0: as the log has; a new one gets 1 embedded, 4 on a real server
	MaxBytes   int64 // of a partition; 0: 10 GiB
	Replicas   int   // of a partition on a real server; 0: 1
	BatchSize  int   // facts in a transaction; 0: 20 000

	Lease time.Duration // of a partition that gives no sign, until another process may have it; 0: 15 s

	Now    func() time.Time // the door's clock; nil: time.Now
	Logger *slog.Logger
}

// Parts reads the names of --role.
func (c *Config) Parts(roles []string) error {
	c.Intake, c.Project = false, false
	for _, r := range roles {
		switch strings.TrimSpace(r) {
		case "all":
			c.Intake, c.Project = true, true
		case "intake":
			c.Intake = true
		case "project":
			c.Project = true
		case "alert":
			return fmt.Errorf("role alert: this version has no detector yet; Grafana's rules in dashboards/provisioning watch for spikes")
		default:
			return fmt.Errorf("role %q: want all, intake or project", r)
		}
	}
	return nil
}

// The log is always needed, the database by the projector alone.
func (c *Config) ownNATS() bool     { return c.NATSURL == "" }
func (c *Config) ownPostgres() bool { return c.Project && c.DatabaseURL == "" }
func (c *Config) embedded() bool    { return c.ownNATS() || c.ownPostgres() }

func (c *Config) check() error {
	if c.embedded() && c.DataDir == "" {
		return fmt.Errorf("start: no data directory is named, and DATABASE_URL or NATS_URL is missing")
	}
	if c.Listen != "" && c.Intake {
		// Whether there are keys is seen once the log's server runs.
		if err := intake.CheckListen(c.Listen, true); err != nil {
			return err
		}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 10 << 30
	}
	return nil
}

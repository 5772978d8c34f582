package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"roomtrail/intake"
	"roomtrail/readmodel"
)

// lookAtLog asks the server itself where it has a port, else the intake, which
// knows the log that has none.
func lookAtLog(ctx context.Context, natsURL, monitorURL, door string) (l logFacts) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	l.Monitor = monitorURL
	if natsURL == "" && door == "" {
		return l
	}
	l.Asked = true
	var ready intake.Readiness
	var doorErr error
	if door != "" && (natsURL == "" || monitorURL == "") {
		if doorErr = getJSON(ctx, door+"/readyz", &ready); doorErr == nil {
			l.Durability = ready.Durability
		}
	}
	if natsURL != "" {
		l.askServer(ctx, natsURL)
		return l
	}
	switch {
	case doorErr != nil:
		l.Err = doorErr.Error()
	case len(ready.Partitions) == 0:
		l.Err = ready.Log
	}
	for _, p := range ready.Partitions {
		if !p.IsRetired {
			l.Streams = append(l.Streams, streamFacts{Name: fmt.Sprintf("log partition %d/%d", p.Generation, p.Partition), Bytes: p.Bytes, MaxBytes: p.MaxBytes})
		}
	}
	return l
}

// askServer looks at the streams of a NATS server and its settings.
func (l *logFacts) askServer(ctx context.Context, natsURL string) {
	nc, err := nats.Connect(natsURL, nats.Name("roomtrail-doctor"), nats.Timeout(askWithin/2))
	if err != nil {
		l.Err = "connect to NATS_URL: " + err.Error()
		return
	}
	defer nc.Close()
	l.Version = nc.ConnectedServerVersion()
	if l.Monitor != "" {
		l.askMonitor(ctx)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		l.Err = err.Error()
		return
	}
	streams := js.ListStreams(ctx, jetstream.WithStreamListSubject("room.events.>"))
	for s := range streams.Info() {
		c := s.Config
		l.Streams = append(l.Streams, streamFacts{
			Name: "stream " + c.Name, HasFlags: true, MaxAge: c.MaxAge, Bytes: s.State.Bytes, MaxBytes: c.MaxBytes,
			Storage:   strings.ToLower(c.Storage.String()),
			Discard:   strings.ToLower(strings.TrimPrefix(c.Discard.String(), "Discard")),
			Retention: strings.ToLower(c.Retention.String()),
		})
	}
	if err := streams.Err(); err != nil {
		l.Err = "list streams: " + err.Error()
	}
}

func (l *logFacts) askMonitor(ctx context.Context) {
	var varz struct {
		JetStream struct {
			Config *struct {
				SyncAlways bool `json:"sync_always"`
			} `json:"config"`
		} `json:"jetstream"`
	}
	err := getJSON(ctx, strings.TrimSuffix(l.Monitor, "/")+"/varz", &varz)
	switch {
	case err != nil:
		l.MonitorErr = err.Error()
	case varz.JetStream.Config == nil:
		l.MonitorErr = l.Monitor + "/varz says nothing of JetStream"
	default:
		l.SyncAlways = varz.JetStream.Config.SyncAlways
	}
}

// lookAtDoor sends no event, as a stranger would, and sees whether it is asked
// for a key.
func lookAtDoor(ctx context.Context, door string) doorFacts {
	d := doorFacts{URL: door}
	if door == "" {
		return d
	}
	if u, err := url.Parse(door); err == nil {
		d.IsLoopback = intake.IsLoopback(u.Hostname())
	}
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, door+"/v1/events?dry_run=1", strings.NewReader("[]"))
	if err != nil {
		d.Err = err.Error()
		return d
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		d.Err = err.Error()
		return d
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
		d.IsKeyless = true
	case http.StatusUnauthorized:
	default:
		d.Err = door + " answers " + res.Status
	}
	return d
}

// lookAtDatabase asks as the owner: why a partition halted, and whether the
// reader has a password, no view shows.
func lookAtDatabase(ctx context.Context, databaseURL string) databaseFacts {
	var d databaseFacts
	if databaseURL == "" {
		return d
	}
	d.Asked = true
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	if err := d.ask(ctx, databaseURL); err != nil {
		d.Err = err.Error()
	}
	return d
}

func (d *databaseFacts) ask(ctx context.Context, databaseURL string) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&d.Version); err != nil {
		return fmt.Errorf("ask for its version: %w", err)
	}
	schema, err := readmodel.SchemaStatus(ctx, databaseURL)
	if err != nil {
		return fmt.Errorf("ask for its schema: %w", err)
	}
	d.SchemaVersion = schema.Version
	if err := readmodel.CheckSchema(ctx, databaseURL); err != nil {
		d.Schema = err.Error()
		return nil
	}
	rows, err := conn.Query(ctx, partitionsQuestion)
	if err != nil {
		return fmt.Errorf("ask for its positions: %w", err)
	}
	d.Partitions, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (p partitionFacts, err error) {
		var seconds float64
		err = row.Scan(&p.Name, &p.State, &p.Why, &p.Behind, &seconds)
		p.LagTime = time.Duration(seconds * float64(time.Second))
		return p, err
	})
	if err != nil {
		return fmt.Errorf("ask for its positions: %w", err)
	}
	var oldest *time.Time
	if err := conn.QueryRow(ctx, "SELECT count(*), min(set_at) FROM quarantine").Scan(&d.Quarantined, &oldest); err != nil {
		return fmt.Errorf("ask for its quarantine: %w", err)
	}
	if oldest != nil {
		d.OldestQuarantined = *oldest
	}
	return d.askReader(ctx, conn)
}

const partitionsQuestion = `
SELECT s.generation || '/' || s.partition, s.state, coalesce(p.halted, ''), coalesce(s.lag_events, 0), coalesce(s.lag_seconds, 0)
FROM pipeline_status s
JOIN roomtrail.positions p USING (version, generation, partition)
WHERE s.live
ORDER BY s.generation, s.partition`

// askReader looks for the reader's password, which only a superuser may.
func (d *databaseFacts) askReader(ctx context.Context, conn *pgx.Conn) error {
	var has bool
	err := conn.QueryRow(ctx, "SELECT rolpassword IS NOT NULL FROM pg_authid WHERE rolname = $1", readmodel.ReaderRole).Scan(&has)
	if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) && refused.Code == "42501" { // insufficient_privilege
		return nil
	}
	if err != nil {
		return fmt.Errorf("ask for the reader's password: %w", err)
	}
	d.ReaderHasPassword = &has
	return nil
}

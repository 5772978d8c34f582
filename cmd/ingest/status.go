package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"roomtrail/commandline"
	"roomtrail/embedded"
	"roomtrail/intake"
	"roomtrail/readmodel"
)

type status struct {
	servers
	IntakeURL string `env:"ROOMTRAIL_INTAKE_URL" placeholder:"URL" help:"An intake to ask about the log; that of the running stack unless set."`
}

func (s *status) Run(t *terminal) error {
	database, door := s.DatabaseURL, s.IntakeURL
	if database == "" {
		running, err := embedded.Find(s.DataDir)
		if err != nil {
			return err
		}
		database = running.DatabaseURL
		if door == "" {
			door = running.IntakeURL
		}
	}
	asker, err := readmodel.OpenAsker(t.ctx, database)
	if err != nil {
		return err
	}
	defer asker.Close()
	answer, err := asker.Ask(t.ctx, pipelineQuestion, nil, 1000)
	if err != nil {
		return err
	}
	if door != "" {
		s.showLog(t, door)
	}
	printTable(t, "Projections", answer)
	counts, err := asker.Ask(t.ctx, countsQuestion, nil, 10)
	if err != nil {
		return err
	}
	printTable(t, "Stored", counts)
	return nil
}

const pipelineQuestion = `
SELECT version, generation, partition, position, stream_last_seq AS "log ends at", lag_events AS behind,
       round(lag_seconds::numeric, 1)::float8 AS "behind s", state, live, updated_at
FROM pipeline_status ORDER BY 1, 2, 3`

const countsQuestion = `
SELECT (SELECT count(*) FROM sessions) AS logins,
       (SELECT count(*) FROM interruptions) AS interruptions,
       (SELECT count(*) FROM kicks) AS kicks,
       (SELECT count(*) FROM anomalies) AS anomalies,
       (SELECT count(*) FROM quarantine) AS "in quarantine",
       pg_size_pretty(pg_database_size(current_database())) AS "database size"`

// showLog asks the door, which knows the log; a door that does not answer is
// a finding, not a failure.
func (s *status) showLog(t *terminal, door string) {
	ctx, cancel := context.WithTimeout(t.ctx, 5*time.Second)
	defer cancel()
	var r intake.Readiness
	err := getJSON(ctx, door+"/readyz", &r)
	if err != nil {
		fmt.Fprintf(t.stdout, "Log\n  %v\n\n", err)
		return
	}
	w := table.NewWriter()
	w.SetStyle(table.StyleLight)
	w.AppendHeader(table.Row{"generation", "partition", "events", "last", "size", "of"})
	for _, p := range r.Partitions {
		of := size(p.MaxBytes)
		if p.IsRetired {
			of = "retired"
		}
		w.AppendRow(table.Row{p.Generation, p.Partition, p.Messages, p.LastSeq, size(int64(p.Bytes)), of})
	}
	fmt.Fprintf(t.stdout, "Log: %s; durability %s\n%s\n\n", r.Log, r.Durability, w.Render())
}

func getJSON(ctx context.Context, url string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	return json.NewDecoder(res.Body).Decode(into)
}

func printTable(t *terminal, title string, a readmodel.Answer) {
	w := table.NewWriter()
	w.SetStyle(table.StyleLight)
	var head table.Row
	for _, c := range a.Columns {
		head = append(head, c.Name)
	}
	w.AppendHeader(head)
	for _, r := range a.Rows {
		row := make(table.Row, len(r))
		for i, v := range r {
			if at, ok := v.(time.Time); ok {
				v = at.Local().Format("2006-01-02 15:04:05")
			}
			row[i] = v
		}
		w.AppendRow(row)
	}
	fmt.Fprintf(t.stdout, "%s\n%s\n\n", title, w.Render())
}

// size shows bytes for people.
func size(n int64) string {
	for _, u := range []struct {
		unit int64
		name string
	}{{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.unit {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.unit), u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}

type healthcheck struct {
	URL string `arg:"" help:"What to ask, such as http://127.0.0.1:8080/readyz."`
}

func (h *healthcheck) Run(t *terminal) error {
	ctx, cancel := context.WithTimeout(t.ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.URL, nil)
	if err != nil {
		return &commandline.UsageError{Err: err}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return errors.New(h.URL + " answers " + res.Status)
	}
	return nil
}

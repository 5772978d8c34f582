package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/nats-io/nats-server/v2/server"
)

// report is what a run found.
type report struct {
	Machine machine `json:"machine"`
	Rows    []row   `json:"measurements"`
}

type machine struct {
	Cores    int    `json:"cores"`
	Go       string `json:"go"`
	NATS     string `json:"nats"`
	Postgres string `json:"postgres,omitempty"` // empty where it was not needed
}

func thisMachine() machine {
	return machine{Cores: runtime.NumCPU(), Go: strings.TrimPrefix(runtime.Version(), "go"), NATS: server.VERSION}
}

func (m machine) String() string {
	s := fmt.Sprintf("%s, Go %s, NATS %s", plural(m.Cores, "core"), m.Go, m.NATS)
	if m.Postgres != "" {
		s += ", Postgres " + m.Postgres
	}
	return s
}

// row is one measurement. Events counts what Unit says; CPU is in seconds for
// a million of those.
type row struct {
	Name           string  `json:"measurement"`
	What           string  `json:"what"`
	Unit           string  `json:"unit,omitempty"` // of what is counted; empty is events
	Events         int     `json:"events"`
	PerSecond      float64 `json:"events_per_second"`
	LimitPerSecond float64 `json:"limit_events_per_second"`
	Ratio          float64 `json:"ratio"`
	Timed          string  `json:"latency_of"`
	P50MS          float64 `json:"p50_ms"`
	P99MS          float64 `json:"p99_ms"`
	CPU            float64 `json:"cpu_seconds_per_million"`
	PostgresCPU    float64 `json:"postgres_cpu_seconds_per_million,omitempty"`
	Limit          string  `json:"limit"`
}

// measured notes what was done while the clock ran.
func (r *row) measured(n int, c *clock, took []time.Duration) {
	r.Events, r.PerSecond = n, float64(n)/c.elapsed.Seconds()
	perMillion := func(cpu time.Duration) float64 { return cpu.Seconds() * 1e6 / float64(max(n, 1)) }
	r.CPU, r.PostgresCPU = perMillion(c.own), perMillion(c.postgres)
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	at := func(q float64) float64 { return took[int(q*float64(len(took)-1))].Seconds() * 1000 }
	r.P50MS, r.P99MS = at(0.50), at(0.99)
}

func (r *row) compare(limit float64) {
	if r.LimitPerSecond = limit; limit > 0 {
		r.Ratio = r.PerSecond / limit
	}
}

func (r *report) write(w io.Writer, format string) error {
	if format == "json" {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	_, err := io.WriteString(w, r.table())
	return err
}

func (r *report) table() string {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Options = table.OptionsNoBordersAndSeparators
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(table.Row{"measurement", "per second", "limit", "ratio", "p50 ms", "p99 ms", "CPU s/million", "Postgres CPU s/million"})
	right := []table.ColumnConfig{{Number: 1}}
	for n := 2; n <= 8; n++ {
		right = append(right, table.ColumnConfig{Number: n, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(right)
	var notes []string
	for _, m := range r.Rows {
		postgres := "-"
		if m.PostgresCPU > 0 {
			postgres = fmt.Sprintf("%.1f", m.PostgresCPU)
		}
		unit := m.Unit
		if unit == "" {
			unit = "events"
		}
		t.AppendRow(table.Row{m.Name + ", " + unit, thousands(m.PerSecond), thousands(m.LimitPerSecond), fmt.Sprintf("%.2f", m.Ratio),
			fmt.Sprintf("%.1f", m.P50MS), fmt.Sprintf("%.1f", m.P99MS), fmt.Sprintf("%.1f", m.CPU), postgres})
		notes = append(notes, fmt.Sprintf("%s: %s; p50 and p99 of %s.\n  Limit: %s.", m.Name, m.What, m.Timed, m.Limit))
	}
	notes = append(notes, "CPU: this process, with NATS and the clients in it; Postgres: all processes of its server.", "Machine: "+r.Machine.String()+".")
	return t.Render() + "\n\n" + strings.Join(notes, "\n") + "\n"
}

// thousands writes 38412 as 38 412.
func thousands(f float64) string {
	s := fmt.Sprintf("%.0f", f)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

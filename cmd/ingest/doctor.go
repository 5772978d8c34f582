package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"roomtrail/embedded"
	"roomtrail/progressbar"
)

// doctor says what is unsafe or not set up, and what to do. It looks at
// everything it can reach and changes nothing.
type doctor struct {
	servers
	IntakeURL      string `env:"ROOMTRAIL_INTAKE_URL" placeholder:"URL" help:"An intake to look at; that of the running stack unless set."`
	NATSMonitorURL string `name:"nats-monitor-url" env:"ROOMTRAIL_NATS_MONITOR_URL" placeholder:"URL" help:"Monitoring port of the NATS server, which alone shows whether it flushes before it acknowledges."`
	Output         string `short:"o" env:"ROOMTRAIL_OUTPUT" enum:"table,json" default:"table" placeholder:"FORMAT" help:"Output: ${enum} (default ${default})."`
	secretSettings
	NoColor string `hidden:"" env:"NO_COLOR"`
}

// secretSettings are those of serve, looked at for being guessable.
type secretSettings struct {
	WriteKeys       string `env:"ROOMTRAIL_WRITE_KEYS" hidden:""`
	CallbackSecrets string `name:"zego-callback-secrets" env:"ROOMTRAIL_ZEGO_CALLBACK_SECRETS" hidden:""`
	ReaderPassword  string `env:"ROOMTRAIL_READER_PASSWORD" hidden:""`
}

// guessed names the settings whose secrets are no secrets.
func (s *secretSettings) guessed() (names []string) {
	note := func(name string, secrets ...string) {
		if slices.ContainsFunc(secrets, isGuessed) {
			names = append(names, name)
		}
	}
	split := func(list string) []string {
		return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == '\n' || r == ' ' })
	}
	var keys, secrets []string
	for _, pair := range split(s.WriteKeys) { // KEY=APP
		keys = append(keys, pair[:max(strings.LastIndexByte(pair, '='), 0)])
	}
	for _, pair := range split(s.CallbackSecrets) { // APP=SECRET
		_, secret, _ := strings.Cut(pair, "=")
		secrets = append(secrets, secret)
	}
	note("ROOMTRAIL_WRITE_KEYS", keys...)
	note("ROOMTRAIL_ZEGO_CALLBACK_SECRETS", secrets...)
	if s.ReaderPassword != "" {
		note("ROOMTRAIL_READER_PASSWORD", s.ReaderPassword)
	}
	return names
}

// askWithin bounds each of the things that are asked.
const askWithin = 10 * time.Second

func (d *doctor) Run(t *terminal) error {
	f, err := d.look(t.ctx)
	if err != nil {
		return err
	}
	list := findings(f)
	if d.Output == "json" {
		e := json.NewEncoder(t.stdout)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		err = e.Encode(list)
	} else {
		d.print(t, list)
	}
	dangers := 0
	for _, x := range list {
		if x.Level == levelDanger {
			dangers++
		}
	}
	if err == nil && dangers > 0 {
		err = fmt.Errorf("dangers found: %d", dangers)
	}
	return err
}

// look collects the facts, one thing after the other.
func (d *doctor) look(ctx context.Context) (facts, error) {
	f := facts{Now: time.Now(), DataDir: d.DataDir, Guessed: d.guessed()}
	var running embedded.Endpoint
	if d.DatabaseURL == "" || d.NATSURL == "" {
		var err error
		running, err = embedded.Find(d.DataDir)
		switch {
		case errors.Is(err, embedded.ErrNotRunning) && d.DatabaseURL == "" && d.NATSURL == "" && d.IntakeURL == "":
			f.NoStack = err.Error()
			return f, nil
		case err != nil && !errors.Is(err, embedded.ErrNotRunning):
			return f, err
		}
	}
	isRunning := running.PID != 0
	door, database := d.IntakeURL, d.DatabaseURL
	if door == "" {
		door = running.IntakeURL
	}
	if database == "" {
		database = running.DatabaseURL
	}
	f.Door = lookAtDoor(ctx, door)
	f.Log = lookAtLog(ctx, d.NATSURL, d.NATSMonitorURL, door)
	f.Log.Embedded = isRunning && d.NATSURL == ""
	f.Database = lookAtDatabase(ctx, database)
	f.Database.Embedded = isRunning && d.DatabaseURL == ""
	f.Disk.Used = isRunning
	f.Disk.Free, f.Disk.Known = embedded.FreeBytes(d.DataDir)
	return f, nil
}

var colors = map[level]text.Colors{
	levelOK: {text.FgGreen}, levelNote: {text.FgCyan}, levelWarning: {text.FgYellow}, levelDanger: {text.FgRed, text.Bold},
}

// proseWidth is where what is found and what to do wrap.
const proseWidth = 56

func (d *doctor) print(t *terminal, list []finding) {
	colored := progressbar.IsTerminal(t.stdout) && d.NoColor == ""
	w := table.NewWriter()
	w.SetStyle(table.StyleLight)
	w.AppendHeader(table.Row{"", "check", "found", "what to do"})
	w.SetColumnConfigs([]table.ColumnConfig{
		{Number: 3, WidthMax: proseWidth, WidthMaxEnforcer: text.WrapSoft},
		{Number: 4, WidthMax: proseWidth, WidthMaxEnforcer: text.WrapSoft},
	})
	for _, x := range list {
		word := string(x.Level)
		if colored {
			word = colors[x.Level].Sprint(word)
		}
		w.AppendRow(table.Row{word, x.Check, oneLine(x.Found), x.Do})
	}
	fmt.Fprintln(t.stdout, w.Render())
}

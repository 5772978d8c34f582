package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"roomtrail/commandline"
	"roomtrail/events"
	"roomtrail/fleet"
	"roomtrail/progressbar"
	"roomtrail/sim"
)

// simulate lets a world happen, into files or to an intake.
type simulate struct {
	Scenario string        `from:"ROOMTRAIL_SCENARIO" default:"mixed" placeholder:"NAME[,NAME…]" help:"What happens (default ${default}); see below."`
	Seed     uint64        `from:"ROOMTRAIL_SEED" default:"1" placeholder:"N" help:"The same seed brings the same bytes (default ${default})."`
	Logins   int           `from:"ROOMTRAIL_LOGINS" default:"1000" placeholder:"N" help:"How many logins there are; 0 goes on until it is stopped (default ${default})."`
	Over     time.Duration `from:"ROOMTRAIL_OVER" placeholder:"DURATION" help:"In how long they begin (default 1h, 24h from 20 000 logins on)."`
	PerHour  int           `from:"ROOMTRAIL_PER_HOUR" default:"600" placeholder:"N" help:"Logins an hour where there is no end (default ${default})."`
	Start    string        `from:"ROOMTRAIL_START" placeholder:"TIME" help:"When the world begins, RFC 3339 (default 2026-01-05T00:00:00Z; with --intake as long ago as the world lasts)."`
	App      string        `from:"ROOMTRAIL_APP" default:"1" placeholder:"ID" help:"The app_id (default ${default})."`
	Prefix   string        `from:"ROOMTRAIL_PREFIX" placeholder:"TEXT" help:"Begins the names of rooms, users, devices and sessions."`

	HeartbeatTimeout time.Duration `from:"ROOMTRAIL_HEARTBEAT_TIMEOUT" default:"90s" placeholder:"DURATION" help:"H (default ${default})."`
	WebWindow        time.Duration `from:"ROOMTRAIL_WEB_WINDOW" default:"5m" placeholder:"DURATION" help:"W of the web family (default ${default})."`
	NativeWindow     time.Duration `from:"ROOMTRAIL_NATIVE_WINDOW" default:"20m" placeholder:"DURATION" help:"W of the native family (default ${default})."`

	Out       string `from:"ROOMTRAIL_OUT" placeholder:"FILE" help:"Write what reporters send, an event a line, in order of arrival, with sent_at and received_at; - is standard output."`
	Callbacks string `from:"ROOMTRAIL_CALLBACKS" placeholder:"FILE" help:"Write the server callbacks, a signed body a line."`
	Truth     string `from:"ROOMTRAIL_TRUTH" placeholder:"FILE" help:"Write what really happened: a line for each login and each interruption, delivered or not; delivered means by the world, whatever an intake answers."`

	AliveEvery     time.Duration `from:"ROOMTRAIL_ALIVE_EVERY" placeholder:"DURATION" help:"With --intake: reporters give a sign of life so often (default never)."`
	Intake         string        `from:"ROOMTRAIL_INTAKE" placeholder:"URL" help:"Post it to an intake, such as http://127.0.0.1:8080."`
	Key            string        `from:"ROOMTRAIL_WRITE_KEY" placeholder:"KEY" help:"Write key of the app at that intake."`
	CallbackSecret string        `from:"ROOMTRAIL_CALLBACK_SECRET" placeholder:"SECRET" help:"Signs server callbacks. With --intake they are posted only where it is given; in files it is secret unless it is."`
	Speed          string        `from:"ROOMTRAIL_SPEED" default:"max" placeholder:"max|X" help:"With --intake: X times as fast as the clock on the wall, and never ahead of it (default ${default})."`
}

// Help lists the scenarios below the flags.
func (s *simulate) Help() string {
	var b strings.Builder
	b.WriteString("A world of rooms in virtual time: what its reporters and server would send, and the truth beside it.\n\nScenarios, which can be joined by commas:\n\n")
	for _, name := range sim.Scenarios() {
		fmt.Fprintf(&b, "  %-13s %s\n", name, sim.About(name))
	}
	return b.String()
}

// lasts is how long a world goes on after its last login: a stay, a long loss,
// a late report.
const lasts = 8 * time.Hour

func (s *simulate) Run(t *terminal) (err error) {
	world, speed, err := s.world()
	if err != nil {
		return err
	}
	files, err := s.open(t.stdout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, files.close()) }()
	debug.SetGCPercent(300) // a world makes much that is soon gone; twice the memory saves a third of the time
	bar := progressbar.New(t.stderr, "simulating "+s.Scenario, int64(s.Logins), progressbar.Count)
	began, sum := time.Now(), &sum{}
	each := func(o sim.Output) error {
		files.write(o)
		sum.add(o)
		bar.Set(int64(world.Made()))
		return files.err
	}
	var f *fleet.Fleet
	if s.Intake != "" {
		f = &fleet.Fleet{World: world, Intake: strings.TrimSuffix(s.Intake, "/"), Key: s.Key, Speed: speed, App: s.App, CallbackSecret: s.CallbackSecret, Each: each, Say: bar.Say}
		err = f.Run(t.ctx)
	} else {
		err = play(t.ctx, world, each)
	}
	if err == nil {
		err = each(world.Finish())
	}
	bar.Stop()
	if f != nil && err == nil && f.Accepted.Load() == 0 && f.Rejected.Load() > 0 {
		err = fmt.Errorf("the intake took none of %d events", f.Rejected.Load())
	}
	if out := s.summaryTo(t.stdout, t.stderr); err == nil {
		sum.show(out, world, f, time.Since(began))
	}
	return err
}

// world makes the world that the flags describe.
func (s *simulate) world() (_ *sim.World, speed float64, err error) {
	if speed, err = s.speed(); err != nil {
		return nil, 0, err
	}
	if err := s.check(speed); err != nil {
		return nil, 0, err
	}
	start, err := s.start(speed)
	if err != nil {
		return nil, 0, err
	}
	if s.Intake != "" && s.Prefix == "" {
		// Another run must not repeat the sessions of this one at another time.
		s.Prefix = strconv.FormatInt(start.UnixMilli(), 36) + "-"
	}
	world, err := sim.New(sim.Config{
		Seed: s.Seed, Scenario: s.Scenario, Logins: s.Logins, Over: s.Over, PerHour: s.PerHour, App: s.App, Start: start, Prefix: s.Prefix,
		HeartbeatTimeout: s.HeartbeatTimeout, WebWindow: s.WebWindow, NativeWindow: s.NativeWindow, AliveEvery: s.AliveEvery,
	})
	if err != nil {
		err = &commandline.UsageError{Err: fmt.Errorf("simulate: %w", err)}
	}
	return world, speed, err
}

// summaryTo is where the summary goes: not between events.
func (s *simulate) summaryTo(stdout, stderr io.Writer) io.Writer {
	if s.Out == "-" || s.Callbacks == "-" || s.Truth == "-" {
		return stderr
	}
	return stdout
}

// check looks for flags that do not go together.
func (s *simulate) check(speed float64) error {
	if s.Intake == "" {
		switch {
		case s.Logins == 0:
			return commandline.Usagef("simulate: --logins 0 has no end, so it wants --intake")
		case speed != 0:
			return commandline.Usagef("simulate: --speed %s: files are written as fast as possible; it is for --intake", s.Speed)
		}
	} else if err := fleet.CheckURL(s.Intake); err != nil {
		return commandline.Usagef("simulate: --intake: %w", err)
	} else if s.Logins == 0 && speed > 1 && s.Start == "" {
		return commandline.Usagef("simulate: --speed %s: a world without an end begins now and cannot get ahead of the clock; name a --start in the past", s.Speed)
	}
	seen := map[string]string{}
	for _, f := range [][2]string{{"--out", s.Out}, {"--callbacks", s.Callbacks}, {"--truth", s.Truth}} {
		if other, ok := seen[f[1]]; ok && f[1] != "" {
			return commandline.Usagef("simulate: %s and %s are both %s; want a file for each", other, f[0], f[1])
		}
		seen[f[1]] = f[0]
	}
	return nil
}

func (s *simulate) speed() (float64, error) {
	if s.Speed == "max" {
		return 0, nil
	}
	x, err := strconv.ParseFloat(strings.TrimSuffix(s.Speed, "x"), 64)
	if err != nil || !(x > 0) || math.IsInf(x, 1) {
		return 0, commandline.Usagef("simulate: --speed %q: want max, or how many times as fast as the clock, such as 10", s.Speed)
	}
	return x, nil
}

// start is when the world begins: its own time in files, so that the bytes are
// the same; with an intake so long ago that the world ends about now.
func (s *simulate) start(speed float64) (time.Time, error) {
	if s.Start != "" {
		at, err := time.Parse(time.RFC3339, s.Start)
		if err != nil {
			return at, commandline.Usagef("simulate: --start %q: want RFC 3339, such as 2026-01-05T09:00:00Z", s.Start)
		}
		return at, nil
	}
	if s.Intake == "" {
		return time.Time{}, nil
	}
	if s.Logins == 0 {
		return time.Now(), nil
	}
	over := s.Over
	if over == 0 {
		if over = time.Hour; s.Logins >= 20_000 {
			over = 24 * time.Hour
		}
	}
	ago := over + lasts
	if speed > 0 {
		ago = time.Duration(float64(ago) * max(0, 1-1/speed))
	}
	return time.Now().Add(-ago), nil
}

// play runs a world as fast as it goes.
func play(ctx context.Context, w *sim.World, each func(sim.Output) error) error {
	for n := 0; ; n++ {
		if n%4096 == 0 && ctx.Err() != nil {
			return errors.New("stopped")
		}
		if _, ok := w.Next(); !ok {
			return nil
		}
		if err := each(w.Step()); err != nil {
			return err
		}
	}
}

// files are where a world is written down.
type files struct {
	events, callbacks, truth *bufio.Writer
	secret, app              string
	opened                   []*os.File
	line                     []byte
	err                      error
}

func (s *simulate) open(stdout io.Writer) (*files, error) {
	f := &files{secret: s.CallbackSecret, app: s.App}
	if f.secret == "" {
		f.secret = "secret"
	}
	for _, one := range []struct {
		name string
		to   **bufio.Writer
	}{{s.Out, &f.events}, {s.Callbacks, &f.callbacks}, {s.Truth, &f.truth}} {
		if one.name == "" {
			continue
		}
		out := stdout
		if one.name != "-" {
			file, err := os.Create(one.name)
			if err != nil {
				return nil, errors.Join(err, f.close())
			}
			f.opened = append(f.opened, file)
			out = file
		}
		*one.to = bufio.NewWriterSize(out, 1<<20)
	}
	return f, nil
}

// write writes a step down; the first error stands.
func (f *files) write(o sim.Output) {
	put := func(w *bufio.Writer, line []byte) {
		if _, err := w.Write(append(line, '\n')); err != nil && f.err == nil {
			f.err = err
		}
	}
	if f.events != nil {
		for _, d := range o.Deliveries {
			for i := range d.Events {
				b := events.AppendReport(f.line[:0], &d.Events[i])
				b = d.SentAt.UTC().AppendFormat(append(b[:len(b)-1], `,"sent_at":"`...), stamp)
				b = d.At.UTC().AppendFormat(append(b, `","received_at":"`...), stamp)
				f.line = append(b, `"}`...)
				put(f.events, f.line)
			}
		}
	}
	if f.callbacks != nil {
		for _, c := range o.Callbacks {
			put(f.callbacks, c.Body(f.app, c.SentAt, c.Nonce, f.secret))
		}
	}
	if f.truth == nil {
		return
	}
	for i := range o.Logins {
		put(f.truth, encode(&o.Logins[i]))
	}
	for i := range o.Breaks {
		put(f.truth, encode(&o.Breaks[i]))
	}
}

const stamp = "2006-01-02T15:04:05.000Z"

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // text, numbers and times always encode
	}
	return b
}

func (f *files) close() error {
	var errs []error
	for _, w := range []*bufio.Writer{f.events, f.callbacks, f.truth} {
		if w != nil {
			errs = append(errs, w.Flush())
		}
	}
	for _, file := range f.opened {
		errs = append(errs, file.Close())
	}
	return errors.Join(errs...)
}

// sum counts what a world brought.
type sum struct {
	logins, complete, failed, kicked, unsaid int
	cases                                    [4]int
	hidden, open                             int
	events, callbacks                        int
}

func (s *sum) add(o sim.Output) {
	for i := range o.Logins {
		l := &o.Logins[i]
		s.logins++
		switch {
		case l.EndedBy == "":
			s.unsaid++
		case l.EndedBy == "LoginFailed":
			s.failed++
		case l.EndedBy == "KickOut":
			s.kicked++
		}
		if l.IsComplete {
			s.complete++
		}
	}
	for i := range o.Breaks {
		switch b := &o.Breaks[i]; {
		case b.InterruptionNo == 0:
			s.hidden++
		case b.Outcome == "":
			s.open++
		default:
			s.cases[b.RecoveryCase]++
		}
	}
	for _, d := range o.Deliveries {
		s.events += len(d.Events)
	}
	s.callbacks += len(o.Callbacks)
}

// show prints what happened, as a table.
func (s *sum) show(out io.Writer, w *sim.World, f *fleet.Fleet, took time.Duration) {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Options = table.OptionsNoBordersAndSeparators
	t.SetColumnConfigs([]table.ColumnConfig{{Number: 2, Align: text.AlignRight}})
	row := func(name string, n int, what string) { t.AppendRow(table.Row{name, n, what}) }
	row("logins", s.logins, fmt.Sprintf("%d with every event delivered", s.complete))
	row("failed logins", s.failed, "")
	row("kicks", s.kicked, "")
	row("ends unsaid", s.unsaid, "the client never said that it left")
	row("case 1", s.cases[1], "back before H")
	row("case 2", s.cases[2], "back at or after H")
	row("case 3", s.cases[3], "gave up after W")
	row("other breaks", s.cases[0]+s.open, fmt.Sprintf("ended by a kick or a logout, or %d never", s.open))
	row("hidden breaks", s.hidden, "the SDK kept them to itself")
	row("events", s.events, "delivered, copies included")
	row("callbacks", s.callbacks, "delivered, retries included")
	if f != nil {
		row("accepted", int(f.Accepted.Load()), fmt.Sprintf("by the intake; %d rejected, %d callbacks taken, %d tries repeated", f.Rejected.Load(), f.Callbacks.Load(), f.Retries.Load()))
	}
	fmt.Fprintln(out, t.Render())
	fmt.Fprintf(out, "\nThe world ended on %s after %s of real time.\n", w.Now().Format("2006-01-02 15:04:05 UTC"), took.Round(10*time.Millisecond))
}

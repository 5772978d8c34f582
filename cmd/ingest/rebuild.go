package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"roomtrail/progressbar"
	"roomtrail/readmodel"
)

// rebuild fills the read model anew from the facts. Where it is stopped, the
// same command goes on.
type rebuild struct {
	servers
	DryRun  bool `help:"Fill and compare, say what would differ, and change nothing. Exit 1 where anything would."`
	KeepOld bool `help:"Leave the old tables beside the new ones; the next rebuild, or --abandon, drops them."`
	Abandon bool `help:"Drop what a rebuild that was stopped has left, and old tables that were kept."`
}

// Help is the longer text of --help.
func (*rebuild) Help() string {
	return `The live read model goes on meanwhile. What is stopped goes on with the same command.
It is needed after a profile was changed for the past, and once after an upgrade to a
program whose read model is newer. Exit 1: it failed, or a dry run found differences.`
}

func (c *rebuild) Run(t *terminal) error {
	return c.withDatabase(t, func(url string) error {
		if c.Abandon {
			return c.abandon(t, url)
		}
		watch := &watcher{out: t.stderr}
		report, err := readmodel.Rebuild(t.ctx, url, readmodel.RebuildConfig{DryRun: c.DryRun, KeepOld: c.KeepOld, Progress: watch.see})
		watch.end()
		if t.ctx.Err() != nil && !report.Switched {
			return errors.New("stopped; the same command goes on, --abandon drops what is there")
		}
		showDifferences(t.stdout, report)
		if err != nil {
			return err
		}
		return c.conclude(t, report)
	})
}

func (c *rebuild) abandon(t *terminal, url string) error {
	dropped, err := readmodel.AbandonRebuild(t.ctx, url)
	for _, name := range dropped {
		fmt.Fprintf(t.stdout, "dropped schema %s\n", name)
	}
	if err == nil && len(dropped) == 0 {
		fmt.Fprintln(t.stdout, "there is nothing to drop")
	}
	return err
}

// conclude says what became of it.
func (c *rebuild) conclude(t *terminal, r readmodel.RebuildReport) error {
	fmt.Fprintf(t.stdout, "%d facts of %d sets folded in %s", r.Facts, r.Sets, r.Took.Round(100*time.Millisecond))
	if r.Resumed {
		fmt.Fprint(t.stdout, ", going on where it was stopped")
	}
	fmt.Fprintln(t.stdout)
	switch {
	case r.Switched && r.From == r.To:
		fmt.Fprintf(t.stdout, "the views show the rebuilt read model %d now\n", r.To)
	case r.Switched:
		fmt.Fprintf(t.stdout, "the views show read model %d now, and no longer %d\n", r.To, r.From)
	case r.Differs():
		return errors.New("the rebuilt read model would differ; nothing was changed")
	default:
		fmt.Fprintln(t.stdout, "nothing would differ; nothing was changed")
	}
	if r.KeptSchema != "" {
		fmt.Fprintf(t.stdout, "the old tables are in schema %s\n", r.KeptSchema)
	}
	return nil
}

// showDifferences prints one row for each view, and some of what differs.
func showDifferences(out io.Writer, r readmodel.RebuildReport) {
	if len(r.Views) == 0 {
		return
	}
	w := table.NewWriter()
	w.SetStyle(table.StyleLight)
	w.AppendHeader(table.Row{"view", "rows", "only in live", "only in rebuilt", "columns that differ"})
	w.SetColumnConfigs([]table.ColumnConfig{{Number: 2, Align: text.AlignRight}, {Number: 3, Align: text.AlignRight}, {Number: 4, Align: text.AlignRight}, {Number: 5, WidthMax: 60}})
	for _, v := range r.Views {
		w.AppendRow(table.Row{v.View, v.Rows, v.OnlyLive, v.OnlyRebuilt, strings.Join(v.Columns, ", ")})
	}
	fmt.Fprintln(out, w.Render())
	for _, v := range r.Views {
		for _, s := range v.Samples {
			fmt.Fprintf(out, "%s, only %s\n", v.View, oneLine(s))
		}
	}
}

// watcher shows progress: a bar for each step on a terminal, else a line now and
// then.
type watcher struct {
	out   io.Writer
	bar   *progressbar.Bar
	step  readmodel.RebuildStep
	since time.Time // the step began
	first int64     // what was done then
	said  time.Time
}

const sayEvery = 5 * time.Second

func (w *watcher) see(p readmodel.RebuildProgress) {
	if p.Step != w.step || w.bar == nil {
		w.end()
		w.bar = progressbar.New(w.out, string(p.Step), p.Of, progressbar.Count)
		w.step, w.since, w.first, w.said = p.Step, time.Now(), p.Done, time.Time{}
	}
	w.bar.Set(min(p.Done, p.Of))
	if progressbar.IsTerminal(w.out) || time.Since(w.said) < sayEvery {
		return
	}
	w.said = time.Now()
	line := fmt.Sprintf("rebuild: %s: %d", p.Step, p.Done)
	if p.Of > 0 {
		line += fmt.Sprintf(" of %d", p.Of)
	}
	if spent, n := time.Since(w.since), p.Done-w.first; n > 0 && p.Of > p.Done {
		left := time.Duration(float64(spent) / float64(n) * float64(p.Of-p.Done))
		line += fmt.Sprintf(", about %s left", left.Round(time.Second))
	}
	w.bar.Say("%s", line)
}

func (w *watcher) end() {
	if w.bar != nil {
		w.bar.Stop()
		w.bar = nil
	}
}

// Package progressbar shows how far a long piece of work is: a bar with rate and
// time left where standard error is a terminal, and nothing but what is said
// where it is not.
package progressbar

import (
	"fmt"
	"io"
	"os"
	"time"

	pretty "github.com/jedib0t/go-pretty/v6/progress"
)

// Bar is the bar of one piece of work.
type Bar struct {
	w       pretty.Writer
	tracker *pretty.Tracker
	plain   io.Writer
}

// Units of what is counted.
var (
	Bytes = pretty.UnitsBytes
	Count = pretty.UnitsDefault
)

// New begins a bar. A total of zero is unknown.
func New(stderr io.Writer, name string, total int64, units pretty.Units) *Bar {
	b := &Bar{plain: stderr}
	if !IsTerminal(stderr) {
		return b
	}
	b.w = pretty.NewWriter()
	b.w.SetOutputWriter(stderr)
	b.w.SetAutoStop(false)
	b.w.SetTrackerLength(30)
	b.w.SetUpdateFrequency(100 * time.Millisecond)
	b.w.Style().Visibility.ETA, b.w.Style().Visibility.Speed = true, true
	b.tracker = &pretty.Tracker{Message: name, Total: total, Units: units}
	b.w.AppendTracker(b.tracker)
	go b.w.Render()
	return b
}

// IsTerminal says whether somebody sees what is written.
func IsTerminal(out any) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Write moves the bar by what passes, for a reader or writer of bytes.
func (b *Bar) Write(p []byte) (int, error) {
	if b.tracker != nil {
		b.tracker.Increment(int64(len(p)))
	}
	return len(p), nil
}

// Set moves the bar to a value.
func (b *Bar) Set(value int64) {
	if b.tracker != nil {
		b.tracker.SetValue(value)
	}
}

// Say prints a line without tearing the bar.
func (b *Bar) Say(format string, args ...any) {
	if b.w != nil {
		b.w.Log(format, args...)
		return
	}
	fmt.Fprintf(b.plain, format+"\n", args...)
}

// Stop ends the bar as it stands on the screen.
func (b *Bar) Stop() {
	if b.w == nil {
		return
	}
	b.tracker.MarkAsDone()
	for b.w.LengthActive() > 0 {
		time.Sleep(20 * time.Millisecond)
	}
	b.w.Stop()
	for b.w.IsRenderInProgress() {
		time.Sleep(20 * time.Millisecond)
	}
}

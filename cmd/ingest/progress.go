package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	pretty "github.com/jedib0t/go-pretty/v6/progress"
)

// progress is how far a file has been imported, kept under the data directory
// so that an import that was stopped goes on. It belongs to the file as it
// was and to the log it went to: another of either begins anew.
type progress struct {
	File     string    `json:"file"`
	Log      time.Time `json:"log"` // when the log was made that the lines went to
	Size     int64     `json:"size"`
	Changed  time.Time `json:"changed"`
	Lines    int64     `json:"lines"` // durable
	Finished bool      `json:"finished"`
	At       time.Time `json:"at"`

	path string
}

func resume(dataDir string, file *os.File, log time.Time) (*progress, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	name, err := filepath.Abs(file.Name())
	if err != nil {
		return nil, err
	}
	p := &progress{File: name, Log: log.UTC(), Size: info.Size(), Changed: info.ModTime().UTC()}
	p.path = filepath.Join(dataDir, "imports", fmt.Sprintf("%x.json", sha256.Sum256([]byte(name)))[:24]+".json")
	b, err := os.ReadFile(p.path)
	if errors.Is(err, os.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	var was progress
	if err := json.Unmarshal(b, &was); err != nil {
		return nil, fmt.Errorf("read %s: %w; remove it to begin anew", p.path, err)
	}
	if was.Size == p.Size && was.Changed.Equal(p.Changed) && was.Log.Equal(p.Log) {
		p.Lines, p.Finished, p.At = was.Lines, was.Finished, was.At
	}
	return p, nil
}

// save notes that the first lines are durable.
func (p *progress) save(lines int64) error {
	if p.path == "" {
		return nil // standard input cannot be resumed
	}
	p.Lines, p.At = max(lines, p.Lines), time.Now().UTC()
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(p.path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(p.path+".tmp", b, 0o600); err != nil {
		return err
	}
	return os.Rename(p.path+".tmp", p.path)
}

func (p *progress) finish() error {
	p.Finished = true
	return p.save(p.Lines)
}

// bar shows how far a file is, with rate and time left, where stderr is a
// terminal.
type bar struct {
	w       pretty.Writer
	tracker *pretty.Tracker
	plain   io.Writer
}

func newBar(stderr io.Writer, name string, size int64) *bar {
	b := &bar{plain: stderr}
	f, ok := stderr.(*os.File)
	if !ok {
		return b
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return b
	}
	b.w = pretty.NewWriter()
	b.w.SetOutputWriter(stderr)
	b.w.SetAutoStop(false)
	b.w.SetTrackerLength(30)
	b.w.SetUpdateFrequency(100 * time.Millisecond)
	b.w.Style().Visibility.ETA, b.w.Style().Visibility.Speed = true, true
	b.tracker = &pretty.Tracker{Message: name, Total: size, Units: pretty.UnitsBytes}
	b.w.AppendTracker(b.tracker)
	go b.w.Render()
	return b
}

// Write moves the bar by what was read of the file.
func (b *bar) Write(p []byte) (int, error) {
	if b.tracker != nil {
		b.tracker.Increment(int64(len(p)))
	}
	return len(p), nil
}

// say prints a line without tearing the bar.
func (b *bar) say(format string, args ...any) {
	if b.w != nil {
		b.w.Log(format, args...)
		return
	}
	fmt.Fprintf(b.plain, format+"\n", args...)
}

func (b *bar) stop() {
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

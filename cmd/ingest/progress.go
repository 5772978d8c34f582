package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
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

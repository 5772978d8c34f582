package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/klauspost/compress/zstd"

	"roomtrail/commandline"
	"roomtrail/events"
	"roomtrail/intake"
	"roomtrail/progressbar"
)

// importFiles takes events in from files. They are marked as an import, and
// keep the time of receipt and the clock's offset that the file has. A bad line
// is named and left out; the rest goes on. An import that was stopped goes on
// where it was: see progress.go.
type importFiles struct {
	servers
	Strict          bool   `env:"ROOMTRAIL_STRICT" help:"Stop at the first bad line."`
	Format          string `enum:"events,zego-callbacks" default:"events" env:"ROOMTRAIL_IMPORT_FORMAT" placeholder:"FORMAT" help:"What the lines are: ${enum} (default ${default})."`
	CallbackSecrets string `name:"zego-callback-secrets" env:"ROOMTRAIL_ZEGO_CALLBACK_SECRETS" placeholder:"APP=SECRET,…" help:"With zego-callbacks: secrets that they are signed with. What none of them has signed is kept as unproven and counts for nothing."`
	Again           bool   `help:"Import files again that were imported before. Their events count once all the same."`
	read            reader
	Files           []string `arg:"" name:"file" help:"NDJSON, one event a line, as the intake takes them or as the log keeps them; a directory for all such files below it; - for standard input."`
}

// importBatch is how many lines are made durable at once.
const importBatch = 1000

// tally is what became of the lines of an import.
type tally struct{ accepted, rejected, skipped int64 }

func (f *importFiles) Run(t *terminal) error {
	files, err := f.list()
	if err != nil {
		return &commandline.UsageError{Err: err}
	}
	if f.read, err = f.reader(); err != nil {
		return &commandline.UsageError{Err: err}
	}
	out, err := f.open(t)
	if err != nil {
		return err
	}
	var all tally
	for _, name := range files {
		var n tally
		if n, err = f.file(t, out, name); err != nil {
			err = fmt.Errorf("import %s: %w", name, err)
		}
		all.accepted, all.rejected, all.skipped = all.accepted+n.accepted, all.rejected+n.rejected, all.skipped+n.skipped
		if err != nil {
			break
		}
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), 10*time.Minute)
	defer cancel()
	if closeErr := out.close(closing); err == nil {
		err = closeErr
	}
	fmt.Fprintf(t.stdout, "%d events imported, %d lines rejected", all.accepted, all.rejected)
	if all.skipped > 0 {
		fmt.Fprintf(t.stdout, ", %d done before", all.skipped)
	}
	fmt.Fprintln(t.stdout)
	return err
}

// reader turns a line into the event that is appended.
type reader func(now time.Time, line []byte) (events.Event, error)

func (f *importFiles) reader() (reader, error) {
	if f.Format != "zego-callbacks" {
		return func(now time.Time, line []byte) (events.Event, error) {
			e, err := events.FromArchive(now, line)
			e.Import, e.Trust = true, events.TrustPublic
			return e, err
		}, nil
	}
	secrets, err := intake.ParseCallbackSecrets(f.CallbackSecrets)
	if err != nil {
		return nil, err
	}
	// A callback of old was received about when it was sent; how old it is says
	// nothing against it here.
	return func(now time.Time, line []byte) (events.Event, error) {
		c, err := events.FromCallback(now, line)
		c.Event.Import, c.Event.Trust, c.Event.ReceivedAt = true, events.TrustUnproven, c.SentAt
		if err == nil && c.Signed(secrets[c.Event.AppID]) {
			c.Event.Trust = events.TrustVendor
		}
		return c.Event, err
	}, nil
}

// list names the files: directories give theirs, below them too, in the order
// of their names.
func (f *importFiles) list() ([]string, error) {
	var files []string
	for _, name := range f.Files {
		if name == "-" {
			files = append(files, name)
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, name)
			continue
		}
		before := len(files)
		err = filepath.WalkDir(name, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && archiveName.MatchString(entry.Name()) {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		if len(files) == before {
			return nil, fmt.Errorf("the directory %s holds no events; want files such as calls.ndjson, calls.jsonl.gz or calls.json.zst", name)
		}
	}
	return files, nil
}

// archiveName is what a file in a directory must be called to be taken.
var archiveName = regexp.MustCompile(`^[^.].*\.(ndjson|jsonl|json)(\.gz|\.zst)?$`)

// file imports one file from where an earlier import of it stopped.
func (f *importFiles) file(t *terminal, out sink, name string) (n tally, err error) {
	var in io.Reader
	size, done := int64(0), &progress{}
	if name == "-" {
		in = stoppable(t.ctx, t.stdin)
	} else {
		file, err := os.Open(name)
		if err != nil {
			return n, err
		}
		defer file.Close()
		log, err := out.log(t.ctx)
		if err != nil {
			return n, err
		}
		if done, err = resume(f.DataDir, file, log); err != nil {
			return n, err
		}
		if done.Finished && !f.Again {
			fmt.Fprintf(t.stderr, "%s was imported on %s; --again imports it once more\n", name, done.At.Local().Format("2006-01-02 15:04"))
			n.skipped = done.Lines
			return n, nil
		}
		if done.Finished {
			done.Lines, done.Finished = 0, false
		}
		in, size = file, done.Size
	}
	bar := progressbar.New(t.stderr, name, size, progressbar.Bytes)
	defer bar.Stop()
	plain, err := unpack(io.TeeReader(in, bar))
	if err != nil {
		return n, err
	}
	defer plain.Close()
	n, err = f.lines(t, out, name, plain, done, bar)
	if err == nil {
		err = done.finish()
	}
	return n, err
}

// stoppable ends with the context: a read of a terminal or a pipe does not.
func stoppable(ctx context.Context, r io.Reader) io.Reader {
	out, in := io.Pipe()
	context.AfterFunc(ctx, func() { in.CloseWithError(ctx.Err()) })
	go func() {
		_, err := io.Copy(in, r)
		in.CloseWithError(err)
	}()
	return out
}

// unpack tells gzip and zstd by the first bytes, so that names do not matter.
func unpack(r io.Reader) (io.ReadCloser, error) {
	b := bufio.NewReaderSize(r, 1<<20)
	magic, err := b.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		return gzip.NewReader(b)
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		d, err := zstd.NewReader(b)
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return io.NopCloser(b), nil
}

// lines sends the lines in batches and keeps note of what is durable.
func (f *importFiles) lines(t *terminal, out sink, name string, r io.Reader, done *progress, bar *progressbar.Bar) (n tally, err error) {
	in := bufio.NewReaderSize(r, 1<<20)
	var batch [][]byte
	var numbers []int64
	var number, last int64
	send := func() error {
		if len(batch) == 0 {
			return nil
		}
		rejected, err := out.take(t.ctx, batch)
		if err != nil {
			return err
		}
		for _, v := range rejected {
			bar.Say("%s:%d: %v", name, numbers[v.index], v.reason)
		}
		n.rejected += int64(len(rejected))
		n.accepted += int64(len(batch) - len(rejected))
		if len(numbers) > 0 {
			last = numbers[len(numbers)-1]
		}
		batch, numbers = batch[:0], numbers[:0]
		return done.save(last)
	}
	for {
		line, readErr := readLine(in)
		if readErr != nil && !errors.Is(readErr, io.EOF) {
			line = nil // half of one: it is read again when the file can be
		}
		if line != nil {
			number++
		}
		switch {
		case line == nil, len(bytes.TrimSpace(line)) == 0:
		case number <= done.Lines:
			n.skipped++
		case f.Strict && f.bad(line) != nil:
			if err := send(); err != nil {
				return n, err
			}
			return n, fmt.Errorf("line %d: %w (--strict)", number, f.bad(line))
		default:
			batch, numbers = append(batch, line), append(numbers, number)
		}
		if len(batch) == importBatch || readErr != nil && len(batch) > 0 {
			if err := send(); err != nil {
				return n, err
			}
		}
		if errors.Is(readErr, io.EOF) {
			return n, done.save(number)
		}
		if readErr != nil {
			return n, fmt.Errorf("line %d: %w", number+1, readErr)
		}
	}
}

// bad says what is wrong with a line.
func (f *importFiles) bad(line []byte) error {
	_, err := f.read(time.Now(), line)
	return err
}

// readLine reads one line of any length but keeps no more of it than shows
// that it is too long. nil is the end.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if len(line) <= events.MaxArchiveBytes {
			line = append(line, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && len(line) == 0 {
			return nil, err
		}
		if line == nil {
			line = []byte{}
		}
		return bytes.TrimRight(line, "\r\n"), err
	}
}

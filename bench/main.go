// Command bench measures what must keep up, each beside the
// limit of what lies below it in the same run on the same machine. Absolute
// figures are the machine's; the ratio is ours.
//
// It promises: real parts (the HTTP door, a log that flushes before it
// acknowledges, a Postgres with fsync), clocks that run only while the part
// under measure works, and nothing left behind.
//
// It refuses: to compare machines, and to measure what is not in the product.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

type flags struct {
	Seconds float64  `default:"8" placeholder:"N" help:"How long the door is loaded, and its limit as well (default ${default})."`
	Events  int      `default:"1000000" placeholder:"N" help:"How many events are drained, and folded anew (default ${default})."`
	Logins  int      `default:"1000000" placeholder:"N" help:"How many logins of a simulated day (default ${default})."`
	Seeds   int      `default:"10000" placeholder:"N" help:"How many small worlds are checked (default ${default})."`
	Only    []string `enum:"door100,door1,drain,rebuild,overview,world,seeds" default:"door100,door1,drain,rebuild,overview,world,seeds" placeholder:"NAME,…" help:"What to measure: ${enum} (default all)."`
	Output  string   `short:"o" enum:"table,json" default:"table" placeholder:"FORMAT" help:"Output: ${enum} (default ${default})."`
	Dir     string   `placeholder:"DIR" help:"Where the data lies while it is needed (default: the system's temporary directory)."`
	Profile string   `placeholder:"DIR" help:"Write a CPU profile of each measurement there."`
}

// run is the program as a value: what it reads and writes is in its arguments.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var f flags
	exited := false // by --help, which kong has answered then
	parser, err := kong.New(&f,
		kong.Name("bench"),
		kong.Description("Measure the door, the drain, a rebuild, an overview and the simulator, each beside its limit."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { exited = true }),
	)
	if err != nil {
		panic(err) // the struct above is wrong
	}
	_, err = parser.Parse(args)
	switch {
	case exited:
		return exitDone
	case err == nil && (f.Seconds <= 0 || f.Events < 1 || f.Logins < 1 || f.Seeds < 1):
		err = errors.New("--seconds, --events, --logins and --seeds: want more than 0")
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return exitUsage
	}
	report, err := measure(ctx, &f, stderr)
	if err == nil {
		err = report.write(stdout, f.Output)
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return exitFailed
	}
	return exitDone
}

// bench is what the measurements share.
type bench struct {
	flags    *flags
	dir      string
	progress io.Writer
}

// measure runs what is asked for, one after the other, each in a directory of
// its own that is gone before the next begins.
func measure(ctx context.Context, f *flags, progress io.Writer) (_ *report, err error) {
	dir, err := os.MkdirTemp(f.Dir, "roomtrail-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r := &report{Machine: thisMachine()}
	for _, m := range []struct {
		name string
		run  func(*bench, context.Context, *report) (row, error)
	}{
		{"door100", func(b *bench, ctx context.Context, _ *report) (row, error) { return b.door(ctx, "door100", 100, 32) }},
		{"door1", func(b *bench, ctx context.Context, _ *report) (row, error) { return b.door(ctx, "door1", 1, 64) }},
		{"drain", (*bench).drain},
		{"rebuild", (*bench).rebuild},
		{"overview", (*bench).overview},
		{"world", (*bench).world},
		{"seeds", (*bench).seeds},
	} {
		if !slices.Contains(f.Only, m.name) {
			continue
		}
		b := &bench{flags: f, dir: filepath.Join(dir, m.name), progress: progress}
		measured, err := m.run(b, ctx, r)
		if err := errors.Join(err, os.RemoveAll(b.dir)); err != nil {
			return nil, fmt.Errorf("measure %s: %w", m.name, err)
		}
		r.Rows = append(r.Rows, measured)
	}
	return r, nil
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.progress, "bench: "+format+"\n", args...)
}

// seconds is how long the door is loaded.
func (b *bench) seconds() time.Duration {
	return time.Duration(b.flags.Seconds * float64(time.Second))
}

// profile writes a CPU profile, if one is wanted, until stop is called.
func (b *bench) profile(name string) (stop func() error, err error) {
	if b.flags.Profile == "" {
		return func() error { return nil }, nil
	}
	file, err := os.Create(filepath.Join(b.flags.Profile, name+".pprof"))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return file.Close()
	}, nil
}

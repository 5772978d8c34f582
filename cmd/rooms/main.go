// Command rooms is a room service of the vendor's kind, and those who use it:
// serve runs the rooms, join puts one user into one of them, simulate lets
// thousands live in virtual time. All drive the machines of package room.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv)
	stop()
	os.Exit(code)
}

// Exit codes (contract 1).
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// program is the command line: one field for each subcommand. The tag "from"
// names the environment variable that stands in for a flag; kong's own tag
// "env" would read the process's environment, which a test cannot set for
// itself.
type program struct {
	Serve    serve    `cmd:"" help:"Run the rooms: clients by WebSocket, the vendor's server API, signed callbacks."`
	Join     join     `cmd:"" help:"Be a user in a room, and show what the SDK would report."`
	Simulate simulate `cmd:"" help:"Let a world of rooms happen in virtual time, into files or to an intake."`
}

// terminal is what a subcommand's Run(*terminal) error reads and writes.
type terminal struct {
	ctx            context.Context // ends when the program is to stop
	stdin          io.Reader
	stdout, stderr io.Writer
	isColored      bool // stdout is for people, on a screen with colours
}

func (t *terminal) logger() *slog.Logger { return slog.New(slog.NewTextHandler(t.stderr, nil)) }

// run is the program as a value: what it reads and writes is in its arguments.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env func(string) string) int {
	var p program
	exited := false // by --help, which kong has answered then
	parser, err := kong.New(&p,
		kong.Name("rooms"),
		kong.Description("A room service on the vendor's rules, to see a connection break and come back."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { exited = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 100}),
		kong.Resolvers(environment(env)),
		kong.ValueFormatter(withEnvironment),
	)
	if err != nil {
		panic(err) // the grammar is ours
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if exited {
		return exitDone
	}
	if err != nil {
		err = usagef("%w; try rooms --help", err)
	} else {
		err = parsed.Run(&terminal{
			ctx: ctx, stdin: stdin, stdout: stdout, stderr: stderr,
			isColored: isScreen(stdout) && env("NO_COLOR") == "" && env("TERM") != "dumb", // no-color.org
		})
	}
	if err != nil {
		fmt.Fprintln(stderr, "rooms:", err)
	}
	return exitCode(err)
}

// isScreen says whether somebody sits at the other end of a stream.
func isScreen(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// environment resolves a flag that is not on the command line.
func environment(env func(string) string) kong.Resolver {
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		for name := range strings.SplitSeq(flag.Tag.Get("from"), ",") {
			if name != "" && env(name) != "" {
				return env(name), nil
			}
		}
		return nil, nil
	})
}

func withEnvironment(value *kong.Value) string {
	name := value.Tag.Get("from")
	if name == "" {
		return value.Help
	}
	return strings.TrimSuffix(value.Help, ".") + " [" + name + "]."
}

// usageError is a command line that cannot be run.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// exitCode is the one place that chooses an exit code.
func exitCode(err error) int {
	var usage *usageError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage):
		return exitUsage
	}
	return exitFailed
}

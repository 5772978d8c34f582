// Command rooms is a room service of the vendor's kind, and those who use it:
// serve runs the rooms, join puts one user into one of them, simulate lets
// thousands live in virtual time. All drive the machines of package room.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"roomtrail/commandline"
	"roomtrail/progressbar"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv)
	stop()
	os.Exit(code)
}

// program is the command line: one field for each subcommand. Package
// commandline reads the tags "from" of its flags.
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
		commandline.Environment(env),
		commandline.NamesVariables(),
	)
	if err != nil {
		panic(err) // the grammar is ours
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if exited {
		return commandline.Done
	}
	if err != nil {
		err = commandline.Usagef("%w; try rooms --help", err)
	} else {
		err = parsed.Run(&terminal{
			ctx: ctx, stdin: stdin, stdout: stdout, stderr: stderr,
			isColored: progressbar.IsTerminal(stdout) && env("NO_COLOR") == "" && env("TERM") != "dumb", // no-color.org
		})
	}
	if err != nil {
		fmt.Fprintln(stderr, "rooms:", err)
	}
	return commandline.ExitCode(err)
}

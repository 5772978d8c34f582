// Command ingest is the write side: the door, the projector, imports and the
// schema.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"roomtrail/commandline"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ())
	stop()
	os.Exit(code)
}

// program is the command line: one field for each subcommand.
type program struct {
	Serve       serve       `cmd:"" help:"Take events over HTTP, keep them in JetStream, project them into Postgres."`
	Import      importFiles `cmd:"" help:"Take in NDJSON files (plain, .gz, .zst, directories of them, or - for standard input), marked as an import."`
	Keys        keys        `cmd:"" help:"Make, show and revoke the keys of those who send events."`
	Partitions  partitions  `cmd:"" help:"Show the partitions of the log, or change their number: ingest partitions 4."`
	Migrate     migrate     `cmd:"" help:"Bring the schema up, show it, or repair it after a failure."`
	Rebuild     rebuild     `cmd:"" help:"Fill the read model anew from the facts beside the live one, compare, and switch."`
	Quarantine  quarantine  `cmd:"" help:"What could not be read or projected: look at it, try it again, drop it."`
	Status      status      `cmd:"" help:"Show the log, how far it is applied, quarantine and storage."`
	Doctor      doctor      `cmd:"" help:"Say what is unsafe or not set up, and what to do. Exit 1 where there is danger."`
	Healthcheck healthcheck `cmd:"" help:"Ask a URL; exit 0 when it answers 200. For containers without a shell."`
}

// servers are the flags that name what the write side works on.
type servers struct {
	DatabaseURL string `name:"database-url" env:"DATABASE_URL" placeholder:"URL" help:"Postgres to project into. Without it a private one is started under the data directory."`
	NATSURL     string `name:"nats-url" env:"NATS_URL" placeholder:"URL" help:"NATS server with JetStream. Without it one runs in this process."`
	DataDir     string `env:"ROOMTRAIL_DATA_DIR" default:".roomtrail" placeholder:"DIR" help:"Where the embedded servers keep their data (default ${default})."`
}

// terminal is what a command reads and writes.
type terminal struct {
	ctx            context.Context
	stdin          io.Reader
	stdout, stderr io.Writer
}

func (t *terminal) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(t.stderr, nil))
}

// run is the program as a value: what it reads and writes is in its arguments.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env []string) int {
	var p program
	code := -1
	parser, err := kong.New(&p,
		kong.Name("ingest"),
		kong.Description("Roomtrail's write side. Without DATABASE_URL and NATS_URL everything runs embedded, with its data under --data-dir."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(c int) { code = c }),
		kong.Resolvers(environment(env)),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	if err != nil {
		panic(err) // the struct above is wrong
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	kctx, err := parser.Parse(args)
	if code >= 0 {
		return code // help was shown
	}
	if err != nil {
		fmt.Fprintf(stderr, "ingest: %v\nTry: ingest --help\n", err)
		return commandline.Usage
	}
	err = kctx.Run(&terminal{ctx, stdin, stdout, stderr})
	if err != nil {
		fmt.Fprintf(stderr, "ingest: %v\n", err)
	}
	return commandline.ExitCode(err)
}

// environment resolves flags from the given environment instead of the
// process's, so that tests can set it.
func environment(env []string) kong.Resolver {
	values := make(map[string]string, len(env))
	for _, line := range env {
		name, value, _ := strings.Cut(line, "=")
		values[name] = value
	}
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		for _, name := range flag.Envs {
			if v := values[name]; v != "" {
				return v, nil
			}
		}
		return nil, nil
	})
}

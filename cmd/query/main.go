// Command query is the read side: it asks the questions of package query of the
// read model, as a role that can only read, and serves them over HTTP.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"roomtrail/commandline"
	"roomtrail/query"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv)
	stop()
	os.Exit(code)
}

// flags are the global flags. The tag "from" names the environment variable
// that stands in for a flag; kong's own tag "env" would read the process's
// environment, which a test cannot set for itself.
type flags struct {
	DatabaseURL string `name:"database-url" from:"DATABASE_URL" placeholder:"URL" help:"Postgres with the read model; without it, that of the stack running on the data directory."`
	DataDir     string `from:"ROOMTRAIL_DATA_DIR" default:".roomtrail" placeholder:"DIR" help:"Data directory of the running stack (default ${default})."`
	Output      string `short:"o" from:"ROOMTRAIL_OUTPUT" enum:"table,json,csv,ndjson" default:"table" placeholder:"FORMAT" help:"Output: ${enum} (default ${default})."`
	UTC         bool   `name:"utc" from:"ROOMTRAIL_UTC" help:"Show and read clock times in UTC, not in local time."`

	Since      string `from:"ROOMTRAIL_SINCE" placeholder:"TIME" help:"Start of the time range: 15m, 2h, 7d back from now, a clock time as 03:12, or RFC 3339 (default 1h before its end)."`
	Until      string `from:"ROOMTRAIL_UNTIL" placeholder:"TIME" help:"End of the time range, spelled as --since (default now)."`
	App        string `from:"ROOMTRAIL_APP" placeholder:"ID" help:"Only this app_id."`
	Room       string `from:"ROOMTRAIL_ROOM" placeholder:"ID" help:"Only this room_id."`
	User       string `from:"ROOMTRAIL_USER" placeholder:"ID" help:"Only this user_id."`
	Session    string `from:"ROOMTRAIL_SESSION" placeholder:"ID" help:"Only this session_id."`
	Platform   string `from:"ROOMTRAIL_PLATFORM" placeholder:"NAME" help:"Only this platform, as web or android."`
	SDKVersion string `name:"sdk-version" from:"ROOMTRAIL_SDK_VERSION" placeholder:"VERSION" help:"Only this version of the vendor's SDK."`
	Network    string `from:"ROOMTRAIL_NETWORK" placeholder:"NAME" help:"Only this network: wifi, cellular, ethernet, none or unknown."`
	Carrier    string `from:"ROOMTRAIL_CARRIER" placeholder:"NAME" help:"Only this carrier."`
	Region     string `from:"ROOMTRAIL_REGION" placeholder:"NAME" help:"Only this region."`
	Limit      string `from:"ROOMTRAIL_LIMIT" placeholder:"N" help:"Rows at most (default 200, of session and at most 10000)."`
}

// given are the flags that are parameters of questions, by parameter.
func (f *flags) given() map[string]string {
	return map[string]string{
		"since": f.Since, "until": f.Until, "app": f.App, "room": f.Room, "user": f.User, "session": f.Session,
		"platform": f.Platform, "sdk_version": f.SDKVersion, "network": f.Network, "carrier": f.Carrier,
		"region": f.Region, "limit": f.Limit,
	}
}

// program is what the subcommands have in common.
type program struct {
	flags
	ctx            context.Context
	stdin          io.Reader
	stdout, stderr io.Writer
	look           query.Look
}

// now is the clock, in the zone that clock times are read and shown in.
func (p *program) now() time.Time { return time.Now().In(p.look.Zone) }

// run is the program as a value: what it reads and writes is in its arguments.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env func(string) string) int {
	p := &program{ctx: ctx, stdin: stdin, stdout: stdout, stderr: stderr}
	exited := false // by --help, which kong has answered then
	options := []kong.Option{
		kong.Name("query"),
		kong.Description("Ask the flight recorder: who was in which room, what broke, and whether they came back."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { exited = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 100}),
		commandline.Environment(env),
		commandline.NamesVariables(),
	}
	parser, err := kong.New(&p.flags, append(options, commands()...)...)
	if err != nil {
		panic(err) // the grammar is ours
	}
	parsed, err := parser.Parse(args)
	if exited {
		return commandline.Done
	}
	if err == nil {
		p.look = lookFor(stdout, env, p.UTC)
		err = parsed.Run(p)
	} else {
		err = &commandline.UsageError{Err: err}
	}
	if err != nil {
		fmt.Fprintln(stderr, "query:", describe(err))
	}
	return exitCode(err)
}

// exitCode is the one place that chooses an exit code.
func exitCode(err error) int {
	if invalid := (*query.InvalidError)(nil); errors.As(err, &invalid) {
		return commandline.Usage
	}
	return commandline.ExitCode(err)
}

// describe spells parameters as the flags that they are here.
func describe(err error) string {
	if invalid := (*query.InvalidError)(nil); errors.As(err, &invalid) {
		e := *invalid
		e.Param = "--" + strings.ReplaceAll(e.Param, "_", "-")
		return e.Error()
	}
	if errors.Is(err, context.Canceled) {
		return "interrupted"
	}
	return err.Error()
}

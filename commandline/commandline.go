// Package commandline is what the programs' command lines have in common: where
// a flag's value comes from beside the line, wrong usage, exit codes.
//
// It promises that a program reads the environment that it is handed, so that a
// test can set one. It refuses to know any flag.
package commandline

import (
	"errors"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// Exit codes (contract 1).
const (
	Done   = 0
	Failed = 1
	Usage  = 2
)

// Environment resolves flags that are not on the command line. The tag "from"
// names the variables that stand in for a flag, the first that is set counts;
// kong's own tag "env" would read the process's environment.
func Environment(env func(string) string) kong.Option {
	return kong.Resolvers(kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		for name := range strings.SplitSeq(flag.Tag.Get("from"), ",") {
			if name != "" && env(name) != "" {
				return env(name), nil
			}
		}
		return nil, nil
	}))
}

// NamesVariables shows the variables of Environment in a flag's help.
func NamesVariables() kong.Option {
	return kong.ValueFormatter(func(value *kong.Value) string {
		name := value.Tag.Get("from")
		if name == "" {
			return value.Help
		}
		return strings.TrimSuffix(value.Help, ".") + " [" + name + "]."
	})
}

// UsageError is a command line that cannot be run.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

// Usagef is a UsageError by a format.
func Usagef(format string, args ...any) error { return &UsageError{fmt.Errorf(format, args...)} }

// ExitCode chooses the exit code of an error.
func ExitCode(err error) int {
	var usage *UsageError
	switch {
	case err == nil:
		return Done
	case errors.As(err, &usage):
		return Usage
	}
	return Failed
}

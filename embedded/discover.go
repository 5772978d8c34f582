package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// programs is a directory with initdb and postgres of one version.
type programs struct {
	dir   string
	major int
}

func (p programs) postgres() string { return filepath.Join(p.dir, "postgres") }
func (p programs) initdb() string   { return filepath.Join(p.dir, "initdb") }

func (p programs) String() string { return fmt.Sprintf("%d in %s", p.major, p.dir) }

// places is where programs are looked for when nobody names a directory.
type places struct {
	path  string   // in the form of the environment's PATH
	globs []string // directories of distributions that keep their servers out of PATH
}

func defaultPlaces() places {
	return places{
		path: os.Getenv("PATH"),
		globs: []string{
			"/usr/lib/postgresql/*/bin", // Debian, Ubuntu
			"/usr/pgsql-*/bin",          // packages of the PostgreSQL project for Fedora, RHEL
			"/opt/homebrew/opt/postgresql@*/bin",
			"/usr/local/opt/postgresql@*/bin",
			"/Applications/Postgres.app/Contents/Versions/*/bin",
		},
	}
}

const howToInstall = "install PostgreSQL (Debian, Ubuntu: apt-get install postgresql; Fedora: dnf install postgresql-server; macOS: brew install postgresql@17), " +
	"or set DATABASE_URL to a server that runs"

// choosePrograms returns the programs to use: those in explicit if it is not
// empty, else the first that are found in the places. A data directory of
// version major only opens with programs of that version; 0 means there is none.
func choosePrograms(ctx context.Context, explicit string, in places, major int, data string) (programs, error) {
	var found []programs
	var err error
	if explicit != "" {
		found, err = explicitPrograms(ctx, explicit)
	} else {
		found, err = findPrograms(ctx, in)
	}
	if err != nil {
		return programs{}, err
	}
	names := make([]string, len(found))
	for i, p := range found {
		if major == 0 || p.major == major {
			return p, nil
		}
		names[i] = p.String()
	}
	return programs{}, fmt.Errorf("open %s: it was made by PostgreSQL %d, and the programs found are %s: install PostgreSQL %d, or choose another directory with --data-dir",
		data, major, strings.Join(names, ", "), major)
}

func explicitPrograms(ctx context.Context, dir string) ([]programs, error) {
	p, err := inspectPrograms(ctx, filepath.Join(dir, "postgres"))
	if err != nil {
		return nil, fmt.Errorf("use PostgreSQL programs in %s: %w: want a directory with initdb and postgres", dir, err)
	}
	return []programs{p}, nil
}

// findPrograms returns all programs in the places: those of PATH, then the one
// that pg_config knows, then those of the globs with the highest major first.
func findPrograms(ctx context.Context, in places) ([]programs, error) {
	var found []programs
	add := func(list []programs) {
		for _, p := range list {
			if !slices.Contains(found, p) {
				found = append(found, p)
			}
		}
	}
	var candidates []string
	for _, dir := range filepath.SplitList(in.path) {
		candidates = append(candidates, filepath.Join(dir, "postgres"))
	}
	candidates = append(candidates, fromPgConfig(ctx, in.path)...)
	add(inspectAll(ctx, candidates))

	candidates = nil
	for _, glob := range in.globs {
		matches, err := filepath.Glob(filepath.Join(glob, "postgres"))
		if err != nil {
			return nil, fmt.Errorf("look for PostgreSQL in %s: %w", glob, err)
		}
		candidates = append(candidates, matches...)
	}
	distributed := inspectAll(ctx, candidates)
	slices.SortStableFunc(distributed, func(a, b programs) int { return cmp.Compare(b.major, a.major) })
	add(distributed)

	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("look for PostgreSQL: %w", err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("find the PostgreSQL programs initdb and postgres: not in PATH (%s), not by pg_config, not in %s: %s",
			in.path, strings.Join(in.globs, ", "), howToInstall)
	}
	return found, nil
}

// fromPgConfig asks the first pg_config in path where the programs are. It may
// belong to a client package, with no server there.
func fromPgConfig(ctx context.Context, path string) []string {
	for _, dir := range filepath.SplitList(path) {
		name, err := filepath.Abs(filepath.Join(dir, "pg_config"))
		if err != nil || !isProgram(name) {
			continue
		}
		out, err := exec.CommandContext(ctx, name, "--bindir").Output()
		if err != nil {
			return nil
		}
		return []string{filepath.Join(strings.TrimSpace(string(out)), "postgres")}
	}
	return nil
}

// inspectAll keeps the candidates that work and drops the others in silence:
// to find no server in a directory of PATH is the rule.
func inspectAll(ctx context.Context, candidates []string) []programs {
	var found []programs
	for _, c := range candidates {
		if p, err := inspectPrograms(ctx, c); err == nil {
			found = append(found, p)
		}
	}
	return found
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// inspectPrograms finds out the home and the version of a postgres program.
func inspectPrograms(ctx context.Context, postgres string) (programs, error) {
	postgres, err := filepath.Abs(postgres)
	if err != nil {
		return programs{}, err
	}
	// Some distributions link single programs into PATH. Where postgres really
	// is, initdb and the server's own files are too.
	postgres, err = filepath.EvalSymlinks(postgres)
	if err != nil {
		return programs{}, err
	}
	p := programs{dir: filepath.Dir(postgres)}
	for _, name := range []string{p.postgres(), p.initdb()} {
		if !isProgram(name) {
			return programs{}, fmt.Errorf("%s is no program", name)
		}
	}
	out, err := exec.CommandContext(ctx, p.postgres(), "--version").Output()
	if err != nil {
		return programs{}, fmt.Errorf("run %s --version: %w", p.postgres(), err)
	}
	match := versionPattern.FindSubmatch(out)
	if match == nil {
		return programs{}, fmt.Errorf("run %s --version: got %q, want a version of PostgreSQL", p.postgres(), strings.TrimSpace(string(out)))
	}
	p.major, err = strconv.Atoi(string(match[1]))
	if err != nil {
		return programs{}, err
	}
	return p, nil
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// dataMajor returns the major version of the cluster in data, 0 if there is no
// such directory.
func dataMajor(data string) (int, error) {
	if _, err := os.Stat(data); errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	text, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("open %s: it has no file PG_VERSION, so it is no Postgres cluster: move it away", data)
	}
	if err != nil {
		return 0, fmt.Errorf("read version of cluster: %w", err)
	}
	major := firstNumber(string(text))
	if major == 0 {
		return 0, fmt.Errorf("open %s: its PG_VERSION says %q: want a number such as 17", data, strings.TrimSpace(string(text)))
	}
	return major, nil
}

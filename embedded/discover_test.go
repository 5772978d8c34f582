package embedded

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The tests that write programs and run them are not parallel: a file that is
// being written cannot be run, and a child of another test, forked at the wrong
// moment, would keep it open.

// fakePrograms writes an initdb and a postgres that know their version.
func fakePrograms(t *testing.T, dir, version string) string {
	t.Helper()
	writeProgram(t, filepath.Join(dir, "initdb"), "exit 1")
	writeProgram(t, filepath.Join(dir, "postgres"), fmt.Sprintf("echo 'postgres (PostgreSQL) %s'", version))
	return dir
}

func writeProgram(t *testing.T, path, script string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func majors(found []programs) string {
	var s []string
	for _, p := range found {
		s = append(s, fmt.Sprint(p.major))
	}
	return strings.Join(s, " ")
}

func TestFindProgramsInOrder(t *testing.T) {
	root := t.TempDir()
	fakePrograms(t, filepath.Join(root, "lib/9/bin"), "9.6.24")
	fakePrograms(t, filepath.Join(root, "lib/16/bin"), "16.4 (Debian 16.4-1)")
	fakePrograms(t, filepath.Join(root, "lib/18/bin"), "18beta2")
	inPath := fakePrograms(t, filepath.Join(root, "path"), "14.1")
	known := fakePrograms(t, filepath.Join(root, "known"), "15.3")
	tools := filepath.Join(root, "tools")
	writeProgram(t, filepath.Join(tools, "pg_config"), "echo "+known)
	// A client package: a server it is not.
	writeProgram(t, filepath.Join(root, "client", "postgres"), "echo 'postgres (PostgreSQL) 19.0'")
	// A link of a single program leads to where its companions are.
	links := filepath.Join(root, "links")
	if err := os.Mkdir(links, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(root, "lib/16/bin/postgres"), filepath.Join(links, "postgres")); err != nil {
		t.Fatal(err)
	}
	globs := []string{filepath.Join(root, "lib/*/bin"), filepath.Join(root, "client")}
	list := func(dirs ...string) string { return strings.Join(dirs, string(filepath.ListSeparator)) }

	for _, c := range []struct{ name, path, want string }{
		{"distributions, highest first", list(tools + "x"), "18 16 9"},
		{"PATH before them", list(inPath), "14 18 16 9"},
		{"pg_config after PATH", list(tools, inPath), "14 15 18 16 9"},
		{"a link is followed", list(links), "16 18 9"},
	} {
		found, err := findPrograms(t.Context(), places{path: c.path, globs: globs})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := majors(found); got != c.want {
			t.Errorf("%s: got majors %q, want %q", c.name, got, c.want)
		}
	}
}

func TestChooseProgramsOfMajor(t *testing.T) {
	root := t.TempDir()
	fakePrograms(t, filepath.Join(root, "16"), "16.4")
	fakePrograms(t, filepath.Join(root, "17"), "17.1")
	in := places{globs: []string{filepath.Join(root, "*")}}
	for major, want := range map[int]int{0: 17, 16: 16, 17: 17} {
		got, err := choosePrograms(t.Context(), "", in, major, "/x/data")
		if err != nil || got.major != want {
			t.Errorf("data of major %d: got %v, %v, want programs of %d", major, got, err, want)
		}
	}
	_, err := choosePrograms(t.Context(), "", in, 14, "/x/data")
	wantWords(t, err, "/x/data", "PostgreSQL 14", "17 in "+filepath.Join(root, "17"), "16 in "+filepath.Join(root, "16"), "install PostgreSQL 14")

	explicit := filepath.Join(root, "16")
	got, err := choosePrograms(t.Context(), explicit, in, 0, "/x/data")
	if err != nil || got.dir != explicit {
		t.Errorf("explicit directory: got %v, %v, want %s", got, err, explicit)
	}
	_, err = choosePrograms(t.Context(), explicit, in, 17, "/x/data")
	wantWords(t, err, "PostgreSQL 17", "16 in "+explicit)
}

func TestNoPrograms(t *testing.T) {
	t.Parallel()
	empty := t.TempDir()
	_, err := choosePrograms(t.Context(), "", places{path: empty, globs: []string{filepath.Join(empty, "*/bin")}}, 0, "")
	wantWords(t, err, empty, "PATH", "pg_config", filepath.Join(empty, "*/bin"),
		"apt-get install postgresql", "dnf install postgresql-server", "brew install postgresql@17", "DATABASE_URL")

	_, err = choosePrograms(t.Context(), empty, defaultPlaces(), 0, "")
	wantWords(t, err, empty, "initdb and postgres")
}

func TestDataMajor(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	if got, err := dataMajor(data); got != 0 || err != nil {
		t.Errorf("no directory: got %d, %v, want 0", got, err)
	}
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := dataMajor(data)
	wantWords(t, err, data, "no file PG_VERSION")
	for text, want := range map[string]int{"15\n": 15, "9.6\n": 0} {
		if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := dataMajor(data)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("PG_VERSION %q: got %d, %v, want %d", text, got, err, want)
		}
	}
}

// Command demo shows everything in one process. This small program compiles
// the real one, which takes a minute the first time, says so meanwhile, and
// becomes it.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:], os.Stderr); err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	module, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "roomtrail").Output()
	if err != nil {
		return fmt.Errorf("find the source: run it inside the project, with Go installed, as: go run ./cmd/demo (%w)", err)
	}
	dir := strings.TrimSpace(string(module))
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	binary := filepath.Join(cache, "roomtrail", "demo")
	if err := compile(dir, binary, out); err != nil {
		return err
	}
	return syscall.Exec(binary, append([]string{"demo"}, args...), os.Environ())
}

// compile builds the real program and tells how far it is.
func compile(dir, binary string, out io.Writer) error {
	fmt.Fprintln(out, "Compiling (the first time takes a minute or two, then seconds) …")
	start := time.Now()
	build := exec.Command("go", "build", "-v", "-o", binary, "./cmd/demo/stack")
	build.Dir = dir
	lines, err := build.StderrPipe()
	if err != nil {
		return err
	}
	if err := build.Start(); err != nil {
		return err
	}
	var said bytes.Buffer
	done, told := 0, start
	every := 5 * time.Second
	if isTerminal(out) {
		every = 300 * time.Millisecond
	}
	for in := bufio.NewScanner(lines); in.Scan(); {
		fmt.Fprintln(&said, in.Text())
		done++
		if time.Since(told) > every {
			told = time.Now()
			report(out, fmt.Sprintf("  %d packages, %.0f s: %s", done, time.Since(start).Seconds(), in.Text()))
		}
	}
	if err := build.Wait(); err != nil {
		return fmt.Errorf("compile: %w\n%s", err, said.String())
	}
	report(out, fmt.Sprintf("  compiled in %.0f s", time.Since(start).Seconds()))
	if isTerminal(out) {
		fmt.Fprintln(out)
	}
	return nil
}

// report writes one line, over the one before where that can be done.
func report(out io.Writer, line string) {
	if isTerminal(out) {
		fmt.Fprintf(out, "\r\x1b[K%.78s", line)
		return
	}
	fmt.Fprintln(out, line)
}

func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

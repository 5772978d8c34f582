package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// superuser is the role that initdb makes. It owns everything.
const superuser = "roomtrail"

// cluster is a data directory with the programs and the user that run it.
type cluster struct {
	dir      string // where data, log and lock are
	data     string
	programs programs
	account  account
}

// findCluster decides with which programs and as whom the cluster in dir runs.
// It changes nothing.
func findCluster(ctx context.Context, dir, binDir string, in places) (cluster, error) {
	c := cluster{dir: dir, data: filepath.Join(dir, "data")}
	major, err := dataMajor(c.data)
	if err != nil {
		return cluster{}, err
	}
	if c.programs, err = choosePrograms(ctx, binDir, in, major, c.data); err != nil {
		return cluster{}, err
	}
	if c.account, err = chooseAccount(ctx, c.programs, dir); err != nil {
		return cluster{}, err
	}
	return c, nil
}

// prepare makes the data directory if there is none and gives it to the account.
func (c cluster) prepare(ctx context.Context, throwaway bool) error {
	leftovers, err := filepath.Glob(filepath.Join(escapeGlob(c.dir), "data.tmp-*"))
	if err != nil {
		return fmt.Errorf("look for remains of initdb: %w", err)
	}
	for _, path := range leftovers {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("clear remains of initdb: %w", err)
		}
	}
	if _, err := os.Stat(c.data); err == nil {
		return c.account.own(c.data)
	}
	return c.initialise(ctx, throwaway)
}

// initialise lets initdb work under another name, so that a data directory is
// a whole one: initdb may be killed half-way. The name is a new one each time,
// because a killed initdb clears its directory, and that must not be ours.
func (c cluster) initialise(ctx context.Context, throwaway bool) error {
	temp, err := os.MkdirTemp(c.dir, "data.tmp-")
	if err != nil {
		return fmt.Errorf("initialise cluster: %w", err)
	}
	if err := c.account.own(temp); err != nil {
		return fmt.Errorf("initialise cluster: %w", err)
	}
	// Trust, since the way to the socket is what is guarded: see the package
	// comment. No locale, so that sorting is the same on every machine.
	args := []string{"-D", temp, "-U", superuser, "-A", "trust", "-E", "UTF8", "--no-locale"}
	if throwaway {
		args = append(args, "--no-sync", "--wal-segsize=4")
	}
	out, err := c.account.run(exec.CommandContext(ctx, c.programs.initdb(), args...))
	if err != nil {
		os.RemoveAll(temp)
		return fmt.Errorf("initialise cluster: run %s: %w%s", c.programs.initdb(), err, lastLines(out))
	}
	if err := os.Rename(temp, c.data); err != nil {
		return fmt.Errorf("initialise cluster: %w", err)
	}
	if throwaway {
		return nil
	}
	return syncDir(c.dir) // initdb has flushed the rest
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("flush directory: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("flush directory: %w", err)
	}
	return nil
}

const (
	// A server told to stop writes what it has in memory first. If that takes
	// longer than this, it recovers from its log at the next start instead.
	evictPatience = 20 * time.Second
	pollPause     = 10 * time.Millisecond
)

// evict stops the server that an earlier owner of the directory left behind.
// We hold the lock, so a server that runs here has no owner any more.
func (c cluster) evict(ctx context.Context, notice func(pid int)) error {
	pid := firstNumber(c.pidFile())
	if pid <= 0 || !servesData(pid, c.data) {
		return nil
	}
	notice(pid)
	began, sig := time.Now(), interrupt
	for servesData(pid, c.data) {
		if sig == 0 && time.Since(began) > evictPatience {
			began, sig = time.Now(), quit
		}
		if sig != 0 {
			if err := signalProcess(pid, sig); err != nil {
				return fmt.Errorf("stop the postgres of an earlier owner, process %d: %w", pid, err)
			}
			sig = 0
		}
		if err := pause(ctx, pollPause); err != nil {
			return fmt.Errorf("stop the postgres of an earlier owner, process %d: %w", pid, err)
		}
	}
	return nil
}

// pause waits for d, or less if ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// pidFile returns the text of postmaster.pid, "" if there is none.
func (c cluster) pidFile() string {
	text, err := os.ReadFile(filepath.Join(c.data, "postmaster.pid"))
	if err != nil {
		return ""
	}
	return string(text)
}

// ready reports whether the server with this process id takes connections. The
// id matters: while an earlier server runs, the file is that one's.
func (c cluster) ready(pid int) bool {
	lines := strings.Split(c.pidFile(), "\n")
	return len(lines) >= 8 && firstNumber(lines[0]) == pid && strings.TrimSpace(lines[7]) == "ready"
}

// socketPathMax is what macOS allows, four bytes fewer than Linux.
const socketPathMax = 103

// makeSocketDir makes a private directory for the socket that the account can
// reach and whose path is short enough.
func (c cluster) makeSocketDir() (string, error) {
	var problems []error
	for _, base := range []string{os.TempDir(), "/tmp"} {
		if closed := c.account.closedParent(base); c.account.switched && closed != "" {
			problems = append(problems, fmt.Errorf("%s is closed to user %s", closed, c.account.name))
			continue
		}
		dir, err := os.MkdirTemp(base, socketDirPrefix)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		if path := filepath.Join(dir, ".s.PGSQL."+port); len(path) > socketPathMax {
			problems = append(problems, fmt.Errorf("path of socket %s has %d bytes: want at most %d", path, len(path), socketPathMax))
		} else if err := c.account.own(dir); err != nil {
			problems = append(problems, err)
		} else {
			return dir, nil
		}
		os.Remove(dir)
	}
	return "", fmt.Errorf("make directory for socket: %w", errors.Join(problems...))
}

// escapeGlob makes a path a pattern that matches itself alone.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

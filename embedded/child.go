package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// How Postgres is told to stop.
const (
	interrupt = syscall.SIGINT  // fast: disconnect everybody, write all, end
	quit      = syscall.SIGQUIT // at once: end, recover at the next start
)

// child is a started server. err may be read when done is closed.
type child struct {
	process *os.Process
	done    chan struct{}
	err     error
}

// startChild starts cmd and waits for its end on one thread: the kernel tells
// the child that its parent died when the thread that started it ends.
func startChild(cmd *exec.Cmd) (*child, error) {
	c := &child{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		c.err = cmd.Wait()
		close(c.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	c.process = cmd.Process
	return c, nil
}

// stop asks the child to end and waits for that. When ctx ends first, it cuts
// the child off and returns why.
func (c *child) stop(ctx context.Context) error {
	c.process.Signal(interrupt) // fails only if the child has ended, which is fine
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		c.cut()
		return ctx.Err()
	}
}

// quitPatience is twice what the server itself gives its own children.
const quitPatience = 10 * time.Second

// cut ends the child at once.
func (c *child) cut() {
	c.process.Signal(quit)
	select {
	case <-c.done:
	case <-time.After(quitPatience):
		c.process.Kill()
		<-c.done
	}
}

// signalProcess signals a process that is not our child.
func signalProcess(pid int, sig syscall.Signal) error {
	err := syscall.Kill(pid, sig)
	if errors.Is(err, syscall.ESRCH) {
		return nil // it has ended by itself
	}
	return err
}

// serverLog is the file the server writes its messages to.
type serverLog struct{ file *os.File }

// The log of a server that is restarted for years is cut at a start: beyond
// this size the file makes room for a new one and replaces the one before.
const serverLogMax = 16 << 20

func openServerLog(path string) (*serverLog, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > serverLogMax {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, fmt.Errorf("rotate server log: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open server log: %w", err)
	}
	return &serverLog{file: f}, nil
}

// size is a place in the log to read from later.
func (l *serverLog) size() int64 {
	info, err := l.file.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// since returns what the server has written after the place from, or the last
// 16 KiB of it.
func (l *serverLog) since(from int64) string {
	const most = 16 << 10
	from = max(from, l.size()-most)
	b := make([]byte, most)
	n, _ := l.file.ReadAt(b, from) // ends in io.EOF; an unreadable log explains nothing
	return string(b[:n])
}

// lastLines puts the end of what a program wrote below an error message.
func lastLines(out string) string {
	const most = 12
	out = strings.TrimSpace(out)
	if out == "" {
		return ""
	}
	lines := strings.Split(out, "\n")
	lines = lines[max(0, len(lines)-most):]
	return ", its last words:\n\t" + strings.Join(lines, "\n\t")
}

package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// LockedError says that a directory has an owner already.
type LockedError struct {
	Path string // the directory
	PID  int    // its owner, 0 if the owner has not written that down yet
}

func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("directory %s is in use by another process: stop that process, or choose another directory with --data-dir", e.Path)
	}
	return fmt.Sprintf("directory %s is in use by process %d: stop that process, or choose another directory with --data-dir", e.Path, e.PID)
}

// fileLock is an flock on a file. The kernel releases it when the process
// ends, so it needs no clean-up after a crash. The file itself stays for ever:
// were it removed, two owners could hold locks on two files of one name.
type fileLock struct {
	file *os.File
	left string // what the owner before us wrote
}

// A looker-on holds the lock for some microseconds to see whether it is free.
// An owner who happens to start just then waits that out.
const (
	lockTries = 10
	lockPause = 25 * time.Millisecond
)

// takeLock makes us the owner of dir by the lock file name. If another process
// is, or this one already, the error is a *LockedError.
func takeLock(dir, name string) (*fileLock, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, cannotOpen(dir, err)
	}
	for try := 1; ; try++ {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if errors.Is(err, syscall.EWOULDBLOCK) && try == lockTries {
			err = &LockedError{Path: dir, PID: firstNumber(readAll(f))}
		} else if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
			time.Sleep(lockPause)
			continue
		}
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	l := &fileLock{file: f, left: readAll(f)}
	if err := l.write(""); err != nil {
		l.release()
		return nil, err
	}
	return l, nil
}

// write notes our process id and, below it, what the next owner should know.
func (l *fileLock) write(note string) error {
	text := fmt.Sprintf("%d\n%s", os.Getpid(), note)
	if err := l.file.Truncate(0); err != nil {
		return fmt.Errorf("write lock file: %w", err)
	}
	if _, err := l.file.WriteAt([]byte(text), 0); err != nil {
		return fmt.Errorf("write lock file: %w", err)
	}
	return nil
}

// release unlocks by word instead of by closing the file alone: a child that
// is being forked by another goroutine shares the open file until its exec.
func (l *fileLock) release() error {
	if l.file == nil {
		return nil
	}
	err := errors.Join(syscall.Flock(int(l.file.Fd()), syscall.LOCK_UN), l.file.Close())
	l.file = nil
	if err != nil {
		return fmt.Errorf("release lock: %w", err)
	}
	return nil
}

// ownerOf returns the process id in the lock file and whether the lock is held.
func ownerOf(dir, name string) (pid int, held bool, err error) {
	f, err := os.Open(filepath.Join(dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, cannotOpen(dir, err)
	}
	defer f.Close()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return firstNumber(readAll(f)), true, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("test lock %s: %w", f.Name(), err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_UN); err != nil {
		return 0, false, fmt.Errorf("release lock %s: %w", f.Name(), err)
	}
	return 0, false, nil
}

func cannotOpen(dir string, err error) error {
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("open lock file: %w: run as the user who owns %s, or choose another directory with --data-dir", err, dir)
	}
	return fmt.Errorf("open lock file: %w", err)
}

// readAll returns the text of a lock file. It has a few dozen bytes.
func readAll(f *os.File) string {
	b := make([]byte, 4096)
	n, _ := f.ReadAt(b, 0) // ends in io.EOF; an unreadable note counts as none
	return string(b[:n])
}

// firstNumber returns the number in the first line of text, or 0.
func firstNumber(text string) int {
	line, _, _ := strings.Cut(text, "\n")
	n, _ := strconv.Atoi(strings.TrimSpace(line))
	return n
}

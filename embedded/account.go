package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// account is whom the server's programs run as. They refuse to run as root.
type account struct {
	name      string
	uid, gid  int
	switched  bool // another user than we are; takes root
	namespace bool // we, under the name of another, inside a user namespace
}

// rootAccounts are the ways out for root, best first. A number without a name
// is no way: initdb looks its user up.
func rootAccounts() []account {
	list := []account{
		{name: "postgres", switched: true},
		{name: "nobody", switched: true},
	}
	if haveNamespaces {
		// Still root to the rest of the machine, though without privileges:
		// weaker than another user, but needs nothing of the directory.
		list = append(list, account{name: "root in a user namespace", uid: os.Geteuid(), gid: os.Getegid(), namespace: true})
	}
	return list
}

// chooseAccount returns the first account that can work in dir.
func chooseAccount(ctx context.Context, p programs, dir string) (account, error) {
	if os.Geteuid() != 0 {
		return account{name: "this user", uid: os.Geteuid(), gid: os.Getegid()}, nil
	}
	var refused []string
	for _, a := range rootAccounts() {
		a, err := a.lookUp()
		if err == nil {
			err = a.try(ctx, p, dir)
		}
		if err == nil {
			return a, nil
		}
		refused = append(refused, fmt.Sprintf("as %s: %v", a.name, err))
	}
	if err := ctx.Err(); err != nil {
		return account{}, fmt.Errorf("choose user for postgres: %w", err)
	}
	return account{}, fmt.Errorf("choose user for postgres, which does not run as root: %s: "+
		"run this program as another user, choose a directory that user postgres can reach with --data-dir, or set DATABASE_URL",
		strings.Join(refused, "; "))
}

func (a account) lookUp() (account, error) {
	if !a.switched {
		return a, nil
	}
	u, err := user.Lookup(a.name)
	if err != nil {
		return a, errors.New("there is no such user")
	}
	a.uid, err = strconv.Atoi(u.Uid)
	if err != nil {
		return a, err
	}
	a.gid, err = strconv.Atoi(u.Gid)
	return a, err
}

// try runs the server's program with dir as its directory. That takes the very
// permissions, of the path and of the kernel, the server will need.
func (a account) try(ctx context.Context, p programs, dir string) error {
	cmd := exec.CommandContext(ctx, p.postgres(), "--version")
	cmd.Dir = dir
	if _, err := a.run(cmd); err != nil {
		if closed := a.closedParent(dir); closed != "" {
			return fmt.Errorf("%s is closed to this user", closed)
		}
		return err
	}
	return nil
}

// run runs cmd as the account and returns what it wrote.
func (a account) run(cmd *exec.Cmd) (string, error) {
	// The child gets a signal when the thread that started it ends, not when
	// the process does. So this thread stays until the child has ended.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	a.prepare(cmd)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// prepare makes cmd one that runs as the account and ends with our process.
func (a account) prepare(cmd *exec.Cmd) {
	cmd.SysProcAttr = childAttr(a)
	cmd.Env = serverEnv(os.Environ())
	if cmd.Dir == "" {
		cmd.Dir = "/" // ours may be closed to the account
	}
}

// serverEnv is env without what would set Postgres up behind our back: PGPORT,
// PGOPTIONS and the like, and the language of its messages, which we read.
func serverEnv(env []string) []string {
	kept := make([]string, 0, len(env)+1)
	for _, e := range env {
		if !strings.HasPrefix(e, "PG") && !strings.HasPrefix(e, "LC_") && !strings.HasPrefix(e, "LANG") {
			kept = append(kept, e)
		}
	}
	return append(kept, "LC_ALL=C")
}

// closedParent returns the first directory on the way to dir that the account
// cannot pass, or "". It reads plain permissions: good enough to explain, and
// to choose between two directories.
func (a account) closedParent(dir string) string {
	var way []string
	for at := dir; ; at = filepath.Dir(at) {
		way = append(way, at)
		if at == filepath.Dir(at) {
			break
		}
	}
	for i := len(way) - 1; i >= 0; i-- {
		info, err := os.Stat(way[i])
		if err != nil {
			return way[i]
		}
		uid, gid := ownerOfFile(info)
		pass := info.Mode() & 0o001
		switch {
		case uid == a.uid:
			pass = info.Mode() & 0o100
		case gid == a.gid:
			pass = info.Mode() & 0o010
		}
		if pass == 0 {
			return way[i]
		}
	}
	return ""
}

// own gives the tree to the account. An earlier start may have used another.
// The top goes last, so that an interrupted walk is seen and done again.
func (a account) own(tree string) error {
	if os.Geteuid() != 0 {
		return nil // we made it, or the server will say that it is not ours
	}
	info, err := os.Lstat(tree)
	if err != nil {
		return fmt.Errorf("change owner: %w", err)
	}
	if uid, _ := ownerOfFile(info); uid == a.uid {
		return nil
	}
	err = filepath.WalkDir(tree, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == tree {
			return err
		}
		return os.Lchown(path, a.uid, a.gid)
	})
	if err == nil {
		err = os.Lchown(tree, a.uid, a.gid)
	}
	if err != nil {
		return fmt.Errorf("change owner to %s: %w", a.name, err)
	}
	return nil
}

func ownerOfFile(info fs.FileInfo) (uid, gid int) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid), int(st.Gid)
	}
	return -1, -1
}

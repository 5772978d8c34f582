package embedded

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

const haveNamespaces = true

// nobodyID is who a server in a user namespace takes itself for. Any number
// but 0 that has a name would do.
const nobodyID = 65534

// childAttr makes a child run as the account, and end with the thread that
// starts it.
func childAttr(a account) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{
		// Ctrl-C in a terminal goes to the whole process group. The server is
		// to stop after us, not with us.
		Setpgid: true,
		// The order to disconnect everybody and stop in good order.
		Pdeathsig: syscall.SIGINT,
	}
	if a.switched {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	if a.namespace {
		attr.Cloneflags = syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: nobodyID, HostID: a.uid, Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: nobodyID, HostID: a.gid, Size: 1}}
	}
	return attr
}

// servesData reports whether process pid is a Postgres server on data. Process
// ids are reused, so the name and the directory it works in decide.
func servesData(pid int, data string) bool {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return false
	}
	if n := strings.TrimSpace(string(name)); n != "postgres" && n != "postmaster" {
		return false
	}
	at, err := os.Stat(fmt.Sprintf("/proc/%d/cwd", pid)) // a process that has ended has none
	if err != nil {
		return false
	}
	want, err := os.Stat(data)
	return err == nil && os.SameFile(at, want)
}

// FreeBytes returns how much we may still write in the file system of dir.
func FreeBytes(dir string) (int64, bool) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return 0, false
	}
	return int64(fs.Bavail) * int64(fs.Bsize), true
}

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// clock adds up what the part under measure takes, and nothing of what goes on
// between.
type clock struct {
	postmaster             int // 0 where no Postgres takes part
	elapsed, own, postgres time.Duration
}

func (c *clock) time(work func() error) error {
	own, postgres, began := ownCPU(), serverCPU(c.postmaster), time.Now()
	err := work()
	c.elapsed += time.Since(began)
	c.own += ownCPU() - own
	c.postgres += serverCPU(c.postmaster) - postgres
	return err
}

// ownCPU is what this process has used, NATS and the clients included.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// serverCPU is what a Postgres has used: its first process, those that live,
// and those that have ended. Without /proc it is 0: not known.
func serverCPU(postmaster int) time.Duration {
	if postmaster == 0 {
		return 0
	}
	var ticks int64
	paths, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range paths {
		s := readStat(path)
		switch {
		case s.pid == postmaster:
			ticks += s.own + s.ended
		case s.parent == postmaster:
			ticks += s.own
		}
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond
}

// ticksPerSecond is the kernel's unit in /proc, the same on all of Linux.
const ticksPerSecond = 100

func parentOf(pid int) int { return readStat(fmt.Sprintf("/proc/%d/stat", pid)).parent }

type stat struct {
	pid, parent int
	own, ended  int64 // user and system time, in ticks; of ended children
}

// readStat reads proc_pid_stat(5); zero where the process has gone.
func readStat(path string) (s stat) {
	text, err := os.ReadFile(path)
	if err != nil {
		return s
	}
	// The name stands in brackets and may hold anything.
	before, _, _ := strings.Cut(string(text), " (")
	rest := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(rest) < 15 {
		return s
	}
	s.pid, _ = strconv.Atoi(before)
	s.parent, _ = strconv.Atoi(rest[1])
	number := func(i int) int64 { n, _ := strconv.ParseInt(rest[i], 10, 64); return n }
	s.own, s.ended = number(11)+number(12), number(13)+number(14)
	return s
}

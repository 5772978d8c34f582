package main

import (
	"fmt"
	"strings"
	"time"
)

// level says how bad a finding is.
type level string

const (
	levelOK      level = "ok"
	levelNote    level = "note"    // as it is meant to be, and worth knowing
	levelWarning level = "warning" // it will harm, or what is shown may be wrong
	levelDanger  level = "danger"  // events can be lost, or strangers can write
)

// finding is one line of the doctor: what was looked at, what was found, and
// what to do about it, empty where nothing is.
type finding struct {
	Level level  `json:"level"`
	Check string `json:"check"`
	Found string `json:"found"`
	Do    string `json:"do"`
}

// facts are what the doctor's edges have seen. What could not be seen has its
// reason in an Err field or is nil.
type facts struct {
	Now      time.Time
	DataDir  string
	NoStack  string // why no stack was found, where one was needed
	Log      logFacts
	Door     doorFacts
	Database databaseFacts
	Disk     diskFacts
	Guessed  []string // settings whose secret anybody would try first; never the secrets
}

type logFacts struct {
	Embedded   bool
	Asked      bool // there was something to ask
	Err        string
	Version    string // of the server; "" where it cannot be seen
	Durability string // what the running stack says of its own server
	Monitor    string // the URL of the server's monitoring port; "" for none
	MonitorErr string
	SyncAlways bool
	Streams    []streamFacts
}

// streamFacts is one partition. The flags are those that the promises rest on;
// HasFlags is false where the running stack, which checks them itself, was asked.
type streamFacts struct {
	Name                        string
	HasFlags                    bool
	Storage, Discard, Retention string
	MaxAge                      time.Duration
	Bytes                       uint64
	MaxBytes                    int64
}

type doorFacts struct {
	URL        string // "" where none is known
	Err        string
	IsKeyless  bool
	IsLoopback bool
}

type databaseFacts struct {
	Embedded          bool
	Asked             bool
	Err               string
	Version           int    // such as 170002
	Schema            string // what is wrong with it; "" for nothing
	SchemaVersion     uint
	Partitions        []partitionFacts
	Quarantined       int64
	OldestQuarantined time.Time
	ReaderHasPassword *bool // nil where this role may not look
}

type partitionFacts struct {
	Name    string // generation/partition
	State   string // running, waiting, done, stopped, halted
	Why     string // it is halted
	Behind  int64
	LagTime time.Duration
}

type diskFacts struct {
	Used  bool // something is kept on this machine
	Free  int64
	Known bool
}

// findings judges the facts. It asks nothing itself.
func findings(f facts) []finding {
	if f.NoStack != "" {
		return []finding{{levelDanger, "stack", f.NoStack, "start one with ingest serve, or name servers with DATABASE_URL and NATS_URL"}}
	}
	var out []finding
	out = append(out, f.Log.findings()...)
	out = append(out, f.Door.findings()...)
	out = append(out, f.Database.findings(f.Now)...)
	out = append(out, f.Disk.findings(f.DataDir)...)
	out = append(out, secretsFinding(f.Guessed))
	if f.Log.Embedded || f.Database.Embedded {
		out = append(out, finding{levelNote, "embedded servers", "events are kept on this machine alone, in " + f.DataDir,
			"fit for trying it out and for small sites with a backup; for real traffic name servers of your own with NATS_URL and DATABASE_URL"})
	}
	return out
}

// oldestNATS has atomic batches, without which the log cannot be written.
const oldestNATS = "2.12"

func (l logFacts) findings() []finding {
	switch {
	case !l.Asked:
		return []finding{{levelNote, "log", "it was not asked: neither NATS_URL nor a running intake is known", "set NATS_URL, or name an intake with --intake-url"}}
	case l.Err != "":
		return []finding{{levelDanger, "log", l.Err, "see that the server runs and is reached from here; reporters keep their events meanwhile"}}
	}
	var out []finding
	if l.Version != "" {
		f := finding{levelOK, "NATS version", l.Version, ""}
		if isOlder(l.Version, oldestNATS) {
			f.Level, f.Do = levelDanger, "upgrade to "+oldestNATS+" or newer, which has atomic batches"
		}
		out = append(out, f)
	}
	out = append(out, l.flush())
	if len(l.Streams) == 0 {
		out = append(out, finding{levelWarning, "streams", "the log has no streams yet", "start ingest serve, which makes them"})
	}
	for _, s := range l.Streams {
		out = append(out, s.findings()...)
	}
	return out
}

// flush is whether an acknowledgement waits for the disk (contract 3).
func (l logFacts) flush() finding {
	const check = "sync_interval"
	switch {
	case l.Durability != "":
		f := finding{levelOK, check, l.Durability, ""}
		switch word, _, _ := strings.Cut(l.Durability, ":"); word {
		case "verified":
		case "unverified":
			f.Level, f.Do = levelWarning, "give serve --nats-monitor-url, so that it can see the server's settings"
		default:
			f.Level, f.Do = levelDanger, "a power cut loses acknowledged events; set sync_interval: always in the server's jetstream block"
		}
		return f
	case l.Monitor == "":
		return finding{levelWarning, check, "unverified: only the server's monitoring port shows it", "give --nats-monitor-url, such as http://nats:8222"}
	case l.MonitorErr != "":
		return finding{levelWarning, check, "unverified: " + l.MonitorErr, "see that --nats-monitor-url is the server's monitoring port"}
	case !l.SyncAlways:
		return finding{levelDanger, check, "the server flushes now and then", "a power cut loses acknowledged events; set sync_interval: always in the server's jetstream block"}
	}
	return finding{levelOK, check, "always: every acknowledgement follows a flush", ""}
}

func (s streamFacts) findings() []finding {
	var out []finding
	if s.HasFlags {
		bad := func(format string, args ...any) {
			out = append(out, finding{levelDanger, s.Name, fmt.Sprintf(format, args...), "set it back with nats stream edit; serve refuses such a stream"})
		}
		if s.Storage != "file" {
			bad("storage is %s, not file: a restart loses events", s.Storage)
		}
		if s.Discard != "new" {
			bad("discard is %s, not new: a full log eats its oldest events", s.Discard)
		}
		if s.Retention != "limits" {
			bad("retention is %s, not limits: reading removes events", s.Retention)
		}
		if s.MaxAge != 0 {
			bad("max_age is %s: events vanish, applied or not", s.MaxAge)
		}
		if len(out) == 0 {
			out = append(out, finding{levelOK, s.Name, "storage file, discard new, retention limits, no max_age", ""})
		}
	}
	if s.MaxBytes <= 0 {
		return append(out, finding{levelNote, s.Name + " size", fmt.Sprintf("%s, without a limit", size(int64(s.Bytes))), "give it max_bytes, so that it refuses before the disk is full"})
	}
	f := finding{levelOK, s.Name + " size", fmt.Sprintf("%s of %s (%.0f %%)", size(int64(s.Bytes)), size(s.MaxBytes), 100*float64(s.Bytes)/float64(s.MaxBytes)), ""}
	switch share := float64(s.Bytes) / float64(s.MaxBytes); {
	case share >= 0.85:
		f.Level, f.Do = levelDanger, "raise max_bytes now (serve --log-max-bytes for a new log, nats stream edit for this one): when it is full, every report is refused"
	case share >= 0.70:
		f.Level, f.Do = levelWarning, "raise max_bytes, or archive and trim, before it is full"
	}
	return append(out, f)
}

func (d doorFacts) findings() []finding {
	const check = "intake"
	switch {
	case d.URL == "":
		return []finding{{levelNote, check, "no intake is known here", "name one with --intake-url to look at its keys"}}
	case d.Err != "":
		return []finding{{levelDanger, check, d.Err, "see that ingest serve runs; reporters keep their events meanwhile"}}
	case d.IsKeyless && !d.IsLoopback:
		return []finding{{levelDanger, check, "anybody who reaches " + d.URL + " may write: it asks for no key", "set ROOMTRAIL_WRITE_KEYS=KEY=APP, or let it listen on 127.0.0.1"}}
	case d.IsKeyless:
		return []finding{{levelNote, check, "anybody on this machine may write to " + d.URL + ": it asks for no key", "set ROOMTRAIL_WRITE_KEYS=KEY=APP before others reach it"}}
	}
	return []finding{{levelOK, check, d.URL + " asks for a write key", ""}}
}

// oldestPostgres is the oldest that its makers still mend.
const oldestPostgres = 14

func (d databaseFacts) findings(now time.Time) []finding {
	switch {
	case !d.Asked:
		return []finding{{levelNote, "database", "it was not asked: neither DATABASE_URL nor a running stack is known", "set DATABASE_URL"}}
	case d.Err != "":
		return []finding{{levelDanger, "database", d.Err, "see that Postgres runs and DATABASE_URL is right; events wait in the log meanwhile"}}
	}
	version := finding{levelOK, "Postgres version", fmt.Sprintf("%d.%d", d.Version/10000, d.Version%10000), ""}
	if d.Version/10000 < oldestPostgres {
		version.Level, version.Do = levelWarning, fmt.Sprintf("upgrade to %d or newer", oldestPostgres)
	}
	out := []finding{version}
	if d.Schema != "" {
		// What stands in tables of another version means nothing here.
		return append(out, finding{levelDanger, "schema", d.Schema, "run ingest migrate status, which says how to go on"})
	}
	out = append(out, finding{levelOK, "schema", fmt.Sprintf("version %d, as this program wants it", d.SchemaVersion), ""})
	if len(d.Partitions) == 0 {
		out = append(out, finding{levelWarning, "projector", "no partition has ever been applied", "start ingest serve with role project"})
	}
	for _, p := range d.Partitions {
		out = append(out, p.finding())
	}
	out = append(out, d.quarantine(now))
	return append(out, d.reader())
}

// lagging is how far behind a projector may be before somebody should look.
const lagging = time.Minute

func (p partitionFacts) finding() finding {
	f := finding{levelOK, "partition " + p.Name, "applied to its end", ""}
	switch {
	case p.State == "halted":
		f = finding{levelDanger, f.Check, "halted: " + p.Why, "it waits for a person: restore the log it names, or decide that what is missing is lost"}
	case p.State == "stopped":
		f = finding{levelWarning, f.Check, "nobody applies it: what is shown is old", "start ingest serve with role project"}
	case p.LagTime > lagging:
		f = finding{levelWarning, f.Check, fmt.Sprintf("%d events and %s behind", p.Behind, p.LagTime.Round(time.Second)), "see its log for errors; if there are none, the database is too slow for what comes in"}
	case p.State == "waiting":
		f.Found = fmt.Sprintf("%d events wait until the generation before is applied", p.Behind)
	case p.Behind > 0:
		f.Found = fmt.Sprintf("%d events behind, and catching up", p.Behind)
	}
	return f
}

func (d databaseFacts) quarantine(now time.Time) finding {
	if d.Quarantined == 0 {
		return finding{levelOK, "quarantine", "empty", ""}
	}
	return finding{levelWarning, "quarantine", fmt.Sprintf("%d messages, the oldest for %s", d.Quarantined, now.Sub(d.OldestQuarantined).Round(time.Minute)),
		"run ingest quarantine list; after an upgrade, ingest quarantine retry --all"}
}

func (d databaseFacts) reader() finding {
	const check = "reader's password"
	switch {
	case d.Embedded:
		return finding{levelOK, check, "not needed: the private Postgres has no port", ""}
	case d.ReaderHasPassword == nil:
		return finding{levelNote, check, "it cannot be seen by this role", "nothing, if dashboards can log in as roomtrail_reader"}
	case !*d.ReaderHasPassword:
		return finding{levelWarning, check, "roomtrail_reader has none: dashboards cannot log in, unless the server lets anybody in", "run ingest migrate up with ROOMTRAIL_READER_PASSWORD"}
	}
	return finding{levelOK, check, "set", ""}
}

func secretsFinding(guessed []string) finding {
	const check = "secrets"
	if len(guessed) == 0 {
		return finding{levelOK, check, "none of those set here is short or a usual default", ""}
	}
	return finding{levelDanger, check, strings.Join(guessed, ", ") + ": short, or what anybody would try first", "set others, such as from openssl rand -hex 24"}
}

// shortSecret is the length below which a secret can be tried out.
const shortSecret = 12

// isGuessed says whether a secret is short, or begins with a usual default.
func isGuessed(secret string) bool {
	secret = strings.ToLower(secret)
	for _, usual := range []string{"secret", "password", "changeme", "change-me", "change_me", "example", "default", "roomtrail", "postgres", "test", "demo", "12345"} {
		if strings.HasPrefix(secret, usual) {
			return true
		}
	}
	return len(secret) < shortSecret
}

// Free disk space below which somebody should look, and act.
const (
	littleSpace = 5 << 30
	noSpace     = 1 << 30
)

func (d diskFacts) findings(dir string) []finding {
	if !d.Used || !d.Known {
		return nil
	}
	f := finding{levelOK, "disk", fmt.Sprintf("%s free for %s", size(d.Free), dir), ""}
	switch {
	case d.Free < noSpace:
		f.Level, f.Do = levelDanger, "make room: a full disk stops the log and the database"
	case d.Free < littleSpace:
		f.Level, f.Do = levelWarning, "make room, or move the data directory"
	}
	return []finding{f}
}

// isOlder compares versions such as 2.11.4 by their numbers.
func isOlder(version, than string) bool {
	var a, b [2]int
	_, _ = fmt.Sscanf(version, "%d.%d", &a[0], &a[1]) // what is no number counts as 0
	_, _ = fmt.Sscanf(than, "%d.%d", &b[0], &b[1])
	return a[0] < b[0] || a[0] == b[0] && a[1] < b[1]
}

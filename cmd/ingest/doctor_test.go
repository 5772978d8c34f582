package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"roomtrail/commandline"
	"roomtrail/readmodel/readmodeltest"
)

// healthy is a site on real servers where nothing is wrong; each case of the
// table makes one thing otherwise.
func healthy() facts {
	has := true
	return facts{
		Now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), DataDir: ".roomtrail",
		Log: logFacts{Asked: true, Version: "2.15.2", Monitor: "http://nats:8222", SyncAlways: true, Streams: []streamFacts{
			{Name: "s", HasFlags: true, Storage: "file", Discard: "new", Retention: "limits", Bytes: 10, MaxBytes: 100},
		}},
		Door: doorFacts{URL: "https://rooms.example"},
		Database: databaseFacts{Asked: true, Version: 170002, SchemaVersion: 3, ReaderHasPassword: &has,
			Partitions: []partitionFacts{{Name: "1/0", State: "running"}}},
	}
}

func TestFindings(t *testing.T) {
	t.Parallel()
	for _, f := range findings(healthy()) {
		if f.Level != levelOK || f.Do != "" {
			t.Errorf("a healthy site has %+v", f)
		}
	}
	hasNot := false
	for name, c := range map[string]struct {
		change       func(*facts)
		level        level
		check, found string
	}{
		"a secret that is none":       {func(f *facts) { f.Guessed = []string{"ROOMTRAIL_WRITE_KEYS"} }, levelDanger, "secrets", "ROOMTRAIL_WRITE_KEYS"},
		"nothing runs":                {func(f *facts) { f.NoStack = "not running" }, levelDanger, "stack", "not running"},
		"no log is known":             {func(f *facts) { f.Log = logFacts{} }, levelNote, "log", "not asked"},
		"the log is silent":           {func(f *facts) { f.Log.Err = "refused" }, levelDanger, "log", "refused"},
		"an old NATS":                 {func(f *facts) { f.Log.Version = "2.11.9" }, levelDanger, "NATS version", "2.11.9"},
		"flushes unseen":              {func(f *facts) { f.Log.Monitor = "" }, levelWarning, "sync_interval", "unverified"},
		"a monitor that is none":      {func(f *facts) { f.Log.MonitorErr = "404" }, levelWarning, "sync_interval", "unverified: 404"},
		"flushes now and then":        {func(f *facts) { f.Log.SyncAlways = false }, levelDanger, "sync_interval", "now and then"},
		"flushes, says the stack":     {func(f *facts) { f.Log.Durability = "verified: yes" }, levelOK, "sync_interval", "verified: yes"},
		"no flushes, says the stack":  {func(f *facts) { f.Log.Durability = "off: early" }, levelDanger, "sync_interval", "off: early"},
		"unseen, says the stack":      {func(f *facts) { f.Log.Durability = "unverified: x" }, levelWarning, "sync_interval", "unverified: x"},
		"no streams":                  {func(f *facts) { f.Log.Streams = nil }, levelWarning, "streams", "no streams"},
		"streams in memory":           {func(f *facts) { f.Log.Streams[0].Storage = "memory" }, levelDanger, "s", "storage is memory"},
		"the oldest is eaten":         {func(f *facts) { f.Log.Streams[0].Discard = "old" }, levelDanger, "s", "discard is old"},
		"reading removes":             {func(f *facts) { f.Log.Streams[0].Retention = "workqueue" }, levelDanger, "s", "retention is workqueue"},
		"events age":                  {func(f *facts) { f.Log.Streams[0].MaxAge = time.Hour }, levelDanger, "s", "max_age is 1h"},
		"70 % full":                   {func(f *facts) { f.Log.Streams[0].Bytes = 70 }, levelWarning, "s size", "70 %"},
		"85 % full":                   {func(f *facts) { f.Log.Streams[0].Bytes = 85 }, levelDanger, "s size", "85 %"},
		"no limit":                    {func(f *facts) { f.Log.Streams[0].MaxBytes = -1 }, levelNote, "s size", "without a limit"},
		"no door is known":            {func(f *facts) { f.Door = doorFacts{} }, levelNote, "intake", "no intake"},
		"the door is silent":          {func(f *facts) { f.Door.Err = "refused" }, levelDanger, "intake", "refused"},
		"an open door":                {func(f *facts) { f.Door.IsKeyless = true }, levelDanger, "intake", "anybody who reaches"},
		"an open door to the machine": {func(f *facts) { f.Door.IsKeyless, f.Door.IsLoopback = true, true }, levelNote, "intake", "anybody on this machine"},
		"no database is known":        {func(f *facts) { f.Database = databaseFacts{} }, levelNote, "database", "not asked"},
		"the database is silent":      {func(f *facts) { f.Database.Err = "refused" }, levelDanger, "database", "refused"},
		"an old Postgres":             {func(f *facts) { f.Database.Version = 130011 }, levelWarning, "Postgres version", "13.11"},
		"an old schema":               {func(f *facts) { f.Database.Schema = "at version 1" }, levelDanger, "schema", "at version 1"},
		"no projector":                {func(f *facts) { f.Database.Partitions = nil }, levelWarning, "projector", "no partition"},
		"a halt":                      {func(f *facts) { f.Database.Partitions[0] = partitionFacts{Name: "1/0", State: "halted", Why: "a hole"} }, levelDanger, "partition 1/0", "a hole"},
		"a stop":                      {func(f *facts) { f.Database.Partitions[0].State = "stopped" }, levelWarning, "partition 1/0", "nobody"},
		"a lag":                       {func(f *facts) { f.Database.Partitions[0].LagTime, f.Database.Partitions[0].Behind = time.Hour, 7 }, levelWarning, "partition 1/0", "7 events and 1h"},
		"a small lag":                 {func(f *facts) { f.Database.Partitions[0].Behind = 7 }, levelOK, "partition 1/0", "7 events behind"},
		"a quarantine": {func(f *facts) {
			f.Database.Quarantined, f.Database.OldestQuarantined = 3, f.Now.Add(-time.Hour)
		}, levelWarning, "quarantine", "3 messages, the oldest for 1h"},
		"a reader without a password": {func(f *facts) { f.Database.ReaderHasPassword = &hasNot }, levelWarning, "reader's password", "has none"},
		"a reader unseen":             {func(f *facts) { f.Database.ReaderHasPassword = nil }, levelNote, "reader's password", "cannot be seen"},
		"a private reader":            {func(f *facts) { f.Database.Embedded = true }, levelOK, "reader's password", "not needed"},
		"embedded servers":            {func(f *facts) { f.Log.Embedded = true }, levelNote, "embedded servers", ".roomtrail"},
		"enough room":                 {func(f *facts) { f.Disk = diskFacts{true, 80 << 30, true} }, levelOK, "disk", "80.0 GiB"},
		"little room":                 {func(f *facts) { f.Disk = diskFacts{true, 4 << 30, true} }, levelWarning, "disk", "4.0 GiB"},
		"no room":                     {func(f *facts) { f.Disk = diskFacts{true, 100 << 20, true} }, levelDanger, "disk", "100.0 MiB"},
	} {
		f := healthy()
		c.change(&f)
		list := findings(f)
		i := slices.IndexFunc(list, func(x finding) bool { return x.Check == c.check })
		if i < 0 || list[i].Level != c.level || !strings.Contains(list[i].Found, c.found) {
			t.Errorf("%s: want %s, %s with %q in %+v", name, c.level, c.check, c.found, list)
		} else if (list[i].Do == "") != (c.level == levelOK) {
			t.Errorf("%s: what to do is %q", name, list[i].Do)
		}
	}
}

func TestDoctorOfAnEmbeddedStack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, _ = serving(t, dir)
	eventually(t, "a partition that runs", func() bool {
		return rows(t, dir, "SELECT count(*) FROM pipeline_status WHERE state = 'running'") == 1
	})
	code, stdout, stderr := command(t, "", "doctor", "--data-dir", dir, "-o", "json")
	got := read(t, stdout)
	if code != commandline.Done {
		t.Errorf("exit %d, %q, %q", code, stdout, stderr)
	}
	for check, want := range map[string]level{
		"sync_interval": levelOK, "log partition 1/0 size": levelOK, "intake": levelNote, "Postgres version": levelOK, "schema": levelOK,
		"partition 1/0": levelOK, "quarantine": levelOK, "reader's password": levelOK, "embedded servers": levelNote,
	} {
		if got[check] != want {
			t.Errorf("%s is %q, want %q", check, got[check], want)
		}
	}
	setAside(t, dir)
	if _, stdout, _ := command(t, "", "doctor", "--data-dir", dir); !strings.Contains(stdout, "3 messages") || strings.Contains(stdout, "\x1b[") {
		t.Errorf("the table is\n%s", stdout)
	}
}

func read(t *testing.T, stdout string) map[string]level {
	t.Helper()
	var list []finding
	if err := json.Unmarshal([]byte(stdout), &list); err != nil {
		t.Fatalf("%v in %q", err, stdout)
	}
	got := map[string]level{}
	for _, f := range list {
		got[f.Check] = f.Level
	}
	return got
}

// A server that does not flush, a stream that ages, a halted partition: what a
// site on servers of its own can get wrong.
func TestDoctorOfRealServers(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, HTTPHost: "127.0.0.1", HTTPPort: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server is not ready")
	}
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{
		Name: "ROOM_EVENTS_1_0", Subjects: []string{"room.events.1.0.>"}, Discard: jetstream.DiscardNew, MaxAge: time.Hour, MaxBytes: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	owner, _ := readmodeltest.Database(t)
	conn, err := pgx.Connect(ctx, owner)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "INSERT INTO roomtrail.positions (version, generation, partition, halted) SELECT version, 1, 0, 'a hole' FROM roomtrail.read_models"); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := command(t, "", "doctor", "--data-dir", t.TempDir(), "--database-url", owner, "--nats-url", s.ClientURL(),
		"--nats-monitor-url", fmt.Sprintf("http://%s", s.MonitorAddr()), "-o", "json")
	if code != commandline.Failed || !strings.Contains(stderr, "dangers found: 3") {
		t.Errorf("exit %d, %q", code, stderr)
	}
	got := read(t, stdout)
	for check, want := range map[string]level{
		"NATS version": levelOK, "sync_interval": levelDanger, "stream ROOM_EVENTS_1_0": levelDanger, "stream ROOM_EVENTS_1_0 size": levelOK,
		"intake": levelNote, "partition 1/0": levelDanger, "schema": levelOK,
	} {
		if got[check] != want {
			t.Errorf("%s is %q, want %q in %s", check, got[check], want, stdout)
		}
	}
}

// The settings are named, their secrets are not.
func TestGuessableSecrets(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings secretSettings
		want     string
	}{
		"nothing set":        {secretSettings{}, "[]"},
		"good ones":          {secretSettings{"7f3c9a0b12d4e5f6=app", "1=5d41402abc4b2a76", "b6589fc6ab0dc82c"}, "[]"},
		"a default":          {secretSettings{WriteKeys: "changeme-please-now=app"}, "[ROOMTRAIL_WRITE_KEYS]"},
		"a short one of two": {secretSettings{CallbackSecrets: "1=5d41402abc4b2a76,1=short"}, "[ROOMTRAIL_ZEGO_CALLBACK_SECRETS]"},
		"two settings":       {secretSettings{WriteKeys: "12345678=app", ReaderPassword: "postgres"}, "[ROOMTRAIL_WRITE_KEYS ROOMTRAIL_READER_PASSWORD]"},
	} {
		if got := fmt.Sprint(c.settings.guessed()); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"roomtrail/commandline"
	"roomtrail/embedded"
	"roomtrail/room"
	"roomtrail/sim"
)

// archived are the callbacks of a small world, a body a line, and how many stays
// they tell of.
func archived(t *testing.T) (text []byte, stays int) {
	t.Helper()
	w, err := sim.New(sim.Config{Seed: 3, Logins: 40, App: "4000000001"})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for {
		if _, ok := w.Next(); !ok {
			break
		}
		out := w.Step()
		for _, c := range out.Callbacks {
			b.Write(append(c.Body("4000000001", c.SentAt, c.Nonce, "of the archive"), '\n'))
		}
		for _, l := range out.Logins {
			stays += len(l.Visits)
		}
	}
	return b.Bytes(), stays
}

// Archived callbacks become stays, through the door of a running stack; what
// nobody has signed is kept, and counts for nothing.
func TestImportOfArchivedCallbacks(t *testing.T) {
	t.Parallel()
	text, stays := archived(t)
	dir := t.TempDir()
	forged := room.Callback{Event: "room_login", Room: "r", RoomSeq: 1, User: "u", Session: "1", At: time.Now(), LoginAt: time.Now()}.
		Body("4000000001", time.Now(), "n", "guessed")
	file := write(t, dir+"/callbacks.ndjson", append(append(text, append(forged, '\n')...), "{\"event\":1}\n"...))
	_, stop := serving(t, dir)
	defer stop()
	code, out, errs := command(t, "", "import", "--data-dir", dir, "--format", "zego-callbacks", "--zego-callback-secrets", "4000000001=of the archive", file)
	if code != commandline.Done || !strings.Contains(out, "1 lines rejected") || !strings.Contains(errs, "callbacks.ndjson:") {
		t.Fatalf("exit code %d\n%s\n%s", code, out, errs)
	}
	running, err := embedded.Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), running.ReaderURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	const found = `SELECT count(*) FILTER (WHERE is_import AND agreement = 'server_only'), count(*), (SELECT count(*) FROM room_events WHERE trust = 'unproven') FROM server_visits`
	var visits, all, unproven int
	for deadline := time.Now().Add(20 * time.Second); visits != stays || unproven != 1; time.Sleep(50 * time.Millisecond) {
		if err := conn.QueryRow(t.Context(), found).Scan(&visits, &all, &unproven); err != nil || time.Now().After(deadline) {
			t.Fatalf("%d stays of %d, and %d unproven, %v; want %d and 1", visits, all, unproven, err, stays)
		}
	}
	var late int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM room_events WHERE source = 'server' AND received_at > '2026-02-01' AND trust = 'vendor'`).Scan(&late); err != nil || late > 0 {
		t.Errorf("%d callbacks read as received now, %v", late, err)
	}
}

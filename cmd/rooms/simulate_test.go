package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"roomtrail/commandline"
	"roomtrail/sim"
)

func rooms(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(context.Background(), args, strings.NewReader(""), &out, &err, func(string) string { return "" })
	return code, out.String(), err.String()
}

// The same seed writes the same bytes; each line is what it says it is.
func TestSimulateIntoFiles(t *testing.T) {
	t.Parallel()
	write := func() map[string]string {
		dir := t.TempDir()
		file := func(name string) string { return filepath.Join(dir, name) }
		code, out, errs := rooms("simulate", "--scenario", "mixed,outage", "--seed", "4", "--logins", "300", "--app", "4000000001",
			"--out", file("events"), "--callbacks", file("callbacks"), "--truth", file("truth"))
		if code != commandline.Done || !strings.Contains(out, "case 3") || errs != "" {
			t.Fatalf("exit code %d\n%s\n%s", code, out, errs)
		}
		all := map[string]string{}
		for _, name := range []string{"events", "callbacks", "truth"} {
			b, err := os.ReadFile(file(name))
			if err != nil || len(b) == 0 {
				t.Fatalf("%s has %d bytes, %v", name, len(b), err)
			}
			all[name] = string(b)
		}
		return all
	}
	first, second := write(), write()
	sorts := map[string]int{}
	for name, text := range first {
		if text != second[name] {
			t.Errorf("%s differs the second time", name)
		}
		for line := range strings.Lines(text) {
			var m map[string]any
			if err := json.Unmarshal([]byte(line), &m); err != nil {
				t.Fatalf("%s: %v: %s", name, err, line)
			}
			sort := name
			if name == "truth" {
				sort = m["type"].(string)
			}
			sorts[sort]++
			if name == "events" && (m["received_at"] == nil || m["sent_at"] == nil || m["app_id"] != "4000000001") {
				t.Fatalf("an event lacks something: %s", line)
			}
		}
	}
	if sorts["login"] != 300 || sorts["interruption"] < 30 || sorts["events"] < 900 || sorts["callbacks"] < 600 {
		t.Errorf("the files hold %v", sorts)
	}
}

func TestSimulateToAnIntake(t *testing.T) {
	t.Parallel()
	var posts atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		posts.Add(1)
		if r.Header.Get("Authorization") != "Bearer key" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Write([]byte(`{"accepted":1,"rejected":0}`))
	}))
	defer server.Close()
	code, out, errs := rooms("simulate", "--logins", "20", "--seed", "2", "--intake", server.URL+"/", "--key", "key")
	if code != commandline.Done || !strings.Contains(out, "accepted") || posts.Load() < 20 {
		t.Errorf("exit code %d after %d posts\n%s\n%s", code, posts.Load(), out, errs)
	}
	code, _, errs = rooms("simulate", "--logins", "20", "--intake", server.URL)
	if code != commandline.Failed || !strings.Contains(errs, "401") {
		t.Errorf("without a key: exit code %d\n%s", code, errs)
	}
}

func TestSimulateRefusesWrongUsage(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"--scenario storm":                       `scenario "storm": want one of`,
		"--logins 0":                             "has no end, so it wants --intake",
		"--logins=-3":                            "want no negative numbers",
		"--speed fast":                           "--speed \"fast\": want max",
		"--speed NaN --intake http://a":          "want max",
		"--speed 2":                              "it is for --intake",
		"--speed 2 --logins 0 --intake http://a": "cannot get ahead of the clock",
		"--intake localhost:8080":                "want an address such as",
		"--out x --truth x":                      "--out and --truth are both x",
		"--start yesterday":                      "want RFC 3339",
		"--heartbeat-timeout 1s":                 "H is 1s; want 10s to 24h",
	} {
		if code, _, errs := rooms(append([]string{"simulate"}, strings.Fields(args)...)...); code != commandline.Usage || !strings.Contains(errs, want) {
			t.Errorf("%s: exit code %d, %q; want %q", args, code, errs, want)
		}
	}
}

func TestSimulateHelpNamesTheScenarios(t *testing.T) {
	t.Parallel()
	_, out, _ := rooms("simulate", "--help")
	for _, name := range sim.Scenarios() {
		if !strings.Contains(out, name+" ") {
			t.Errorf("the help lacks %s", name)
		}
	}
}

// A full disk is told once, and at once.
func TestSimulateStopsWhereItCannotWrite(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	code, _, errs := rooms("simulate", "--logins", "20000", "--out", "/dev/full")
	if code != commandline.Failed || !strings.Contains(errs, "no space left") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

package embedded

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The test binary is also the program that gets killed in tests: with these
// variables set it owns a directory, says so in one line, and waits.
const (
	roleVariable = "EMBEDDED_TEST_ROLE"
	dirVariable  = "EMBEDDED_TEST_DIR"
)

func TestMain(m *testing.M) {
	role := os.Getenv(roleVariable)
	if role == "" {
		os.Exit(m.Run())
	}
	line, err := map[string]func(string) (string, error){
		"dir":      beOwner,
		"nats":     beNATS,
		"postgres": bePostgres,
	}[role](os.Getenv(dirVariable))
	if err != nil {
		fmt.Println("error:", strings.ReplaceAll(err.Error(), "\n", " "))
		os.Exit(1)
	}
	fmt.Println(line)
	io.Copy(io.Discard, os.Stdin) // until the test ends or kills us
}

func beOwner(dir string) (string, error) {
	d, err := OpenDir(dir)
	if err != nil {
		return "", err
	}
	return "owner", d.Publish(Endpoint{IntakeURL: "http://127.0.0.1:1"})
}

// beNATS stores messages and gets an acknowledgement for each.
func beNATS(dir string) (string, error) {
	n, err := StartNATS(NATSConfig{Dir: dir})
	if err != nil {
		return "", err
	}
	js, err := openStream(n)
	if err != nil {
		return "", err
	}
	for i := range 20 {
		if _, err := js.Publish(context.Background(), "s.x", fmt.Append(nil, i)); err != nil {
			return "", err
		}
	}
	return "stored 20", nil
}

func bePostgres(dir string) (string, error) {
	p, err := StartPostgres(context.Background(), PostgresConfig{Dir: dir})
	if err != nil {
		return "", err
	}
	return p.DSN(p.Superuser(), "postgres"), nil
}

func openStream(n *NATS) (jetstream.JetStream, error) {
	nc, err := n.Connect()
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	_, err = js.CreateOrUpdateStream(context.Background(), jetstream.StreamConfig{
		Name: "S", Subjects: []string{"s.>"}, AllowAtomicPublish: true,
	})
	return js, err
}

// other is another process of this program.
type other struct {
	cmd  *exec.Cmd
	line string // what it said when it was ready
}

// startOther runs another process in role on dir until the test ends.
func startOther(t *testing.T, role, dir string) *other {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+role, dirVariable+"="+dir)
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("process in role %s said nothing: %v", role, err)
	}
	return &other{cmd: cmd, line: strings.TrimSpace(line)}
}

// kill is kill -9.
func (o *other) kill(t *testing.T) {
	t.Helper()
	if err := o.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	o.cmd.Wait()
}

// reachableDir is a directory that other users can pass through to.
func reachableDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// eventually waits until the claim is true.
func eventually(t *testing.T, claim string, is func() bool) {
	t.Helper()
	for began := time.Now(); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			t.Fatalf("after 10 s still not true: %s", claim)
		}
	}
}

// wantWords checks that an error says all of the words.
func wantWords(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want one with %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("got error %q, want it to say %q", err, w)
		}
	}
}

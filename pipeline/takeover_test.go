package pipeline_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"roomtrail/eventlog"
	"roomtrail/events"
	"roomtrail/pipeline"
	"roomtrail/projections"
	"roomtrail/projections/projectionstest"
	"roomtrail/readmodel"
	"roomtrail/readmodel/readmodeltest"
)

// childServers makes this test binary run a projector on servers, to be killed
// or frozen: NATS and, after a blank, Postgres.
const childServers = "ROOMTRAIL_TEST_CHILD_SERVERS"

// testLease is short, so that a test may wait for it, and longer than a batch takes.
const testLease = 2 * time.Second

func projector() int {
	natsURL, databaseURL, _ := strings.Cut(os.Getenv(childServers), " ")
	p, err := pipeline.Start(context.Background(), pipeline.Config{
		NATSURL: natsURL, DatabaseURL: databaseURL, Project: true, NoMigrate: true, BatchSize: 200, Lease: testLease,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("up")
	if err := p.Wait(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return 1
}

func startProjector(t testing.TB, natsURL, databaseURL string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childServers+"="+natsURL+" "+databaseURL)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		_ = cmd.Wait()
		t.Fatalf("the projector did not start: %v\n%s", err, stderr.String())
	}
	return cmd
}

// natsServer is a real one, with a port.
func natsServer(t testing.TB) string {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, JetStream: true, StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server is not ready")
	}
	return s.ClientURL()
}

func openLog(t testing.TB, url string, partitions int) *eventlog.Log {
	t.Helper()
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	log, err := eventlog.Open(context.Background(), conn, eventlog.Config{Partitions: partitions, MaxBytes: 128 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	return log
}

var lifeStart = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

// life is what is said of one user: ten events of a session and two of the
// server, which numbers what it says in a room; every seventh number is lost.
func life(t testing.TB, name string, room string, number int64) (list []events.Event) {
	t.Helper()
	at := lifeStart.Add(time.Duration(number) * 20 * time.Second)
	reasons := []events.Reason{events.Logining, events.Logined, events.Reconnecting, events.Reconnected, events.Reconnecting,
		events.Reconnected, events.Reconnecting, events.Reconnected, events.Reconnecting, events.Reconnected}
	for i, r := range reasons {
		e := events.Event{
			AppID: "app", RoomID: room, UserID: name, SessionID: name, Seq: int64(i), Kind: events.State, Reason: r,
			OccurredAt: at.Add(time.Duration(i) * time.Second), Platform: "web", Family: events.Web, Source: events.FromClient, Trust: events.TrustPublic,
		}
		if r == events.Reconnecting {
			e.ErrorCode = 1000017
		}
		e.ReceivedAt = e.OccurredAt
		list = append(list, e)
	}
	for i, kind := range []string{"room_login", "room_logout"} {
		if n := 2*number + int64(i); n%7 != 3 {
			body := fmt.Sprintf(`{"event":%q,"appid":"app","timestamp":"%d","nonce":"n","signature":"s","room_id":%q,"room_seq":"77","user_account":%q,"session_id":"%d","login_time":"%d","logout_time":"%d","user_update_seq":"%d","reason":"0"}`,
				kind, at.Unix(), room, name, number+1, at.UnixMilli(), at.Add(15*time.Second).UnixMilli(), n+1)
			c, err := events.FromCallback(at, []byte(body))
			if err != nil {
				t.Fatal(err)
			}
			c.Event.Trust = events.TrustVendor
			list = append(list, c.Event)
		}
	}
	return list
}

// writer appends lives, eight at a time, their events shuffled over three
// requests and some of them twice, until the context ends. It tells what was
// accepted.
func writer(ctx context.Context, t testing.TB, log *eventlog.Log, name string, accepted *atomic.Int64) (users []string) {
	chance := rand.New(rand.NewPCG(1, uint64(len(name))))
	for n := int64(0); ctx.Err() == nil; n += 8 {
		var list []events.Event
		for i := range int64(8) {
			user := fmt.Sprintf("%s-%d", name, n+i)
			list = append(list, life(t, user, fmt.Sprintf("%s-room-%d", name, (n+i)%3), (n+i)/3)...)
			users = append(users, user)
		}
		accepted.Add(int64(len(list)))
		list = append(list, list[chance.IntN(len(list)-20):][:20]...)
		chance.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		for third := range 3 {
			part := list[third*len(list)/3 : (third+1)*len(list)/3]
			if err := log.Append(context.Background(), part); err != nil {
				t.Errorf("%s: %v", name, err) // nothing was wrong with the server
			}
		}
		time.Sleep(40 * time.Millisecond)
	}
	return users
}

// Three processes apply the log while two writers append to it, one of them
// since before anything happened. Processes are killed and others started,
// frozen for longer than their lease and woken, at any moment; meanwhile the
// number of partitions may change. All that was accepted is counted once.
func TestProcessesTakeOverFromEachOther(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for leases to run out")
	}
	for _, numbers := range [][]int{{4}, {1, 4, 2}} {
		t.Run(fmt.Sprint(numbers), func(t *testing.T) { takeOver(t, numbers) })
	}
}

func takeOver(t *testing.T, numbers []int) {
	natsURL := natsServer(t)
	owner, reader := readmodeltest.Database(t)
	readmodeltest.Audit(t, owner)
	log, other, changer := openLog(t, natsURL, numbers[0]), openLog(t, natsURL, 9), openLog(t, natsURL, 9)
	var names atomic.Int64
	start := func() *exec.Cmd {
		return startProjector(t, natsURL, readmodeltest.As(owner, fmt.Sprint("process-", names.Add(1))))
	}
	processes := []*exec.Cmd{start(), start(), start()}

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var accepted atomic.Int64
	var mu sync.Mutex
	var users []string
	var writers sync.WaitGroup
	for name, log := range map[string]*eventlog.Log{"old": log, "other": other} {
		writers.Go(func() {
			done := writer(ctx, t, log, name, &accepted)
			mu.Lock()
			defer mu.Unlock()
			users = append(users, done...)
		})
	}
	const rounds = 5
	for round := range rounds {
		time.Sleep(time.Duration(200+rand.IntN(900)) * time.Millisecond) // at any point
		i := ownerOf(t, owner, processes)
		if round%2 == 0 {
			freezeAndWake(t, processes[i])
		} else {
			_ = processes[i].Process.Kill()
			_ = processes[i].Wait()
			processes[i] = start()
		}
		if next := round/2 + 1; round%2 == 0 && next < len(numbers) {
			if err := changer.Repartition(ctx, numbers[next], 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	last := ownerOf(t, owner, processes) // two are left
	_ = processes[last].Process.Kill()
	_ = processes[last].Wait()
	stop()
	writers.Wait()
	m := drained(t, owner, log)

	now := lifeStart.Add(48 * time.Hour)
	got := readViews(t, reader, now)
	if n := len(got["sessions"]); n != len(users) {
		t.Errorf("%d logins, %d users were accepted", n, len(users))
	}
	if len(got["server_visits"]) == 0 {
		t.Error("the second stage has done nothing")
	}
	projectionstest.Same(t, got, inOneGo(t, log, now))
	found := readmodeltest.CheckAudit(t, owner)
	t.Logf("%d events, %d processes, %+v", accepted.Load(), names.Load(), found)
	if found.Owners < 3 || found.Claims < numbers[0]+rounds {
		t.Errorf("%+v: too little was taken over to prove anything", found)
	}
	// The lease, a pause of whoever stands by, and a machine that is busy.
	if found.LongestPause > testLease+6*time.Second {
		t.Errorf("a partition stood still for %s; the lease is %s", found.LongestPause, testLease)
	}
	applied, err := m.Applied(context.Background())
	if err != nil || applied[len(applied)-1].Generation != len(numbers) {
		t.Errorf("applied %v, %v; want generation %d at its end", applied, err, len(numbers))
	}
}

// ownerOf is a process that applies something at present, as far as there is one.
func ownerOf(t *testing.T, owner string, processes []*exec.Cmd) int {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), owner)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(context.Background(), `
SELECT split_part(owner, '/', 2)::int FROM roomtrail.positions WHERE lease_until > now() ORDER BY random()`)
	if err != nil {
		t.Fatal(err)
	}
	owners, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range owners {
		if i := slices.IndexFunc(processes, func(cmd *exec.Cmd) bool { return cmd.Process.Pid == pid }); i >= 0 {
			return i
		}
	}
	return rand.IntN(len(processes))
}

// freezeAndWake stops a process for longer than its lease.
func freezeAndWake(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(testLease + time.Second)
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// drained waits until all that is in the log is applied, in both stages.
func drained(t *testing.T, owner string, log *eventlog.Log) *readmodel.ReadModel {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	info, err := log.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var ends []events.Ref
	for _, i := range info {
		ends = append(ends, events.Ref{Generation: i.Generation, Partition: i.Partition, Seq: i.Last})
	}
	m := readmodeltest.Open(t, owner)
	for {
		behind, err := m.Behind(ctx, ends)
		if err != nil {
			t.Fatal(err)
		}
		unsettled, err := m.Unsettled(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if behind == 0 && unsettled == 0 {
			return m
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// inOneGo is what the views say when one process applies the whole log, one
// partition after the other.
func inOneGo(t *testing.T, log *eventlog.Log, now time.Time) map[string][]projectionstest.Row {
	t.Helper()
	ctx := context.Background()
	owner, reader := readmodeltest.Database(t)
	m := readmodeltest.Open(t, owner)
	info, err := log.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range info {
		r := log.Reader(i.Generation, i.Partition, 200*time.Millisecond)
		runner := &projections.Runner{Log: r, Store: m, Generation: i.Generation, Partition: i.Partition}
		for n := 0; n < int(i.Last); {
			done, err := runner.Step(ctx)
			if err != nil {
				t.Fatal(err)
			}
			n += done
		}
		r.Close()
	}
	for n := 1; n > 0; {
		if n, err = m.Settle(ctx); err != nil {
			t.Fatal(err)
		}
	}
	return readViews(t, reader, now)
}

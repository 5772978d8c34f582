package readmodel_test

import (
	"context"
	"errors"
	"net"
	"sync"

	"roomtrail/events"
)

// errCut is what the caller of a call that was chosen to fail gets to hear.
var errCut = errors.New("the line was cut by the test")

// faults count every call to the outside: each read of the log, each
// connection that is made and each flight of messages to the database. The
// chosen one fails: before it has effect, or after it, the reply being lost.
type faults struct {
	mu      sync.Mutex
	calls   int
	chosen  int // 0 is none
	replies bool
	met     bool
	lines   []net.Conn
}

// call counts one and says what is to happen to it.
func (f *faults) call() (fails, losesReply bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls++; f.calls != f.chosen {
		return false, false
	}
	f.met = true
	return !f.replies, f.replies
}

// cutAll is what the end of a process does to its lines.
func (f *faults) cutAll() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, line := range f.lines {
		_ = line.Close()
	}
	f.lines = nil
}

func (f *faults) dial(ctx context.Context, network, address string) (net.Conn, error) {
	fails, losesReply := f.call()
	if fails {
		return nil, errCut
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if losesReply {
		_ = conn.Close()
		return nil, errCut
	}
	f.mu.Lock()
	f.lines = append(f.lines, conn)
	f.mu.Unlock()
	return &line{Conn: conn, faults: f}, nil
}

// line is a connection to the database.
type line struct {
	net.Conn
	faults *faults
	mu     sync.Mutex
	doomed bool // the next answer is lost: it comes, and nobody hears it
}

func (l *line) Write(b []byte) (int, error) {
	fails, losesReply := l.faults.call()
	if fails {
		_ = l.Close()
		return 0, errCut
	}
	if losesReply {
		l.mu.Lock()
		l.doomed = true
		l.mu.Unlock()
	}
	return l.Conn.Write(b)
}

func (l *line) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.doomed && n > 0 {
		_ = l.Close()
		return 0, errCut
	}
	return n, err
}

// memoryLog is a log that is complete from the beginning.
type memoryLog struct {
	facts  []events.Stored
	faults *faults
}

func (l *memoryLog) Read(_ context.Context, after events.Position, limit int) (events.Batch, error) {
	if fails, losesReply := l.faults.call(); fails || losesReply {
		return events.Batch{}, errCut
	}
	rest := l.facts[after.Seq:]
	return events.Batch{
		Facts:   append([]events.Stored(nil), rest[:min(limit, len(rest))]...),
		LogLast: uint64(len(l.facts)), LogCreated: l.facts[0].StoredAt,
	}, nil
}

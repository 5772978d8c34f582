package signalling

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/coder/websocket"

	"roomtrail/room"
)

// Limits of a line. A client says little; a room may have to name 499 users of
// 63 bytes, each of which JSON may spell with six.
const (
	maxFromClient = 64 << 10
	maxFromRooms  = 256 << 10
	queueLength   = 256
	writeWithin   = 10 * time.Second
)

var (
	errSlow     = errors.New("the other side does not read what it is sent")
	errSilent   = errors.New("nothing came over the line for longer than the heartbeat timeout")
	errFinished = errors.New("the line was closed on this side")
)

// unwelcome is a message that ends its line. The sender is told why.
type unwelcome struct {
	code websocket.StatusCode
	why  string
}

func (u *unwelcome) Error() string { return u.why }

// line is one end of one WebSocket.
type line struct {
	queue  chan room.Message
	ending chan websocket.StatusCode
	drop   context.CancelCauseFunc // breaks the line at once, and does not wait
}

// newLine returns a line that lasts no longer than the context that it returns.
func newLine(ctx context.Context) (context.Context, *line) {
	ctx, drop := context.WithCancelCause(ctx)
	return ctx, &line{queue: make(chan room.Message, queueLength), ending: make(chan websocket.StatusCode, 1), drop: drop}
}

// send puts a message into the queue. It never waits: a full queue is a line
// that does not carry.
func (l *line) send(m room.Message) {
	select {
	case l.queue <- m:
	default:
		l.drop(errSlow)
	}
}

// finish closes the line after what was sent, and does not wait for it.
func (l *line) finish(code websocket.StatusCode) {
	select {
	case l.ending <- code:
	default: // it ends already
	}
}

// run reads and writes until the line ends, and says why it did. Take is given
// what arrives, in order.
func (l *line) run(ctx context.Context, conn *websocket.Conn, take func(room.Message) error) error {
	written := make(chan struct{})
	go func() {
		defer close(written)
		l.drop(l.write(ctx, conn))
	}()
	err := read(ctx, conn, take)
	if u := (*unwelcome)(nil); errors.As(err, &u) {
		_ = conn.Close(u.code, strings.ToValidUTF8(u.why[:min(len(u.why), 120)], "")) // a close frame holds 123 bytes
	}
	l.drop(err)
	<-written
	_ = conn.CloseNow()
	return context.Cause(ctx)
}

func read(ctx context.Context, conn *websocket.Conn, take func(room.Message) error) error {
	for {
		kind, text, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		if kind != websocket.MessageText {
			return &unwelcome{websocket.StatusUnsupportedData, "the message is binary; want JSON text"}
		}
		m, err := decodeMessage(text)
		if err != nil {
			return &unwelcome{websocket.StatusPolicyViolation, err.Error()}
		}
		if err := take(m); err != nil {
			return err
		}
	}
}

func (l *line) write(ctx context.Context, conn *websocket.Conn) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case m := <-l.queue:
			if err := put(ctx, conn, m); err != nil {
				return err
			}
		case code := <-l.ending:
			for len(l.queue) > 0 {
				if err := put(ctx, conn, <-l.queue); err != nil {
					return err
				}
			}
			_ = conn.Close(code, "")
			return errFinished
		}
	}
}

func put(ctx context.Context, conn *websocket.Conn, m room.Message) error {
	ctx, cancel := context.WithTimeout(ctx, writeWithin)
	defer cancel()
	return conn.Write(ctx, websocket.MessageText, encodeMessage(m))
}

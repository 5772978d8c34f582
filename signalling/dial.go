package signalling

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"

	"roomtrail/room"
)

// settle brings the line to where the engine wants it. A client at rest has no
// use for one, and then the link counts as up: the next login dials, and what
// it says waits for that, so that its first try is not lost.
func (c *Client) settle(ctx, lasting context.Context) {
	if c.isDown && !c.isCut && !c.wantsLine() {
		c.isDown, c.redial, c.fails = false, time.Time{}, 0
		c.step(room.LinkUp{})
	}
	if c.line != nil || c.making != nil || c.isCut || !c.wantsLine() || c.config.Now().Before(c.redial) {
		return
	}
	ctx, dialed := context.WithTimeout(ctx, dialWithin)
	lineCtx, l := newLine(lasting)
	c.making = l
	stopDial := context.AfterFunc(lineCtx, dialed) // Cut ends a dial as it ends a line
	c.lines.Add(1)
	go func() {
		defer c.lines.Done()
		defer l.drop(errFinished)
		conn, err := c.dial(ctx)
		stopDial()
		dialed()
		if err == nil {
			c.happened <- happening{line: l, made: true}
			err = c.carry(lineCtx, conn, l)
		}
		c.happened <- happening{line: l, err: err}
	}()
}

// dial makes a connection. The server's words for a refusal are in the error.
func (c *Client) dial(ctx context.Context) (*websocket.Conn, error) {
	conn, resp, err := websocket.Dial(ctx, c.url, nil)
	if err == nil {
		conn.SetReadLimit(maxFromRooms)
		return conn, nil
	}
	if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols && resp.Body != nil {
		if text, _ := io.ReadAll(io.LimitReader(resp.Body, 200)); len(text) > 0 {
			return nil, fmt.Errorf("connect: the server answered %d: %s", resp.StatusCode, strings.TrimSpace(string(text)))
		}
	}
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = u.Err // the address is known, and holds who connects
	}
	return nil, fmt.Errorf("connect: %w", err)
}

// carry reads, writes and pings until the line ends.
func (c *Client) carry(ctx context.Context, conn *websocket.Conn, l *line) error {
	pinged := make(chan struct{})
	go func() {
		defer close(pinged)
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(c.config.PingEvery):
			}
			if err := ping(ctx, conn, c.config.PongWithin); err != nil {
				l.drop(err)
				return
			}
		}
	}()
	err := l.run(ctx, conn, func(m room.Message) error {
		c.happened <- happening{line: l, message: &m}
		return nil
	})
	<-pinged
	return err
}

func ping(ctx context.Context, conn *websocket.Conn, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if err := conn.Ping(ctx); err != nil {
		return fmt.Errorf("no pong within %s: %w", within, err)
	}
	return nil
}

// take takes news of a line. What an old line says is of no interest.
func (c *Client) take(h happening) {
	switch {
	case h.line != c.line && h.line != c.making:
	case h.message != nil:
		c.step(room.Received{Message: *h.message})
	case h.made:
		c.line, c.making, c.fails = h.line, nil, 0
		for _, m := range c.held {
			c.line.send(m)
		}
		c.held = nil
		tell(c.config.OnLine, nil)
		if c.isDown {
			c.isDown = false
			c.step(room.LinkUp{})
		}
	default:
		c.line, c.making = nil, nil
		c.redial = c.config.Now().Add(min(firstRedial<<min(c.fails, 10), lastRedial))
		c.fails++
		c.lose(h.err)
	}
}

// lose tells that there is no line, once.
func (c *Client) lose(why error) {
	wasWanted := c.wantsLine() || c.isCut
	c.held = nil // the engine asks again
	if c.isDown {
		c.config.Logger.Debug("no line yet", "user", c.config.At.User, "error", why)
		return
	}
	tell(c.config.OnLine, why)
	if wasWanted {
		c.isDown = true
		c.step(room.LinkDown{})
	}
}

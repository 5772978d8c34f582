package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

// client is one keep-alive connection that posts the same report again and
// again under new session ids. It writes and reads HTTP by hand: the client of
// net/http would cost as much of the machine as the door, and be measured
// with it.
type client struct {
	conn    net.Conn
	replies *bufio.Reader
	request []byte
	marks   []int // where in request the number of a session stands
	want    []byte
	number  uint32
	took    []time.Duration
}

// newClient prepares everything that the clock need not see. Every other
// client wraps its events in an envelope, as the web reporter does; the rest
// send them bare.
func newClient(addr, key string, no, perRequest int) (*client, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	before, after := "[", "]"
	switch {
	case no%2 == 1:
		before, after = `{"sent_at":"`+time.Now().UTC().Format(time.RFC3339Nano)+`","events":[`, "]}"
	case perRequest == 1:
		before, after = "", ""
	}
	body := []byte(before)
	var marks []int
	for i := range perRequest {
		if i > 0 {
			body = append(body, ',')
		}
		var mark int
		body, mark = appendReport(body, no*perRequest+i)
		marks = append(marks, mark)
	}
	body = append(body, after...)
	head := fmt.Sprintf("POST /v1/events HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		addr, key, len(body))
	for i := range marks {
		marks[i] += len(head)
	}
	return &client{
		conn: conn, replies: bufio.NewReader(conn), request: append([]byte(head), body...), marks: marks,
		want: fmt.Appendf(nil, `{"accepted":%d,"rejected":0,`, perRequest),
	}, nil
}

// post sends one report and waits until it is acknowledged as a whole.
func (c *client) post() error {
	c.number++
	for _, mark := range c.marks {
		putHex(c.request[mark:mark+markLen], c.number)
	}
	began := time.Now()
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	if err := c.reply(); err != nil {
		return err
	}
	c.took = append(c.took, time.Since(began))
	return nil
}

// reply reads an answer of the one shape that counts as taken.
func (c *client) reply() error {
	status, err := c.replies.ReadString('\n')
	if err != nil {
		return err
	}
	size := -1
	for {
		line, err := c.replies.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if size, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	if size < 0 {
		return errors.New("the door answers without a length")
	}
	body, err := c.replies.Peek(size)
	if err != nil {
		return err
	}
	if !bytes.Contains([]byte(status), []byte(" 200 ")) || !bytes.HasPrefix(body, c.want) {
		return fmt.Errorf("the door did not take a report: %s %s", bytes.TrimSpace([]byte(status)), body)
	}
	_, err = c.replies.Discard(size)
	return err
}

// load lets all clients post for a while; each finishes what it has begun.
func load(ctx context.Context, clients []*client, d time.Duration) error {
	began := time.Now()
	var all errgroup.Group
	for _, c := range clients {
		all.Go(func() error {
			for ctx.Err() == nil && time.Since(began) < d {
				if err := c.post(); err != nil {
					return err
				}
			}
			return ctx.Err()
		})
	}
	return all.Wait()
}

func putHex(b []byte, n uint32) {
	const digits = "0123456789abcdef"
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = digits[n&15]
		n >>= 4
	}
}

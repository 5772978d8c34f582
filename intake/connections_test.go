package intake_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"

	"roomtrail/intake"
)

// callers is a listener of connections that come from addresses named by the
// test, since a test has but one address of its own.
type callers struct {
	net.Listener
	next chan net.Conn
}

type caller struct {
	net.Conn
	from string
}

func (c caller) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(c.from), 1234))
}

func (c *callers) Accept() (net.Conn, error) {
	conn, ok := <-c.next
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

// lobby takes in callers one after another.
type lobby struct {
	t    *testing.T
	door net.Listener
	next chan net.Conn
	cut  []string
}

func enter(t *testing.T, limits intake.Connections) *lobby {
	l := &lobby{t: t, next: make(chan net.Conn, 2)}
	limits.Cut = func(why string) { l.cut = append(l.cut, why) }
	l.door = intake.Listen(&callers{next: l.next}, limits)
	return l
}

// call returns both ends of a connection from the address.
func (l *lobby) call(from string) (theirs, ours net.Conn) {
	l.t.Helper()
	theirs, ours = net.Pipe()
	l.t.Cleanup(func() { theirs.Close(); ours.Close() })
	l.next <- caller{ours, from}
	ours, err := l.door.Accept()
	if err != nil {
		l.t.Fatal(err)
	}
	return theirs, ours
}

// refused calls from the address, and wants to be hung up on for the next
// caller, whom the door takes.
func (l *lobby) refused(from, next string) {
	l.t.Helper()
	theirs, ours := net.Pipe()
	l.next <- caller{ours, from}
	l.call(next)
	if !isClosed(theirs) {
		l.t.Errorf("one more from %s is taken", from)
	}
}

func isClosed(c net.Conn) bool {
	_, err := c.Read(make([]byte, 1))
	return errors.Is(err, io.EOF)
}

func TestAnAddressHasItsShareOfConnections(t *testing.T) {
	t.Parallel()
	l := enter(t, intake.Connections{Address: 2, Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	_, first := l.call("192.0.2.1")
	l.call("192.0.2.1")
	l.call("2001:db8::1")
	l.call("2001:db8::2:0:0:1") // the same subscriber
	for range 5 {
		l.call("127.0.0.1")
		l.call("::1")
		l.call("10.1.2.3")
		l.call("::ffff:10.1.2.3")
	}
	l.refused("192.0.2.1", "192.0.2.2")
	l.refused("::ffff:192.0.2.1", "192.0.2.2")
	l.refused("2001:db8::3", "192.0.2.3")
	if want := []string{"address", "address", "address"}; !slices.Equal(l.cut, want) {
		t.Errorf("told of %v, want %v", l.cut, want)
	}
	first.Close()
	first.Close() // counts once
	l.call("192.0.2.1")
	l.refused("192.0.2.1", "192.0.2.4")
}

func TestTheLongestSilentConnectionMakesRoom(t *testing.T) {
	t.Parallel()
	l := enter(t, intake.Connections{Total: 3})
	reading, readingHere := l.call("127.0.0.1")
	silent, _ := l.call("192.0.2.1")
	writing, writingHere := l.call("192.0.2.2")
	go func() { _, _ = reading.Write([]byte("x")) }()
	if _, err := readingHere.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	_, fourthHere := l.call("192.0.2.3")
	if !isClosed(silent) {
		t.Error("who was silent is still connected")
	}
	go func() { _, _ = writing.Read(make([]byte, 1)) }()
	if _, err := writingHere.Write([]byte("x")); err != nil {
		t.Error("who was not silent longest is cut off")
	}
	fourthHere.Close() // makes room by itself
	l.call("192.0.2.4")
	if len(l.cut) != 1 || l.cut[0] != "total" {
		t.Errorf("told of %v, want one for the total", l.cut)
	}
	l.call("192.0.2.5")
	if !isClosed(reading) {
		t.Error("who has become the longest silent is still connected")
	}
}

// HTTP/2 would bring hundreds of requests on a connection.
func TestAConnectionBringsOneRequestAtATime(t *testing.T) {
	t.Parallel()
	certified := httptest.NewTLSServer(nil)
	defer certified.Close()
	server := intake.Server(http.NotFoundHandler())
	server.TLSConfig = &tls.Config{Certificates: certified.TLS.Certificates}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() { _ = server.ServeTLS(l, "", "") }()
	client := certified.Client()
	client.Transport.(*http.Transport).ForceAttemptHTTP2 = true
	res, err := client.Get("https://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusNotFound || res.ProtoMajor != 1 {
		t.Errorf("answered by %s %s, want HTTP/1.1", res.Proto, res.Status)
	}
}

func TestConnectionsWithoutALimit(t *testing.T) {
	t.Parallel()
	l := enter(t, intake.Connections{Total: -1, Address: -1})
	for range 2000 {
		l.call("192.0.2.1")
	}
	if len(l.cut) != 0 {
		t.Errorf("told of %v", l.cut)
	}
}

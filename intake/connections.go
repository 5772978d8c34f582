package intake

import (
	"cmp"
	"container/list"
	"net"
	"net/netip"
	"sync"
)

// Connections are how many a door holds open at once. Zero is the default, a
// negative number means no limit.
type Connections struct {
	Total   int // 10 000; one more takes the place of the longest silent one
	Address int // 1 000, of an IPv4 address or a /64 of IPv6; one more is hung up on
	// Proxies bring the connections of many. They and the addresses of this
	// machine are held to the total alone.
	Proxies []netip.Prefix
	Cut     func(why string) // told of each that was hung up on: "address" or "total"; may be nil
}

func (c Connections) withDefaults() Connections {
	c.Total = cmp.Or(c.Total, 10_000)
	c.Address = cmp.Or(c.Address, 1_000)
	if c.Cut == nil {
		c.Cut = func(string) {}
	}
	return c
}

// Listen keeps a listener's connections within the limits. Who is silent costs
// memory all the same, and timeouts alone leave the door to who opens the most.
func Listen(l net.Listener, limits Connections) net.Listener {
	return &listener{Listener: l, limits: limits.withDefaults(), silent: list.New(), of: map[string]int{}}
}

type listener struct {
	net.Listener
	limits Connections

	mu     sync.Mutex
	silent *list.List     // of *connection, the longest silent one first
	of     map[string]int // connections of an address
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		admitted, ousted := l.admit(c)
		if ousted != nil {
			_ = ousted.Close()
			l.limits.Cut("total")
		}
		if admitted != nil {
			return admitted, nil
		}
		_ = c.Close()
		l.limits.Cut("address")
	}
}

// admit makes the connection one of the door's, unless its address has enough;
// ousted is the one that has to go for it.
func (l *listener) admit(c net.Conn) (admitted, ousted *connection) {
	admitted = &connection{Conn: c, door: l, address: l.counted(c.RemoteAddr())}
	l.mu.Lock()
	defer l.mu.Unlock()
	if admitted.address != "" {
		if l.of[admitted.address] >= l.limits.Address {
			return nil, nil
		}
		l.of[admitted.address]++
	}
	if l.limits.Total > 0 && l.silent.Len() >= l.limits.Total {
		ousted = l.silent.Front().Value.(*connection)
		l.forget(ousted) // its place is free now, however long it takes to close
	}
	admitted.place = l.silent.PushBack(admitted)
	return admitted, ousted
}

// counted is the address that a connection counts for, empty where for none.
func (l *listener) counted(remote net.Addr) string {
	host, _, err := net.SplitHostPort(remote.String())
	if err != nil || l.limits.Address < 0 || isTrusted(host, l.limits.Proxies) {
		return ""
	}
	name, isLocal := addressOf(host)
	if isLocal {
		return ""
	}
	return name
}

// forget takes a connection out of the count, once.
func (l *listener) forget(c *connection) {
	if c.place == nil {
		return
	}
	l.silent.Remove(c.place)
	c.place = nil
	if c.address == "" {
		return
	}
	if l.of[c.address]--; l.of[c.address] == 0 {
		delete(l.of, c.address)
	}
}

// heard says that a connection was not silent.
func (l *listener) heard(c *connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.place != nil {
		l.silent.MoveToBack(c.place)
	}
}

// connection is one that counts until it is closed.
type connection struct {
	net.Conn
	door    *listener
	address string
	place   *list.Element // of the door's mutex; nil once it does not count
}

func (c *connection) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.door.heard(c)
	}
	return n, err
}

func (c *connection) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if n > 0 {
		c.door.heard(c)
	}
	return n, err
}

func (c *connection) Close() error {
	c.door.mu.Lock()
	c.door.forget(c)
	c.door.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite is how net/http lets an answer arrive before it hangs up on a body
// that it does not read.
func (c *connection) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

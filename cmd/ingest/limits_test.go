package main

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestServeHoldsNoMoreConnectionsThanItMay(t *testing.T) {
	t.Parallel()
	url, _ := serving(t, t.TempDir(), "ROOMTRAIL_ROLE=intake", "ROOMTRAIL_MAX_CONNECTIONS=2", "ROOMTRAIL_MAX_CONNECTIONS_PER_ADDRESS=0")
	const ask = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
	var list []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, ask); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatalf("connection %d is not answered: %v", len(list)+1, err)
		}
		list = append(list, c)
	}
	if _, err := io.Copy(io.Discard, list[0]); err != nil { // it ends where the door hangs up
		t.Error(err)
	}
	res, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if want := `roomtrail_intake_connections_cut_total{why="total"} 2`; err != nil || !strings.Contains(string(text), want) {
		t.Errorf("metrics do not say %s", want)
	}
}

package query

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"testing"
	"time"
)

var mixed = Answer{
	Columns: []string{"b", "a_ms", "at", "ok", "share", "data", "list", "none"},
	Rows: [][]any{
		{"<会议室> \"1\", a\nb", int64(90_000), time.Date(2026, 3, 1, 4, 0, 0, 5e8, time.FixedZone("", 3600)), true, 0.25,
			json.RawMessage("{\"z\": 1,\n\"a\": 10000000000000001}"), []string{"x", "y"}, nil},
		{"", int64(1_000_005_022), time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC), false, math.NaN(), nil, nil, nil},
	},
}

func TestWriteJSON(t *testing.T) {
	t.Parallel()
	want := `[
  {"b":"<会议室> \"1\", a\nb","a_ms":90000,"at":"2026-03-01T03:00:00.5Z","ok":true,"share":0.25,"data":{"z":1,"a":10000000000000001},"list":["x","y"],"none":null},
  {"b":"","a_ms":1000005022,"at":"2026-03-01T03:00:00Z","ok":false,"share":null,"data":null,"list":null,"none":null}
]
`
	check(t, WriteJSON, mixed, want)
	check(t, WriteJSON, Answer{Columns: []string{"a"}}, "[]\n")
}

func TestWriteNDJSON(t *testing.T) {
	t.Parallel()
	want := `{"b":"<会议室> \"1\", a\nb","a_ms":90000,"at":"2026-03-01T03:00:00.5Z","ok":true,"share":0.25,"data":{"z":1,"a":10000000000000001},"list":["x","y"],"none":null}
{"b":"","a_ms":1000005022,"at":"2026-03-01T03:00:00Z","ok":false,"share":null,"data":null,"list":null,"none":null}
`
	check(t, WriteNDJSON, mixed, want)
	check(t, WriteNDJSON, Answer{Columns: []string{"a"}}, "")
}

func TestWriteCSV(t *testing.T) {
	t.Parallel()
	want := `b,a_ms,at,ok,share,data,list,none
"<会议室> ""1"", a
b",90000,2026-03-01T03:00:00.5Z,true,0.25,"{""z"":1,""a"":10000000000000001}","[""x"",""y""]",
,1000005022,2026-03-01T03:00:00Z,false,NaN,,,
`
	check(t, WriteCSV, mixed, want)
	check(t, WriteCSV, Answer{Columns: []string{"a", "b"}}, "a,b\n")
}

func check(t *testing.T, write func(w io.Writer, a Answer) error, a Answer, want string) {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b, a); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

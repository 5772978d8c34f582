package intake

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"roomtrail/events"
)

// Limits of a request (contract 2).
const (
	maxCompressed = 1 << 20
	maxPlain      = 8 << 20
	maxEvents     = 5000
)

// fault is a request that cannot be taken, with the status that says so.
type fault struct {
	status int
	field  string
	reason string
	wait   time.Duration // Retry-After
}

func (f *fault) Error() string { return f.reason }

func faultf(status int, format string, args ...any) *fault {
	return &fault{status: status, reason: fmt.Sprintf(format, args...)}
}

var bodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// decoders are costly to make and safe to use again.
var decoders = sync.Pool{New: func() any {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPlain+1), zstd.WithDecoderMaxWindow(maxPlain))
	if err != nil {
		panic(fmt.Sprintf("options of the zstd decoder are wrong: %v", err))
	}
	return d
}}

// readBody brings the plain body into buf, within the limits. Memory is set
// aside as the bytes come in: a sender who promises much and sends little
// keeps nobody out.
func (d *Door) readBody(w http.ResponseWriter, r *http.Request, buf *bytes.Buffer, held *allowance) *fault {
	var plain io.Reader
	encoding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding")))
	switch encoding {
	case "", "identity":
		plain = http.MaxBytesReader(w, r.Body, maxPlain)
	case "gzip":
		zr, err := gzip.NewReader(http.MaxBytesReader(w, r.Body, maxCompressed))
		if err != nil {
			return bodyFault(err, "gzip")
		}
		plain = zr
	case "zstd":
		d := decoders.Get().(*zstd.Decoder)
		defer func() { _ = d.Reset(nil); decoders.Put(d) }()
		if err := d.Reset(http.MaxBytesReader(w, r.Body, maxCompressed)); err != nil {
			return bodyFault(err, "zstd")
		}
		plain = d
	default:
		return faultf(http.StatusUnsupportedMediaType, "Content-Encoding %q is not read; want gzip, zstd or none", encoding)
	}
	for {
		if f := held.take(r.Context(), readStep); f != nil {
			return f
		}
		n, err := io.CopyN(buf, plain, readStep)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return bodyFault(err, encoding)
		}
		if n == 0 || buf.Len() > maxPlain {
			break
		}
	}
	if buf.Len() > maxPlain {
		return faultf(http.StatusRequestEntityTooLarge, "the body has more than %d bytes when unpacked; send fewer events at once", maxPlain)
	}
	return nil
}

func bodyFault(err error, encoding string) *fault {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return faultf(http.StatusRequestEntityTooLarge, "the body has more than %d bytes; send fewer events at once", tooLarge.Limit)
	case errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded):
		return faultf(http.StatusRequestEntityTooLarge, "the body has more than %d bytes when unpacked; send fewer events at once", maxPlain)
	case encoding == "" || encoding == "identity":
		return faultf(http.StatusBadRequest, "the body ended early: %v", err)
	}
	return faultf(http.StatusBadRequest, "the body is not %s: %v", encoding, err)
}

// items are the events of a body as they stand in it.
type items struct {
	events [][]byte
	sentAt time.Time // zero where the body does not say
}

// split takes a body apart: one event, an array, an envelope or NDJSON. List is
// the envelope's member that holds the events.
func split(contentType string, body []byte, list string) (items, *fault) {
	if isNDJSON(contentType) {
		return lines(body)
	}
	start := events.SkipSpace(body, 0)
	if start == len(body) {
		return items{}, faultf(http.StatusBadRequest, "the body is empty; want an event, an array of events, {\"sent_at\": …, \"events\": […]} or NDJSON")
	}
	end, _, err := events.NextValue(body, start)
	if err == nil && events.SkipSpace(body, end) == len(body) {
		switch body[start] {
		case '[':
			return array(body[start:end])
		case '{':
			return object(body[start:end], list)
		}
		return items{}, faultf(http.StatusBadRequest, "the body is neither an object nor an array; want events")
	}
	if looksLikeLines(body) {
		return lines(body)
	}
	if err == nil {
		err = errors.New("more follows after its first value")
	}
	return items{}, faultf(http.StatusBadRequest, "the body cannot be read: %v", err)
}

func isNDJSON(contentType string) bool {
	mt, _, _ := mime.ParseMediaType(contentType)
	switch mt {
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines":
		return true
	}
	return false
}

// looksLikeLines says whether a body that is no JSON value is NDJSON: each of
// its lines begins an object, and at least one is whole.
func looksLikeLines(body []byte) bool {
	whole := false
	for line := range bytes.Lines(body) {
		i := events.SkipSpace(line, 0)
		if i == len(line) {
			continue
		}
		if line[i] != '{' {
			return false
		}
		if end, _, err := events.NextValue(line, i); err == nil && events.SkipSpace(line, end) == len(line) {
			whole = true
		}
	}
	return whole
}

func lines(body []byte) (items, *fault) {
	var out items
	for line := range bytes.Lines(body) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			out.events = append(out.events, line)
		}
		if len(out.events) > maxEvents {
			return items{}, tooMany()
		}
	}
	return out, nil
}

func tooMany() *fault {
	return faultf(http.StatusRequestEntityTooLarge, "the body holds more than %d events; send fewer at once", maxEvents)
}

// array takes the elements of a JSON array that has been checked.
func array(raw []byte) (items, *fault) {
	var out items
	for i := events.SkipSpace(raw, 1); raw[i] != ']'; {
		end, _, _ := events.NextValue(raw, i)
		out.events = append(out.events, raw[i:end])
		if len(out.events) > maxEvents {
			return items{}, tooMany()
		}
		if i = events.SkipSpace(raw, end); raw[i] == ',' {
			i = events.SkipSpace(raw, i+1)
		}
	}
	return out, nil
}

// object is one event, or an envelope: that has the member listName.
func object(raw []byte, listName string) (items, *fault) {
	var list, sent []byte
	for i := events.SkipSpace(raw, 1); raw[i] != '}'; {
		nameEnd, _, _ := events.NextValue(raw, i)
		name := raw[i:nameEnd]
		i = events.SkipSpace(raw, events.SkipSpace(raw, nameEnd)+1)
		end, _, _ := events.NextValue(raw, i)
		switch string(name) {
		case `"` + listName + `"`:
			if list != nil {
				return items{}, faultf(http.StatusBadRequest, "%s is given twice", listName)
			}
			list = raw[i:end]
		case `"sent_at"`:
			sent = raw[i:end]
		}
		if i = events.SkipSpace(raw, end); raw[i] == ',' {
			i = events.SkipSpace(raw, i+1)
		}
	}
	if list == nil {
		return items{events: [][]byte{raw}}, nil
	}
	if list[0] != '[' {
		f := faultf(http.StatusBadRequest, "%s is no array", listName)
		f.field = listName
		return items{}, f
	}
	out, f := array(list)
	if f == nil && sent != nil && string(sent) != "null" {
		var refused *events.Refused
		if out.sentAt, refused = events.Instant("sent_at", sent); refused != nil {
			f = faultf(http.StatusBadRequest, "sent_at: %s", refused.Reason)
			f.field = "sent_at"
		}
	}
	return out, f
}

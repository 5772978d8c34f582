package intake

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"roomtrail/events"
)

// Limits of a request (contract 2). A callback is one event; as URL-encoded
// JSON or as a form it may take some three times the room.
const (
	maxCompressed = 1 << 20
	maxPlain      = 8 << 20
	maxEvents     = 5000
	maxCallback   = 4 * events.MaxEventBytes
)

// fault is a request that cannot be taken, with the status that says so.
type fault struct {
	status int
	field  string
	reason string
	wait   time.Duration // Retry-After
}

func (f *fault) Error() string { return f.reason }

// faultf keeps the reason short, whatever of the sender's is in it: it goes
// into the answer and into a line of the log.
func faultf(status int, format string, args ...any) *fault {
	reason := fmt.Sprintf(format, args...)
	return &fault{status: status, reason: strings.ToValidUTF8(reason[:min(len(reason), maxReason)], "")}
}

const maxReason = 400

// readBody returns the plain body, of at most limit bytes. What is packed comes
// in as a whole before it is unpacked, so that a slow sender holds no
// decompressor.
func readBody(w http.ResponseWriter, r *http.Request, held *allowance, limit int) ([]byte, *fault) {
	encoding := strings.ToLower(strings.TrimSpace(strings.Join(r.Header.Values("Content-Encoding"), ",")))
	packed := limit
	switch encoding {
	case "", "identity":
		encoding = ""
	case "gzip", "zstd":
		packed = min(limit, maxCompressed)
	default:
		return nil, faultf(http.StatusUnsupportedMediaType, "Content-Encoding %.40q is not read; want gzip, zstd or none", encoding)
	}
	if r.ContentLength > int64(packed) {
		return nil, faultf(http.StatusRequestEntityTooLarge, "the body has %d bytes; at most %d are taken", r.ContentLength, packed)
	}
	body, err := held.read(r.Context(), http.MaxBytesReader(w, r.Body, int64(packed)), packed)
	if err == nil && encoding != "" {
		body, err = held.unpack(r.Context(), encoding, body, limit)
	}
	if err != nil {
		return nil, bodyFault(err, encoding, limit)
	}
	return body, nil
}

func bodyFault(err error, encoding string, limit int) *fault {
	var known *fault
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &tooLarge):
		return faultf(http.StatusRequestEntityTooLarge, "the body has more than %d bytes; send fewer events at once", tooLarge.Limit)
	case errors.Is(err, errTooLarge), errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded):
		return faultf(http.StatusRequestEntityTooLarge, "the body has more than %d bytes when unpacked; send fewer events at once", limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return faultf(http.StatusRequestTimeout, "the body took too long to come; keep the events and send them again, or fewer at once")
	case encoding == "":
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

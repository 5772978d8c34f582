package query

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
)

// Machine formats: raw milliseconds, RFC 3339 in UTC, columns in the order of
// the question.

// WriteJSON writes the rows as one array of objects.
func WriteJSON(w io.Writer, a Answer) error {
	var b bytes.Buffer
	if err := appendRows(&b, a, "\n  "); err != nil {
		return err
	}
	b.WriteByte('\n')
	_, err := w.Write(b.Bytes())
	return err
}

// WriteNDJSON writes each row as one line.
func WriteNDJSON(w io.Writer, a Answer) error {
	var b bytes.Buffer
	for _, row := range a.Rows {
		if err := appendRow(&b, a.Columns, row); err != nil {
			return err
		}
		b.WriteByte('\n')
	}
	_, err := w.Write(b.Bytes())
	return err
}

// WriteCSV writes a header and the rows (RFC 4180 with plain line ends); NULL is
// empty.
func WriteCSV(w io.Writer, a Answer) error {
	c := csv.NewWriter(w)
	if err := c.Write(a.Columns); err != nil {
		return err
	}
	record := make([]string, len(a.Columns))
	for _, row := range a.Rows {
		for i, v := range row {
			var err error
			if record[i], err = field(v); err != nil {
				return fmt.Errorf("write column %s: %w", a.Columns[i], err)
			}
		}
		if err := c.Write(record); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

func field(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	}
	b, err := encode(v)
	return string(b), err
}

// WriteDocument writes the result as the HTTP API answers it.
func WriteDocument(w io.Writer, r Result) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\"question\":%q", r.Question.Name)
	if !r.Range.Until.IsZero() {
		since, _ := encode(r.Range.Since) // a time cannot fail
		until, _ := encode(r.Range.Until)
		fmt.Fprintf(&b, ",\"since\":%s,\"until\":%s", since, until)
	}
	fmt.Fprintf(&b, ",\"limit\":%d,\"more\":%t,\n\"rows\":", r.Limit, r.More)
	if err := appendRows(&b, r.Answer, "\n"); err != nil {
		return err
	}
	for _, name := range r.Question.With {
		fmt.Fprintf(&b, ",\n%q:", name)
		if err := appendRows(&b, r.With[name], "\n"); err != nil {
			return err
		}
	}
	b.WriteString("}\n")
	_, err := w.Write(b.Bytes())
	return err
}

func appendRows(b *bytes.Buffer, a Answer, indent string) error {
	b.WriteByte('[')
	for i, row := range a.Rows {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(indent)
		if err := appendRow(b, a.Columns, row); err != nil {
			return err
		}
	}
	if len(a.Rows) > 0 {
		b.WriteByte('\n')
	}
	b.WriteByte(']')
	return nil
}

// appendRow keeps the order of the columns, which a map would lose.
func appendRow(b *bytes.Buffer, columns []string, row []any) error {
	b.WriteByte('{')
	for i, column := range columns {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := encode(column)
		if err != nil {
			return err
		}
		value, err := encode(row[i])
		if err != nil {
			return fmt.Errorf("write column %s: %w", column, err)
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return nil
}

func encode(v any) ([]byte, error) {
	switch x := v.(type) {
	case time.Time:
		v = x.UTC().Format(time.RFC3339Nano)
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			v = nil // JSON has no word for them
		}
	case json.RawMessage:
		// One line: a value of type json keeps the line ends it was written with.
		var b bytes.Buffer
		err := json.Compact(&b, x)
		return b.Bytes(), err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimRight(b.Bytes(), "\n"), err
}

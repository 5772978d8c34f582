package events

import _ "embed"

// schema is written by hand; schema_test.go holds it against the parser.
//
//go:embed schema.json
var schema []byte

// Schema is the JSON Schema (draft 2020-12) of a report, for senders. What a
// schema cannot say, and what the parser forgives beyond it, stands in its
// description and in schema_test.go.
func Schema() []byte { return append([]byte(nil), schema...) }

// Package migrations holds what cannot be recomputed: the tables of facts,
// positions, identities, profiles and quarantine. Derived tables are declared
// beside their projection instead. An applied file is never edited.
package migrations

import "embed"

// FS holds the numbered files, up and down.
//
//go:embed *.sql
var FS embed.FS

package events

import (
	"cmp"
	_ "embed"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Code is one row of the table of error codes. A code means something only
// within its family: 1002056 is a kick on native and a mistake of the caller
// on web.
type Code struct {
	Family    Family
	ErrorCode int64 // web passes ten-digit codes of the server through
	Name      string
	Category  string
	Meaning   string
	Advice    string // whether it can wait, where to look, whom to ask
}

// Categories of error codes. Kick is how a room ends a stay; auth, parameter
// and client-usage are the caller's to repair; the rest is not.
const (
	CategoryOK          = "ok"
	CategoryAuth        = "auth"
	CategoryNetwork     = "network"
	CategoryKick        = "kick"
	CategoryQuota       = "quota"
	CategoryParameter   = "parameter"
	CategoryServer      = "server"
	CategoryClientUsage = "client-usage"
	CategoryUnknown     = "unknown"
)

var categories = []string{
	CategoryOK, CategoryAuth, CategoryNetwork, CategoryKick, CategoryQuota,
	CategoryParameter, CategoryServer, CategoryClientUsage, CategoryUnknown,
}

// CallerFault reports whether a login that failed with a code of this category
// failed by the caller's own doing (contract 4.6).
func CallerFault(category string) bool {
	return category == CategoryAuth || category == CategoryParameter || category == CategoryClientUsage
}

//go:embed codes.csv
var codesCSV string

var codes = mustParseCodes(codesCSV)

type codeKey struct {
	family Family
	code   int64
}

// LookupCode finds what a code means within its family. A code in no list of
// its family is not found, 0 always is.
func LookupCode(f Family, code int64) (Code, bool) {
	c, ok := codes.byKey[codeKey{f, code}]
	return c, ok
}

// Codes returns the whole table, sorted by family and code.
func Codes() []Code { return slices.Clone(codes.sorted) }

type codeTable struct {
	sorted []Code
	byKey  map[codeKey]Code
}

var codeHeader = []string{"family", "error_code", "name", "category", "meaning", "advice"}

// mustParseCodes panics on a broken table: it is part of the program, so a
// broken one is our own mistake and the first test run finds it.
func mustParseCodes(text string) codeTable {
	t, err := parseCodes(text)
	if err != nil {
		panic(fmt.Sprintf("events: %v", err))
	}
	return t
}

func parseCodes(text string) (codeTable, error) {
	t := codeTable{byKey: make(map[codeKey]Code)}
	r := csv.NewReader(strings.NewReader(text))
	r.FieldsPerRecord = len(codeHeader)
	header, err := r.Read()
	if err != nil {
		return t, fmt.Errorf("read header of codes.csv: %w", err)
	}
	if !slices.Equal(header, codeHeader) {
		return t, fmt.Errorf("read header of codes.csv: %q, want %q", header, codeHeader)
	}
	for {
		record, err := r.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return t, fmt.Errorf("read codes.csv: %w", err) // it names the line
		}
		c, err := parseCode(record)
		if _, twice := t.byKey[codeKey{c.Family, c.ErrorCode}]; err == nil && twice {
			err = fmt.Errorf("%s %d stands in the table already", c.Family, c.ErrorCode)
		}
		if err != nil {
			line, _ := r.FieldPos(0)
			return t, fmt.Errorf("read codes.csv: line %d: %w", line, err)
		}
		t.sorted = append(t.sorted, c)
		t.byKey[codeKey{c.Family, c.ErrorCode}] = c
	}
	slices.SortFunc(t.sorted, func(a, b Code) int {
		return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.ErrorCode, b.ErrorCode))
	})
	return t, nil
}

func parseCode(record []string) (Code, error) {
	n, err := strconv.ParseInt(record[1], 10, 64)
	if err != nil {
		return Code{}, fmt.Errorf("error_code %q is no integer", record[1])
	}
	c := Code{
		Family: Family(record[0]), ErrorCode: n, Name: record[2],
		Category: record[3], Meaning: record[4], Advice: record[5],
	}
	switch {
	case c.Family != Web && c.Family != Native:
		return Code{}, fmt.Errorf("family %q is neither %s nor %s", c.Family, Native, Web)
	case !slices.Contains(categories, c.Category):
		return Code{}, fmt.Errorf("category %q is none of %s", c.Category, strings.Join(categories, ", "))
	case c.Meaning == "" || c.Advice == "":
		return Code{}, fmt.Errorf("%s %d has no meaning or no advice", c.Family, c.ErrorCode)
	}
	return c, nil
}

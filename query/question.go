package query

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A Question is one entry of the table.
type Question struct {
	Name   string
	Doc    string // first line: what it answers; the rest: the definition of its figures
	Params []Param
	SQL    string // named arguments, one for each parameter
	Path   string // in the HTTP API

	Table   []string // the columns a table shows, all if empty
	Upright bool     // a table shows columns as lines, for few rows of many figures
	Total   bool     // the last row is a total, there even when there is nothing to count
	With    []string // questions asked beside it, of the same app, room, user and session
	Limit   int      // rows answered where none is asked for; DefaultLimit if 0
}

// A Param is a named argument of a question.
type Param struct {
	Name     string
	Doc      string
	Required bool
}

// Limits of rows in one answer.
const (
	DefaultLimit = 200
	MaxLimit     = 10_000
)

// Questions returns the table.
func Questions() []Question { return slices.Clone(questions) }

// Find returns the question of that name.
func Find(name string) (Question, bool) {
	i := slices.IndexFunc(questions, func(q Question) bool { return q.Name == name })
	if i < 0 {
		return Question{}, false
	}
	return questions[i], true
}

// Summary is the first line of the question's Doc.
func (q Question) Summary() string {
	line, _, _ := strings.Cut(q.Doc, "\n")
	return line
}

// Definition is what follows the first line of the question's Doc.
func (q Question) Definition() string {
	_, rest, _ := strings.Cut(q.Doc, "\n")
	return strings.TrimSpace(rest)
}

// Takes reports whether the question has a parameter of that name.
func (q Question) Takes(param string) bool {
	return slices.ContainsFunc(q.Params, func(p Param) bool { return p.Name == param })
}

// NeedsMore reports whether the question cannot be asked without a parameter.
func (q Question) NeedsMore() bool {
	return slices.ContainsFunc(q.Params, func(p Param) bool { return p.Required })
}

// Names lists the question's parameters.
func (q Question) Names() []string {
	names := make([]string, len(q.Params))
	for i, p := range q.Params {
		names[i] = p.Name
	}
	return names
}

func (q Question) takes() string {
	if len(q.Params) == 0 {
		return "no parameter"
	}
	return "one of " + strings.Join(q.Names(), ", ")
}

// A Source answers SQL with named arguments and at most limit rows.
type Source interface {
	Ask(ctx context.Context, sql string, args map[string]any, limit int) (Answer, error)
}

// An Answer is rows of plain values: nil, string, int64, float64, bool,
// time.Time, []string or json.RawMessage.
type Answer struct {
	Columns []string
	Rows    [][]any
	More    bool // there are more rows than the limit
}

// Records returns the rows by column name.
func (a Answer) Records() []map[string]any {
	records := make([]map[string]any, len(a.Rows))
	for i, row := range a.Rows {
		records[i] = make(map[string]any, len(row))
		for j, v := range row {
			records[i][a.Columns[j]] = v
		}
	}
	return records
}

// A Request is a question with its parameters read and checked.
type Request struct {
	Question Question
	Range    Range // zero where the question takes none
	Limit    int
	Given    map[string]string // the parameters as they were written
	args     map[string]any
}

// An InvalidError names a parameter, its value and what would be right.
type InvalidError struct {
	Param, Value string
	Problem      string
	Want         string
}

func (e *InvalidError) Error() string {
	return fmt.Sprintf("%s %q %s; want %s", e.Param, e.Value, e.Problem, e.Want)
}

// Request reads parameters as a person or a URL writes them. A parameter given
// as "" is not given. A parameter that the question does not take is refused: a
// filter that is ignored would answer another question.
func (q Question) Request(now time.Time, given map[string]string) (Request, error) {
	r := Request{Question: q, Limit: q.Limit, Given: make(map[string]string), args: make(map[string]any)}
	if r.Limit == 0 {
		r.Limit = DefaultLimit
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		value := given[name]
		if value == "" {
			continue
		}
		if !q.Takes(name) {
			return Request{}, &InvalidError{name, value, "is not taken by " + q.Name, q.takes()}
		}
		if !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
			return Request{}, &InvalidError{name, value, "can be in no event", "UTF-8 without U+0000"}
		}
		r.Given[name] = value
	}
	for _, p := range q.Params {
		value, ok := r.Given[p.Name]
		if p.Required && !ok {
			return Request{}, &InvalidError{p.Name, "", "is missing", p.Doc}
		}
		r.args[p.Name] = nil // an optional filter that is absent is NULL
		if ok {
			r.args[p.Name] = value
		}
	}
	return r.readTyped(now)
}

// readTyped replaces the parameters that are more than text.
func (r Request) readTyped(now time.Time) (Request, error) {
	if r.Question.Takes("since") {
		span, err := ParseRange(now, r.Given["since"], r.Given["until"])
		if err != nil {
			return Request{}, err
		}
		r.Range = span
		r.args["since"], r.args["until"] = span.Since, span.Until
	}
	if !r.Question.Takes("limit") {
		return r, nil
	}
	if text, ok := r.Given["limit"]; ok {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > MaxLimit {
			return Request{}, &InvalidError{"limit", text, "is out of bounds", fmt.Sprintf("a number from 1 to %d", MaxLimit)}
		}
		r.Limit = n
	}
	r.args["limit"] = int64(r.Limit) + 1 // one more, so that the answer knows of more
	return r, nil
}

// A Result is a request with its answer and those of the questions beside it.
type Result struct {
	Request
	Answer
	With map[string]Answer
}

// Nothing reports whether the answer has nothing to show.
func (r Result) Nothing() bool {
	return len(r.Rows) == 0 || r.Question.Total && len(r.Rows) == 1
}

// Ask asks the question and the questions beside it.
func (r Request) Ask(ctx context.Context, source Source) (Result, error) {
	result := Result{Request: r}
	var err error
	result.Answer, err = source.Ask(ctx, r.Question.SQL, r.args, r.Limit)
	if err != nil {
		return Result{}, fmt.Errorf("ask %s: %w", r.Question.Name, err)
	}
	if len(r.Question.With) == 0 || result.Nothing() {
		return result, nil
	}
	result.With = make(map[string]Answer)
	for _, name := range r.Question.With {
		beside := r.beside(name)
		result.With[name], err = source.Ask(ctx, beside.Question.SQL, beside.args, beside.Limit)
		if err != nil {
			return Result{}, fmt.Errorf("ask %s beside %s: %w", name, r.Question.Name, err)
		}
	}
	return result, nil
}

// beside is the request for another question about the same thing, of any time.
func (r Request) beside(name string) Request {
	q, ok := Find(name)
	if !ok {
		panic(fmt.Sprintf("query: %s is asked with %s, which is not in the table", r.Question.Name, name))
	}
	b := Request{Question: q, Limit: MaxLimit, args: make(map[string]any)}
	for _, p := range q.Params {
		b.args[p.Name] = r.args[p.Name] // nil where r does not take it
	}
	b.args["limit"] = int64(MaxLimit) + 1
	return b
}

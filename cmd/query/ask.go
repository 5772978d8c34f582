package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"

	"roomtrail/query"
)

// commands are the questions of the table, then what is no question.
func commands() []kong.Option {
	var options []kong.Option
	for _, q := range query.Questions() {
		var cmd any = &askCommand{question: q}
		if q.NeedsMore() {
			cmd = &sessionCommand{question: q}
		}
		options = append(options, kong.DynamicCommand(q.Name, q.Summary(), "", cmd))
	}
	return append(options,
		kong.DynamicCommand("sql", "Run a query of your own: query sql 'SELECT …', or - to read it from standard input.", "", &sqlCommand{}),
		kong.DynamicCommand("serve", "Serve the questions over HTTP, and a page that shows the health.", "", &serveCommand{}),
		kong.DynamicCommand("healthcheck", "Ask a URL; exit 0 when it answers 200. For containers without a shell.", "", &healthcheckCommand{}),
	)
}

// askCommand asks one question of the table.
type askCommand struct{ question query.Question }

func (c *askCommand) Help() string { return help(c.question) }

func (c *askCommand) Run(p *program) error {
	result, err := p.ask(c.question, p.given())
	if err != nil {
		return err
	}
	return p.show(result)
}

// help is a question's definition and the flags that narrow it.
func help(q query.Question) string {
	var flags []string
	for _, p := range q.Params {
		if !p.Required {
			flags = append(flags, "--"+strings.ReplaceAll(p.Name, "_", "-"))
		}
	}
	return q.Definition() + "\n\nTakes " + strings.Join(flags, ", ") + "."
}

// sessionCommand asks for one session.
type sessionCommand struct {
	question query.Question
	Name     string `arg:"" name:"session" help:"SESSION or APP/SESSION."`
}

func (c *sessionCommand) Help() string { return help(c.question) }

// Run reads APP/SESSION first. A session_id may hold a slash itself, so where
// nothing is found the whole argument is one.
func (c *sessionCommand) Run(p *program) error {
	given := p.given()
	given["session"] = c.Name
	app, session, split := strings.Cut(c.Name, "/")
	if split && p.App == "" && app != "" && session != "" {
		given["app"], given["session"] = app, session
		result, err := p.ask(c.question, given)
		if err != nil {
			return err
		}
		if !result.Nothing() {
			return p.show(result)
		}
		given["app"], given["session"] = "", c.Name
	}
	result, err := p.ask(c.question, given)
	if err != nil {
		return err
	}
	return p.show(result)
}

func (p *program) ask(q query.Question, given map[string]string) (query.Result, error) {
	request, err := q.Request(p.now(), given)
	if err != nil {
		return query.Result{}, err
	}
	source, err := p.open()
	if err != nil {
		return query.Result{}, err
	}
	defer source.Close()
	return request.Ask(p.ctx, source)
}

// show writes a result as --output says. What is said about the answer goes to
// standard error, so that the answer stays clean.
func (p *program) show(r query.Result) error {
	if r.Nothing() {
		fmt.Fprintln(p.stderr, nothing(r, p.look))
	}
	if err := p.write(r); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	if r.More {
		fmt.Fprintf(p.stderr, "only the first %d rows are shown and there are more: raise --limit (at most %d) or narrow the question\n",
			r.Limit, query.MaxLimit)
	}
	return nil
}

func (p *program) write(r query.Result) error {
	switch p.Output {
	case "json":
		return query.WriteJSON(p.stdout, r.Answer)
	case "ndjson":
		return query.WriteNDJSON(p.stdout, r.Answer)
	case "csv":
		return query.WriteCSV(p.stdout, r.Answer)
	}
	switch {
	case len(r.Rows) == 0:
		return nil
	case r.Question.Name == "session":
		return query.WriteTimeline(p.stdout, r, p.look)
	case r.Question.Name == "errors":
		return writeErrors(p.stdout, r, p.look)
	}
	return writeTable(p.stdout, r, p.look)
}

// nothing says in one sentence that an answer is empty, and what to try.
func nothing(r query.Result, look query.Look) string {
	var with []string
	for _, param := range r.Question.Params {
		if v, ok := r.Given[param.Name]; ok && param.Name != "since" && param.Name != "until" && param.Name != "limit" {
			with = append(with, fmt.Sprintf("%s %q", query.Heading(param.Name), v))
		}
	}
	what := "nothing for " + r.Question.Name
	if len(with) > 0 {
		what += " with " + strings.Join(with, ", ")
	}
	if r.Question.Name == typed.Name {
		return "the query answers no rows"
	}
	if r.Range.Until.IsZero() {
		return what + "; query sessions lists the sessions there are"
	}
	return what + " from " + r.Range.Span(look.Zone) + "; try a longer time, such as --since 1d"
}

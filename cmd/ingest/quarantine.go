package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/table"

	"roomtrail/commandline"
	"roomtrail/events"
	"roomtrail/readmodel"
)

// quarantine is for the person who decides about what was set aside.
type quarantine struct {
	servers

	List  quarantineList  `cmd:"" help:"List what is in quarantine, the oldest first."`
	Show  quarantineShow  `cmd:"" help:"Show one message: why it is there, its header, its bytes."`
	Retry quarantineRetry `cmd:"" help:"Read messages with this program's version; what can be read is appended to the log again."`
	Drop  quarantineDrop  `cmd:"" help:"Take messages out for good, with an entry in the audit ledger."`
}

type (
	quarantineList struct{}
	quarantineShow struct {
		Ref string `arg:"" help:"Which one: generation/partition/stream_seq, as list says."`
	}
	quarantineRetry struct {
		Refs []string `arg:"" optional:"" name:"ref" help:"Which ones: generation/partition/stream_seq, as list says."`
		All  bool     `help:"All of them."`
	}
	quarantineDrop struct {
		Refs []string `arg:"" name:"ref" help:"Which ones: generation/partition/stream_seq, as list says."`
		Why  string   `required:"" placeholder:"TEXT" help:"Why they are dropped; it stands in the audit ledger."`
	}
)

// withQuarantine opens the quarantine of a database.
func withQuarantine(t *terminal, url string, do func(*readmodel.Quarantine) error) error {
	q, err := readmodel.OpenQuarantine(t.ctx, url)
	if err != nil {
		return err
	}
	defer q.Close(context.WithoutCancel(t.ctx))
	return do(q)
}

func (quarantineList) Run(t *terminal, p *program) error {
	return p.Quarantine.withDatabase(t, func(url string) error {
		return withQuarantine(t, url, func(q *readmodel.Quarantine) error {
			list, err := q.List(t.ctx)
			if err != nil {
				return err
			}
			if len(list) == 0 {
				fmt.Fprintln(t.stdout, "nothing is in quarantine")
				return nil
			}
			w := table.NewWriter()
			w.SetStyle(table.StyleLight)
			w.AppendHeader(table.Row{"ref", "reason", "size", "since"})
			for _, a := range list {
				w.AppendRow(table.Row{a.Ref, oneLine(a.Reason), size(a.Size), a.SetAt.Local().Format("2006-01-02 15:04:05")})
			}
			fmt.Fprintln(t.stdout, w.Render())
			return nil
		})
	})
}

func (c *quarantineShow) Run(t *terminal, p *program) error {
	refs, err := parseRefs([]string{c.Ref})
	if err != nil {
		return err
	}
	return p.Quarantine.withDatabase(t, func(url string) error {
		return withQuarantine(t, url, func(q *readmodel.Quarantine) error {
			a, err := q.Get(t.ctx, refs[0])
			if err != nil {
				return err
			}
			version := a.SchemaVersion
			if version == "" {
				version = "not kept"
			}
			fmt.Fprintf(t.stdout, "ref      %s\nsince    %s\nreason   %s\nheader   %s: %s\nbytes    %d\n\n%s\n", a.Ref,
				a.SetAt.Local().Format("2006-01-02 15:04:05"), oneLine(a.Reason), events.SchemaHeader, oneLine(version), a.Size, readable(a.Bytes))
			return nil
		})
	})
}

func (c *quarantineRetry) Run(t *terminal, p *program) error {
	if c.All == (len(c.Refs) > 0) {
		return &commandline.UsageError{Err: errors.New("name what to retry: either refs or --all")}
	}
	refs, err := parseRefs(c.Refs)
	if err != nil {
		return err
	}
	to, err := openAppender(t, &p.Quarantine.servers)
	if err != nil {
		return err
	}
	err = withQuarantine(t, to.databaseURL, func(q *readmodel.Quarantine) error {
		if c.All {
			list, err := q.List(t.ctx)
			if err != nil {
				return err
			}
			for _, a := range list {
				refs = append(refs, a.Ref)
			}
		}
		return c.each(t, q, refs, to)
	})
	closing, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), stopWithin)
	defer cancel()
	return errors.Join(err, to.close(closing))
}

// each tries one after the other; one that fails does not keep the rest.
func (c *quarantineRetry) each(t *terminal, q *readmodel.Quarantine, refs []events.Ref, to appender) error {
	failed := 0
	for _, ref := range refs {
		err := q.Retry(t.ctx, ref, func(e events.Event) error { return to.append(t.ctx, e) })
		if err != nil {
			failed++
			fmt.Fprintln(t.stderr, oneLine(err.Error()))
			if t.ctx.Err() != nil {
				break
			}
		}
	}
	fmt.Fprintf(t.stdout, "%d messages appended again, %d stay in quarantine\n", len(refs)-failed, failed)
	if failed > 0 {
		return fmt.Errorf("%d messages were not taken; ingest quarantine show REF tells more", failed)
	}
	return nil
}

func (c *quarantineDrop) Run(t *terminal, p *program) error {
	refs, err := parseRefs(c.Refs)
	if err != nil {
		return err
	}
	if strings.TrimSpace(c.Why) == "" {
		return &commandline.UsageError{Err: errors.New("--why is empty; say why they are dropped")}
	}
	return p.Quarantine.withDatabase(t, func(url string) error {
		return withQuarantine(t, url, func(q *readmodel.Quarantine) error {
			for _, ref := range refs {
				if err := q.Drop(t.ctx, ref, actor(), c.Why); err != nil {
					return err
				}
				fmt.Fprintf(t.stdout, "%s is dropped\n", ref)
			}
			return nil
		})
	})
}

func parseRefs(given []string) ([]events.Ref, error) {
	var refs []events.Ref
	for _, s := range given {
		ref, err := events.ParseRef(s)
		if err != nil {
			return nil, &commandline.UsageError{Err: err}
		}
		refs = append(refs, ref)
	}
	return refs, nil
}

// actor is who acts, for the ledger: the account on this machine.
func actor() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		return name
	}
	return name + "@" + host
}

// readable is text as it is, and anything else as a dump: what somebody sent
// must not steer the terminal.
func readable(b []byte) string {
	isOdd := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }
	if !utf8.Valid(b) || strings.ContainsFunc(string(b), isOdd) {
		return hex.Dump(b)
	}
	return string(b)
}

// oneLine makes text that came from outside fit for a line of a terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

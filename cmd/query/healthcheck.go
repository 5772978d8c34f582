package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"roomtrail/commandline"
)

// healthcheckCommand asks a URL, for containers that have no shell.
type healthcheckCommand struct {
	URL string `arg:"" name:"url" help:"What to ask, such as http://127.0.0.1:8081/healthz."`
}

func (c *healthcheckCommand) Run(p *program) error {
	ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL, nil)
	if err != nil {
		return &commandline.UsageError{Err: err}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", c.URL, res.Status)
	}
	return nil
}

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"roomtrail/events"
)

// Drain waits until everything that is in the log now has been applied, in both
// stages.
func (p *Pipeline) Drain(ctx context.Context) error {
	info, err := p.log.Info(ctx)
	if err != nil {
		return err
	}
	ends := make([]events.Ref, 0, len(info))
	for _, i := range info {
		ends = append(ends, lastOf(i))
	}
	for {
		behind, err := p.model.Behind(ctx, ends)
		if err == nil && behind == 0 {
			if behind, err := p.model.Unsettled(ctx); err == nil && behind == 0 {
				return p.drainSigns(ctx)
			}
		}
		// A database that does not answer now may do so soon: the runners wait
		// for it too.
		if waitErr := wait(ctx, 20*time.Millisecond); waitErr != nil {
			return errors.Join(fmt.Errorf("drain: %d events are not applied yet: %w", behind, waitErr), err)
		}
	}
}

// drainSigns writes what this process's own door has published, where it is
// this process that gets it.
func (p *Pipeline) drainSigns(ctx context.Context) error {
	for {
		p.signs.mu.Lock()
		isThere := p.signs.came >= p.published.Load()
		p.signs.mu.Unlock()
		if isThere {
			return p.model.MergeSigns(ctx, p.signs.take())
		}
		if err := wait(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}
